"""What workers of the recipes do, without a cluster: python by_worker.py ADDRESS FOLDER KEY SLOW

The server speaks TLS, with certificates in the folder, and both keys may call its pipelines, the
second one some times a second.
"""

import pickle
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from motet_calls import Away, Exchange, Refused, Settings
from motet_gateway import Gateway, Pipeline, Unknown
from motet_rows import Binding, Mistake, Worker

address, folder, key, slow = sys.argv[1:]
ca = (Path(folder) / "ca.crt").read_bytes()
gateway = Gateway(address, api_key=key, tls=True, ca=ca)
assert key not in repr(gateway)

# A pipeline and a binding travel with the program.
pipeline = pickle.loads(pickle.dumps(Pipeline.learn(gateway, "best")))
schema = pa.schema([("id", pa.int64()), ("points", pa.list_(pa.int64())), ("name", pa.string())])
binding = pickle.loads(pickle.dumps(Binding.of(pipeline, schema, {"score": "points"}, ["id"])))


def table(rows):
    return pa.Table.from_pylist(rows, schema)


def row(number, **values):
    return {"id": number, "points": [number, 1], "name": f"row {number}", **values}


def answers(worker, rows):
    return worker.answer(table(rows)).to_pylist()


# A row that ends its stream, being too large, is found among those in flight beside it.
rows = [row(number) for number in range(200)]
rows[70] = row(70, name="x" * 20_000)
worker = Worker(pipeline, binding)
found = answers(worker, rows)
assert [answer["id"] for answer in found] == list(range(200))
for number, answer in enumerate(found):
    if number == 70:
        assert answer["error"]["code"] == "RESOURCE_EXHAUSTED", answer
        assert answer["error"]["attempts"] == 1 and answer["best"] is None, answer
    else:
        assert answer["error"] is None and answer["best"] == [max(number, 1)], answer
assert answers(worker, []) == []
first = found[:70]

# Values of every type go in and come out.
kinds = Pipeline.learn(gateway, "kinds")
columns = {
    "a": pa.list_(pa.uint64()),
    "b": pa.int32(),
    "c": pa.float64(),
    "d": pa.list_(pa.list_(pa.int64())),
    "e": pa.struct([("shape", pa.list_(pa.int64())), ("data", pa.binary())]),
    "f": pa.bool_(),
    "g": pa.list_(pa.binary()),
    "h": pa.list_(pa.list_(pa.string())),
}
good = {
    "a": [2**64 - 1, 0],
    "b": 255,
    "c": 0.1,
    "d": [[1, -(2**63)], [3, 4]],
    "e": {"shape": [2, 1, 1], "data": b"\x00\x00\x80\x3f" * 2},
    "f": False,
    "g": [b"", b"\xff"],
    "h": [["a", "\u00e4"], ["", "d"]],
}
mistaken = [{**good, "b": 256}, {**good, "d": [[1]]}, {**good, "h": [["a", None]]}]
values = pa.Table.from_pylist([good, *mistaken], pa.schema(columns.items()))
found = Worker(kinds, Binding.of(kinds, values.schema, keep=[])).answer(values).to_pylist()
assert found[0] == {**good, "degraded": None, "error": None}, found[0]
for answer in found[1:]:
    assert answer["error"]["code"] == "INVALID_ARGUMENT" and answer["a"] is None, answer

# A server that is full says when to come back, and has answers for all rows then.
refusals, refuse = [], Exchange._refused


def noted(exchange, failure):
    refusals.append(failure)
    refuse(exchange, failure)


Exchange._refused = noted
limited = replace(pipeline, gateway=replace(gateway, api_key=slow))
assert answers(Worker(limited, binding), rows[:70]) == first
assert refusals
assert all(f.code == "RESOURCE_EXHAUSTED" and f.retry_after for f in refusals), refusals

# All mistakes of columns are told before the first call.
wrong = pa.schema([("scor", pa.list_(pa.int64())), ("name", pa.int64())])
try:
    Binding.of(pipeline, wrong, {"nam": "scor"}, ["best", "name"])
    raise AssertionError("mistaken columns were accepted")
except Mistake as mistake:
    assert str(mistake).splitlines() == [
        "rows and pipeline `best` do not fit:",
        "  input `nam`: the pipeline has none; did you mean `name`?",
        "  input `score`, column `score`: no such column; did you mean `scor`?",
        "  input `name`, column `name`: int64 does not fit",
        "  kept column `best`: no such column; there are: scor, name",
        "  kept column `name`: the answers have one of that name",
    ], mistake

# No answer for a caller who may not, nor of a server that is not there.
try:
    Pipeline.learn(replace(gateway, api_key="wrong"), "best")
    raise AssertionError("a wrong key was accepted")
except Unknown as refused:
    assert "UNAUTHENTICATED" in str(refused), refused
for nobody, patience, expected in [
    (replace(gateway, api_key="wrong"), Settings(), Refused),
    (Gateway("127.0.0.1:1"), Settings(retry_for=0.5), Away),
    (Gateway(address), Settings(retry_for=0.5), Away),
]:
    try:
        answers(Worker(replace(pipeline, gateway=nobody), binding, patience), rows[:3])
        raise AssertionError(f"{nobody} answered")
    except expected:
        pass
print("ok")
