"""Rows of Parquet for the recipes, and the comparison of their answers.

    python lake.py rows FOLDER COUNT      # writes files of rows, some of which are mistaken
    python lake.py same FOLDER FOLDER     # fails where the answers in two folders differ
"""

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as dataset
import pyarrow.parquet as parquet

SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("ticket", pa.string()),
        ("score", pa.list_(pa.float32())),
        ("label", pa.list_(pa.string())),
        ("box", pa.list_(pa.list_(pa.float64()))),
        ("picture", pa.binary()),
        ("k", pa.int32()),
    ]
)
FILES = 3


def row(number):
    row = {
        "id": number,
        "ticket": f"ticket {number} of {number % 7} about tides",
        "score": [float(number % 5), float(number % 3), 0.5],
        "label": ["low", "middle", "high"],
        "box": [[number / 4, 1.0]] * (number % 3) if number % 2 else None,
        "picture": bytes([number % 256, 0]) if number % 3 else None,
        "k": 1 + number % 2 if number % 4 else None,
    }
    if number % 100 == 1:
        row["k"] = 9
    if number % 100 == 2:
        row["label"] = ["one"]
    if number % 100 == 3:
        row["ticket"] = None
    return row


def rows(folder, count):
    Path(folder).mkdir()
    for file in range(FILES):
        table = pa.Table.from_pylist([row(n) for n in range(file, int(count), FILES)], SCHEMA)
        parquet.write_table(table, f"{folder}/{file}.parquet", row_group_size=200)
    print("ok")


def same(one, other):
    found = [dataset.dataset(folder, format="parquet").to_table() for folder in (one, other)]
    kinds = [[(f.name, str(f.type).replace("item:", "element:")) for f in t.schema] for t in found]
    assert kinds[0] == kinds[1], kinds
    first, second = (sorted(table.to_pylist(), key=lambda row: row["id"]) for table in found)
    assert len(first) == len(second), (len(first), len(second))
    for left, right in zip(first, second):
        assert left == right, f"\n{left}\n{right}"
    errors = {(r["error"]["code"], r["error"]["attempts"]) for r in first if r["error"]}
    assert errors == {("INVALID_ARGUMENT", 1), ("INVALID_ARGUMENT", 0)}, errors
    print("ok")


{"rows": rows, "same": same}[sys.argv[1]](*sys.argv[2:])
