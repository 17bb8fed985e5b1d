"""Ray Data: rows of Parquet answered by a pipeline of motet, on a cluster of Ray or on one machine.

    python ray_data.py rag --in tickets/ --out answers/ --to gateway:50051 --map query=question

On a cluster: ray job submit --working-dir deploy/recipes -- python ray_data.py ...
"""

import ray
from ray.data import ActorPoolStrategy, SaveMode

import arguments
from motet_gateway import Pipeline
from motet_rows import Binding, Worker

ROWS_PER_FILE = 50_000

parser = arguments.parser(__doc__.splitlines()[0])
parser.add_argument("--workers", type=int, default=4, help="actors, each with a channel")


def main():
    args = parser.parse_args()
    pipeline = Pipeline.learn(arguments.gateway(args), args.pipeline)
    rows = ray.data.read_parquet(args.input)
    binding = Binding.of(pipeline, rows.schema().base_schema, args.map, args.keep)
    # A block is a batch: however few files there are, all workers have some.
    batches = rows.repartition(target_num_rows_per_block=args.batch)
    answers = batches.map_batches(
        Answer,
        fn_constructor_args=(pipeline, binding, arguments.settings(args)),
        compute=ActorPoolStrategy(size=args.workers),
        # They wait for answers more than they compute.
        num_cpus=0.25,
        batch_size=args.batch,
        batch_format="pyarrow",
        udf_modifying_row_count=False,
    )
    answers.write_parquet(args.out, mode=SaveMode.ERROR, min_rows_per_file=ROWS_PER_FILE)


class Answer(Worker):
    """An actor's work: one channel for all batches that it gets."""

    def __call__(self, batch):
        return self.answer(batch)


if __name__ == "__main__":
    main()
