"""Makes the weights of the example of those in the package magika, and what the package says of
some hundred inputs:
python weights.py [FOLDER]

FOLDER, by default target/examples/magika, gets

* `model.safetensors`: the tensors of the package's ONNX graph, named after the layers.
* `config.json`: the package's own `config.min.json`; `kinds.json`: media type and sort of each
  label.
* `inputs.bin`, `expected.json`: inputs of many kinds and sizes, their labels and scores by magika
  with onnxruntime, and as `exact` the scores of the same network in 64 bits: of inputs with few
  bytes the graph takes variances as differences of nearly equal numbers.

requirements.txt has the packages that it needs.
"""

import json
import random
import shutil
import sys
from pathlib import Path

import magika
import numpy as np
import onnx
from onnx import numpy_helper
from safetensors.numpy import save_file

REPOSITORY = Path(__file__).parents[3]
PACKAGE = Path(magika.__file__).parent
# The ends of their names in the graph.
TENSORS = {
    "tokens.weight": ("get_logits_/Const:0", lambda value: value),
    "tokens.bias": ("Dense_0/Reshape:0", np.ravel),
    "positions.weight": ("LayerNorm_0/Reshape_2:0", np.ravel),
    "positions.bias": ("LayerNorm_0/Reshape_3:0", np.ravel),
    "convolution.weight": ("Conv_0/transpose_3:0", lambda value: value[..., 0]),
    "convolution.bias": ("const_fold_opt__209", np.ravel),
    "channels.weight": ("LayerNorm_1/Reshape_2:0", np.ravel),
    "channels.bias": ("LayerNorm_1/Reshape_3:0", np.ravel),
    "labels.weight": ("get_logits_/Const_24:0", np.transpose),
    "labels.bias": ("Dense_1/Reshape:0", np.ravel),
}
# Largest input that is a file of this machine.
FILE_BYTES_MAX = 200_000
FILES = 180


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    known = magika.Magika()
    model = PACKAGE / "models" / known.get_model_name()
    graph = onnx.load(model / "model.onnx").graph
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    tensors = {}
    for name, (end, shaped) in TENSORS.items():
        [value] = [value for stored_name, value in stored.items() if stored_name.endswith(end)]
        tensors[name] = np.ascontiguousarray(shaped(value))
    save_file(tensors, folder / "model.safetensors")
    shutil.copy(model / "config.min.json", folder / "config.json")
    kinds = known._cts_infos.items()
    kinds = {
        str(name): {"mime_type": kind.mime_type, "is_text": kind.is_text} for name, kind in kinds
    }
    (folder / "kinds.json").write_text(json.dumps(kinds, indent=1))

    contents = list(made_up()) + list(of_this_machine())
    rows = []
    wide = {name: value.astype(np.float64) for name, value in tensors.items()}
    for content in contents:
        result = known.identify_bytes(content)
        exact = 1.0 if result.dl.label == "undefined" else score(wide, tokens(content))
        rows.append(
            {
                "bytes": len(content),
                "label": str(result.output.label),
                "score": result.score,
                "exact": exact,
            }
        )
    (folder / "inputs.bin").write_bytes(b"".join(contents))
    (folder / "expected.json").write_text(json.dumps({"magika": magika.__version__, "rows": rows}))
    print(f"{folder}: {len(rows)} inputs, {len({row['label'] for row in rows})} kinds")


def tokens(content):
    block = min(4096, len(content))
    first, last = content[:block].lstrip()[:1024], content[-block:].rstrip()[-1024:]
    return [*first, *[256] * (2048 - len(first) - len(last)), *last]


def score(weights, tokens):
    """Returns the probability of the likeliest label."""

    def gelu(x):
        return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))

    def norm(x, name):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6)
        return x * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    vectors = gelu(weights["tokens.weight"] + weights["tokens.bias"])[tokens]
    positions = norm(vectors.reshape(512, 256).T, "positions")
    windows = np.stack([positions[:, at : at + 508] for at in range(5)], axis=-1)
    channels = np.tensordot(weights["convolution.weight"], windows, ([1, 2], [0, 2]))
    strongest = gelu(channels + weights["convolution.bias"][:, None]).max(axis=1)
    logits = weights["labels.weight"] @ norm(strongest, "channels") + weights["labels.bias"]
    return float(1 / np.exp(logits - logits.max()).sum())


def made_up():
    """Yields inputs at the edges of the package's rules, and some of each of a few kinds."""
    chance = random.Random(17)
    yield from [
        b"",
        b"a",
        b"\n",
        b"\xff",
        b"1234567",
        b"12345678",
        b"\xff" * 7,
        b"\xff" * 8,
        "é".encode(),
    ]
    yield from [
        b" " * 5000,
        b" \t\n\r\x0b\x0c" * 20,
        b"  1234567   ",
        b"  12345678   ",
        b"\0" * 4096,
        b"x" * 3000,
    ]
    # A character that ends after the first 4096 bytes.
    yield b" " * 4095 + "é".encode() + b" " * 100
    yield b" " * 4090 + "1234é".encode()
    # White space that only one end has.
    yield b"\n" * 2000 + b"def add(a, b):\n    return a + b\n" * 40
    yield b"def add(a, b):\n    return a + b\n" * 40 + b"\n" * 6000
    for size in (8, 9, 100, 1023, 1024, 1025, 2047, 2048, 2049, 4095, 4096, 4097, 10000):
        yield chance.randbytes(size)
        yield bytes(chance.choices(b"abcdefgh \n", k=size))
        yield ("# Title\n\nSome *text* with a [link](https://example.org).\n\n" * 200).encode()[
            :size
        ]
        yield ("<!DOCTYPE html>\n<html><body><p>Some text.</p></body></html>\n" * 200).encode()[
            :size
        ]
        yield json.dumps([{"name": f"row {at}", "value": at / 7} for at in range(300)]).encode()[
            :size
        ]
        yield ("name,value\n" + "".join(f"row {at},{at / 7}\n" for at in range(900))).encode()[
            :size
        ]


def of_this_machine():
    """Yields files of the repository, of Python and of the system."""
    chance = random.Random(18)
    for place, most in (
        (REPOSITORY, FILES // 3),
        (Path(sys.prefix), FILES // 3),
        (Path("/usr"), FILES // 3),
    ):
        found = 0
        files = sorted(
            path
            for part in ("*.*", "bin/*")
            for path in place.rglob(part)
            if "target" not in path.parts
        )
        chance.shuffle(files)
        for path in files:
            try:
                if path.is_symlink() or not path.is_file() or path.stat().st_size > FILE_BYTES_MAX:
                    continue
                content = path.read_bytes()
            except OSError:
                continue
            yield content
            found += 1
            if found == most:
                break


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else REPOSITORY / "target/examples/magika")
