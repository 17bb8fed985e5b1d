#!/usr/bin/env python3
"""Makes the input of the measurement of memory: rows of 100 KB each in FOLDER/rows.jsonl.gz, and a configuration with a
pipeline without a model.

    python tests/examples/batch_speed/large_rows.py FOLDER ROWS

A gzip file may have several members, one after the other: 100 rows are compressed once, and written as often as asked.
"""

import gzip
import json
import random
import sys
from pathlib import Path

ROW_BYTES = 100_000
MEMBER_ROWS = 100

CONFIGURATION = """\
models:
  minilm: { task: embed, source: "builtin:all-minilm-l6-v2" }
pipelines:
  - pipeline: size
    inputs: { text: string }
    nodes:
      kind:
        switch:
          - { when: 'text == "a"', do: { value: { text: short } } }
          - default: { value: { text: long } }
    outputs: { kind: $kind.text }
"""


def main() -> None:
    folder, rows = Path(sys.argv[1]), int(sys.argv[2])
    numbers = random.Random(1)
    words = [f"w{number:05}" for number in range(20_000)]
    lines = []
    for _ in range(MEMBER_ROWS):
        part = " ".join(numbers.choice(words) for _ in range(150)) + " "
        text = (part * (ROW_BYTES // len(part) + 1))[:ROW_BYTES]
        lines.append(json.dumps({"text": text}) + "\n")
    member = gzip.compress("".join(lines).encode())
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "rows.jsonl.gz").open("wb") as file:
        for _ in range(rows // MEMBER_ROWS):
            file.write(member)
    (folder / "motet.yaml").write_text(CONFIGURATION)


if __name__ == "__main__":
    main()
