#!/usr/bin/env python3
"""Makes tests/token_vectors: small models with random weights that give a vector for each token, for late interaction, and
what the MultiVectorEncoder of sentence-transformers makes of some queries and documents with them.

    pip install transformers sentence-transformers
    python tests/expected/token_vectors.py [NAME ...]

The files are as the colbert library, PyLate and sentence-transformers write them. Tokenizers, texts and the spread of
weights are those of families.py. Models run in f32 on the CPU, one text at a time.

expected.json   {"made_with": {...}, "rows": [{"text": string, "role": "query" or "document", "ids": [int],
                "kept": [int]}], "scores": [{"query": string, "scores": [float]}]}
                kept: places of the ids that give a vector; scores: of each document, the mean of each query vector's best
                product with one of the document's
expected.f32    little-endian f32, the vectors of each row
"""

import json
import shutil
import string
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import safetensors.torch
import sentence_transformers
import tokenizers
import torch
import transformers
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
from sentence_transformers.util.similarity import mean_maxsim
from torch import nn

from families import TEXTS, long_texts, widen
from family_models import BERT, MPNET, ROBERTA, bert_sizes, names
from family_tokenizers import byte_bpe, unigram, wordpiece

FIXTURES = Path(__file__).parent.parent / "token_vectors"

LIMIT = 40
UNUSED = ["[unused0]", "[unused1]"]


def with_unused(tokens: list[str]) -> tokenizers.Tokenizer:
    """In the vocabulary, but not among the tokens that a text is searched for."""
    words = wordpiece([*BERT, *tokens], "[UNK]", "[CLS]", "[SEP]", True)
    written = json.loads(words.to_str())
    written["added_tokens"] = [token for token in written["added_tokens"] if token["content"] not in tokens]
    return tokenizers.Tokenizer.from_str(json.dumps(written))


def save(config, words: tokenizers.Tokenizer, tokens: dict, into: Path, seed: int, model: type) -> None:
    encoder = model(config).eval()
    widen(encoder, seed)
    encoder.save_pretrained(into)
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words, **tokens, model_max_length=LIMIT)
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    tokenizer.save_pretrained(into)


def drawn(module: nn.Module, seed: int) -> nn.Module:
    numbers = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in module.parameters():
            weight.copy_(0.5 * torch.randn(weight.shape, generator=numbers))
    return module


def dense(inputs: int, outputs: int, seed: int, **more) -> Dense:
    more = {"activation_function": nn.Identity(), "module_input_name": "token_embeddings"} | more
    return drawn(Dense(inputs, outputs, **more), seed)


def write(path: Path, value) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n")


def colbert(into: Path) -> None:
    """As colbert-ir/colbertv2.0 is published."""
    sizes = bert_sizes(LIMIT, hidden_size=24, num_attention_heads=2, intermediate_size=32)
    words = with_unused(UNUSED)
    config = transformers.BertConfig(vocab_size=words.get_vocab_size(), **sizes)
    save(config, words, names(BERT, "[CLS]", "[SEP]", "[MASK]"), into, 1, transformers.BertModel)
    weights = safetensors.torch.load_file(into / "model.safetensors")
    weights = {f"bert.{name}": weight for name, weight in weights.items()}
    weights["linear.weight"] = 0.5 * torch.randn(12, 24, generator=torch.Generator().manual_seed(2))
    safetensors.torch.save_file(weights, into / "model.safetensors", metadata={"format": "pt"})
    written = json.loads((into / "config.json").read_text())
    write(into / "config.json", written | {"architectures": ["HF_ColBERT"]})
    write(into / "artifact.metadata", {
        "query_token_id": "[unused0]", "doc_token_id": "[unused1]", "query_token": "[Q]", "doc_token": "[D]",
        "ncells": None, "dim": 12, "doc_maxlen": 30, "query_maxlen": 14, "mask_punctuation": True, "similarity": "cosine",
        "attend_to_mask_tokens": False, "interaction": "colbert", "bsize": 32, "lr": 1e-05, "nbits": 1,
        "model_name": "bert-base-uncased", "meta": {"hostname": "x", "version": "colbert-v0.4"},
    })


def pylate(into: Path, dense: Dense, settings: dict) -> None:
    write(into / "modules.json", [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Dense", "type": "pylate.models.Dense.Dense"},
    ])
    config = dense.get_config_dict()
    config = {key: config[key] for key in ("in_features", "out_features", "bias", "activation_function")}
    write(into / "1_Dense" / "config.json", config)
    safetensors.torch.save_file({key: value.contiguous() for key, value in dense.state_dict().items()},
                                into / "1_Dense" / "model.safetensors")
    write(into / "sentence_bert_config.json", {"max_seq_length": LIMIT - 1, "do_lower_case": False})
    write(into / "config_sentence_transformers.json", settings)


def pylate_modernbert(into: Path) -> None:
    """As lightonai/GTE-ModernColBERT-v1 is published: markers with their space are tokens."""
    modern = ["[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]"]
    words = byte_bpe(modern, single="[CLS] $A [SEP]")
    words.add_tokens([tokenizers.AddedToken("[Q] ", normalized=True), tokenizers.AddedToken("[D] ", normalized=True)])
    config = transformers.ModernBertConfig(
        vocab_size=words.get_vocab_size(), max_position_embeddings=LIMIT + 20, hidden_size=32, num_attention_heads=4,
        intermediate_size=24, num_hidden_layers=4, local_attention=32, pad_token_id=1, bos_token_id=0, eos_token_id=2,
        cls_token_id=0, sep_token_id=2)
    tokens = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    save(config, words, tokens, into, 3, transformers.ModernBertModel)
    pylate(into, dense(32, 16, 4, bias=False), {
        "__version__": {"sentence_transformers": "4.0.2"}, "prompts": {}, "default_prompt_name": None,
        "similarity_fn_name": "MaxSim", "query_prefix": "[Q] ", "document_prefix": "[D] ", "query_length": 16,
        "document_length": 32, "attend_to_expansion_tokens": False, "do_query_expansion": True,
        "skiplist_words": [",", ".", "Ġwing", "no such token"], "model_type": "ColBERT",
    })


def pylate_distilbert(into: Path) -> None:
    """As older versions wrote it, without expansion, with prompts after the markers."""
    words = with_unused(UNUSED)
    config = transformers.DistilBertConfig(vocab_size=words.get_vocab_size(), dim=16, n_layers=2, n_heads=2,
                                           hidden_dim=24, max_position_embeddings=LIMIT)
    save(config, words, names(BERT, "[CLS]", "[SEP]", "[MASK]"), into, 5, transformers.DistilBertModel)
    pylate(into, dense(16, 10, 6), {
        "__version__": {"sentence_transformers": "3.0.1"}, "prompts": {"query": "the river: ", "document": "[unused1]a"},
        "default_prompt_name": None, "query_prefix": "[unused0]", "document_prefix": "[unused1]", "query_length": 11,
        "document_length": 30, "do_query_expansion": False, "attend_to_expansion_tokens": True,
    })


def native(into: Path, modules: list, prompts: dict) -> None:
    MultiVectorEncoder(modules=modules, prompts=prompts, device="cpu").save_pretrained(str(into), create_model_card=False)


def native_xlm_roberta(into: Path) -> None:
    words = unigram(ROBERTA)
    sizes = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "layer_norm_eps": 1e-5, "type_vocab_size": 1,
             "hidden_size": 16, "num_attention_heads": 2}
    config = transformers.XLMRobertaConfig(vocab_size=words.get_vocab_size(), **bert_sizes(LIMIT + 2, **sizes))
    with tempfile.TemporaryDirectory() as plain:
        tokens = names(ROBERTA, "<s>", "</s>", "<mask>")
        save(config, words, tokens, Path(plain), 7, transformers.XLMRobertaModel)
        expansion = {"strategy": "min", "attend": True, "length": 9, "token": "<pad>"}
        transformer = Transformer(plain, query_length=20, document_length=34, query_expansion=expansion)
    modules = [
        transformer,
        dense(16, 20, 8, activation_function=nn.GELU(), use_residual=True),
        dense(20, 20, 9, bias=False, use_residual=True),
        MultiVectorMask([*string.punctuation, "▁the"], skiplist_tasks=["query", "document"]),
    ]
    native(into, modules, {"query": "the river: ", "passage": "a letter"})


def native_mpnet(into: Path) -> None:
    words = wordpiece([*MPNET, "[Q]", "[D]"], "[UNK]", "<s>", "</s>", True)
    config = transformers.MPNetConfig(
        vocab_size=words.get_vocab_size(), hidden_size=24, num_attention_heads=3, intermediate_size=32,
        num_hidden_layers=2, max_position_embeddings=LIMIT + 2, layer_norm_eps=1e-5, pad_token_id=1, bos_token_id=0,
        eos_token_id=2)
    with tempfile.TemporaryDirectory() as plain:
        tokens = names(MPNET, "<s>", "</s>", "<mask>")
        save(config, words, tokens, Path(plain), 10, transformers.MPNetModel)
        transformer = Transformer(plain, query_expansion={"strategy": "fixed", "attend": False, "length": 13})
    keep = [words.token_to_id(token) for token in ["[D]", "the", "letter", "##er", "wing", "e", "##i"]]
    modules = [
        transformer,
        dense(24, 8, 11, activation_function=nn.Tanh()),
        Normalize(module_input_name="token_embeddings"),
        MultiVectorMask(["letter"], keep_only_token_ids=keep),
    ]
    native(into, modules, {"query": "[Q] ", "document": "[D] "})


def fixtures() -> dict[str, Callable[[Path], None]]:
    return {
        "colbert": colbert,
        "native-mpnet": native_mpnet,
        "native-xlm-roberta": native_xlm_roberta,
        "pylate-distilbert": pylate_distilbert,
        "pylate-modernbert": pylate_modernbert,
    }


def make(name: str, fixture: Callable[[Path], None], into: Path) -> None:
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    fixture(into)
    model = MultiVectorEncoder(str(into), device="cpu")
    rows, values, vectors = [], [], {"query": [], "document": []}
    texts = TEXTS + long_texts(LIMIT)
    for role, encode in [("query", model.encode_query), ("document", model.encode_document)]:
        for text in texts:
            features = encode([text], output_value=None)[0]
            kept = features["attention_mask"].nonzero()[:, 0].tolist()
            row = encode([text])[0]
            assert len(row) == len(kept)
            vectors[role].append(row)
            values.append(row.numpy().flatten())
            rows.append({"text": text, "role": role, "ids": features["input_ids"].tolist(), "kept": kept})
    documents = [row for row in vectors["document"] if len(row)]
    scores = mean_maxsim(vectors["query"], documents).tolist()
    of_empty = [len(row) == 0 for row in vectors["document"]]
    scores = [[0.0 if empty else left.pop(0) for empty in of_empty] for left in scores]
    scores = [{"query": text, "scores": of_query} for text, of_query in zip(texts, scores)]
    packages = [transformers, sentence_transformers, tokenizers]
    made_with = {package.__name__: package.__version__ for package in packages}
    made_with["torch"] = torch.__version__.split("+")[0]
    expected = {"made_with": made_with, "rows": rows, "scores": scores}
    (into / "expected.json").write_text(json.dumps(expected) + "\n")
    (into / "expected.f32").write_bytes(np.concatenate(values).astype("<f4").tobytes())
    sizes = sum(f.stat().st_size for f in into.rglob("*") if f.is_file()) // 1024
    print(name, vectors["query"][0].shape, sorted({len(row) for row in vectors["document"]}), sizes, "KiB",
          max(np.abs(of_row).max(initial=0) for of_row in values))


def main() -> None:
    known = fixtures()
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    for name in sys.argv[1:] or known:
        make(name, known[name], FIXTURES / name)


if __name__ == "__main__":
    main()
