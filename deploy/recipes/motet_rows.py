"""Rows of Arrow tables, answered by a pipeline of a motet gateway.

A pipeline is a gRPC service of its own: `rag` is `motet.pipeline.Rag`. `Pipeline.learn` asks the
gateway for its messages, by reflection; whoever gets the result, with the program, on another
machine, has them too. So nothing is generated, one program serves every pipeline, and all workers
mean the same.

    pipeline = Pipeline.learn(Gateway("127.0.0.1:50051"), "rag")
    binding = Binding.of(pipeline, table.schema, {"query": "question"})
    answers = Worker(pipeline, binding).answer(table)

Answers have columns of the rows, then the outputs of the pipeline, `degraded` (nodes whose results
are substitutes) and `error` (code, message, node, attempts), which is null for most rows: the
columns that `motet batch --format parquet` writes.
"""

from dataclasses import dataclass
from difflib import get_close_matches

import pyarrow as pa
from google.protobuf.message_factory import GetMessageClass

from motet_calls import Calls, Failure, Settings
from motet_gateway import Pipeline
from motet_values import arrow_type, fill, may_fit, read

# Fields of a message from here on are not of the pipeline: receipt, request_id, error.
FIRST_OWN_FIELD = 16_000
ERROR = pa.struct(
    [
        ("code", pa.string()),
        ("message", pa.string()),
        ("node", pa.string()),
        ("attempts", pa.int32()),
    ]
)


class Mistake(ValueError):
    """Columns and pipeline, or a row and its inputs, do not fit."""


class Service:
    """The typed service of a pipeline."""

    def __init__(self, pipeline: Pipeline):
        (service,) = pipeline.file().services_by_name.values()
        method = service.methods_by_name["RunStream"]
        self.path = f"/{service.full_name}/{method.name}"
        self.request = GetMessageClass(method.input_type)
        self.response = GetMessageClass(method.output_type)
        self.inputs = {f.name: f for f in _own(method.input_type)}
        self.outputs = _own(method.output_type)

    def answers(self) -> pa.Schema:
        """Returns the columns of answers."""
        outputs = [(output.name, arrow_type(output)) for output in self.outputs]
        return pa.schema([*outputs, ("degraded", pa.list_(pa.string())), ("error", ERROR)])


@dataclass(frozen=True)
class Binding:
    """The columns that feed the inputs of a pipeline, and those kept beside its answers."""

    columns: dict[str, str]
    keep: list[str]

    @staticmethod
    def of(
        pipeline: Pipeline,
        schema: pa.Schema,
        columns: dict[str, str] | None = None,
        keep: list[str] | None = None,
    ) -> "Binding":
        """Binds columns to inputs: `columns` has pairs of input and column, and every other input
        is fed by the column of its name, if there is one. `keep` is all columns by default. Tells
        of every mistake at once."""
        service = Service(pipeline)
        mapped, answers = columns or {}, service.answers().names
        keep = list(schema.names) if keep is None else keep
        mistakes = [
            f"input `{name}`: the pipeline has none; {_hint(name, service.inputs)}"
            for name in mapped
            if name not in service.inputs
        ]
        bound = {}
        for name, field in service.inputs.items():
            column = mapped.get(name, name)
            which = f"input `{name}`, column `{column}`"
            if column not in schema.names:
                if name in mapped or name in pipeline.required:
                    mistakes.append(f"{which}: no such column; {_hint(column, schema.names)}")
                continue
            bound[name] = column
            if not may_fit(schema.field(column).type, field):
                mistakes.append(f"{which}: {schema.field(column).type} does not fit")
        for column in keep:
            if column not in schema.names:
                hint = _hint(column, schema.names)
                mistakes.append(f"kept column `{column}`: no such column; {hint}")
            elif column in answers:
                mistakes.append(f"kept column `{column}`: the answers have one of that name")
        if mistakes:
            head = f"rows and pipeline `{pipeline.name}` do not fit:"
            raise Mistake("\n  ".join([head, *mistakes]))
        return Binding(bound, keep)


class Worker:
    """Answers tables, over one channel. It is made where it works: a channel does not travel."""

    def __init__(self, pipeline: Pipeline, binding: Binding, settings: Settings = Settings()):
        self.service, self.binding = Service(pipeline), binding
        self.required, self.answers = pipeline.required, self.service.answers()
        self.calls = Calls(
            pipeline.gateway,
            self.service.path,
            self.service.request,
            self.service.response,
            settings,
        )

    def answer(self, table: pa.Table) -> pa.Table:
        """Returns the answers of a table's rows, in their order."""
        requests, results = {}, {}
        inputs = table.select(list(dict.fromkeys(self.binding.columns.values())))
        for number, row in enumerate(inputs.to_pylist()):
            try:
                requests[number] = self._request(number, row)
            except Mistake as mistake:
                results[number] = Failure("INVALID_ARGUMENT", str(mistake))
        results.update(self.calls.answer(requests))
        rows = [self._row(results[number]) for number in range(table.num_rows)]
        answers = pa.Table.from_pylist(rows, self.answers)
        kept = table.select(self.binding.keep)
        schema = pa.schema([*kept.schema, *answers.schema])
        return pa.table([*kept.columns, *answers.columns], schema)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.calls.close()

    def _request(self, number: int, row: dict):
        request, mistakes = self.service.request(request_id=str(number)), []
        for name, column in self.binding.columns.items():
            which = f"input `{name}`, column `{column}`"
            if row[column] is None:
                if name in self.required:
                    mistakes.append(f"{which}: the row has no value")
                continue
            try:
                fill(request, self.service.inputs[name], row[column])
            except (TypeError, ValueError) as error:
                mistakes.append(f"{which}: {error}")
        if mistakes:
            raise Mistake("; ".join(mistakes))
        return request

    def _row(self, result) -> dict:
        if isinstance(result, Failure):
            return {"error": {part.name: getattr(result, part.name) for part in ERROR}}
        row = {output.name: read(result, output) for output in self.service.outputs}
        degraded = [node.node for node in result.receipt.nodes if node.degraded]
        return {**row, "degraded": degraded or None}


def _own(message) -> list:
    """Returns the fields of a message that are inputs or outputs."""
    return [field for field in message.fields if field.number < FIRST_OWN_FIELD]


def _hint(name: str, names) -> str:
    near = get_close_matches(name, names, 1)
    return f"did you mean `{near[0]}`?" if near else f"there are: {', '.join(names)}"
