"""Spark: rows of Parquet answered by a pipeline of motet, on a cluster of Spark or on one machine.

    python spark.py rag --in tickets/ --out answers/ --to gateway:50051 --map query=question

On a cluster: spark-submit deploy/recipes/spark.py ...
"""

from pathlib import Path

import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql.types import StructType

import arguments
from motet_gateway import Pipeline
from motet_rows import Binding, Service, Worker

MODULES = ("motet_gateway.py", "motet_calls.py", "motet_rows.py", "motet_values.py")

parser = arguments.parser(__doc__.splitlines()[0])
parser.add_argument("--partitions", type=int, help="partitions [default: as they are read]")


def main():
    args = parser.parse_args()
    pipeline = Pipeline.learn(arguments.gateway(args), args.pipeline)
    settings = arguments.settings(args)
    spark = SparkSession.builder.appName(f"motet {args.pipeline}").getOrCreate()
    for module in MODULES:
        spark.sparkContext.addPyFile(str(Path(__file__).with_name(module)))
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", args.batch)
    rows = spark.read.parquet(args.input)
    if args.partitions:
        rows = rows.repartition(args.partitions)
    binding = Binding.of(pipeline, rows.limit(0).toArrow().schema, args.map, args.keep)

    def answer(batches):
        """Answers a partition, over one channel."""
        with Worker(pipeline, binding, settings) as worker:
            for batch in batches:
                yield from worker.answer(pa.Table.from_batches([batch])).to_batches()

    kept = [rows.schema[column] for column in binding.keep]
    answers = spark.createDataFrame(Service(pipeline).answers().empty_table()).schema
    schema = StructType([*kept, *answers])
    rows.mapInArrow(answer, schema).write.parquet(args.out)
    spark.stop()


if __name__ == "__main__":
    main()
