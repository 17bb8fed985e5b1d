#!/usr/bin/env python3
"""Makes tests/bge_m3: small models with random weights that have the heads of BGE-M3, and what these make of some texts, by
the formulas of FlagEmbedding:

    dense    the first token's vector, of length 1
    sparse   max(0, w x + b) of each token; of each id the greatest, but of special tokens
    tokens   W x + b of each token but the first, of length 1

    pip install transformers sentence-transformers
    python tests/expected/bge_m3.py [NAME ...]

Tokenizers, texts and the spread of weights are those of families.py. Models run in f32 on the CPU, one text at a time.

expected.json   {"made_with": {...}, "rows": [{"text": string, "ids": [int], "index": [int], "weight": [float]}]}
                the sparse values that are not 0, in the order of their ids
expected.f32    little-endian f32, for each row: the dense vector, the vectors of tokens
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import safetensors.torch
import sentence_transformers
import tokenizers
import torch
import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers import models as modules
from torch import nn
from torch.nn.functional import normalize

from families import TEXTS, long_texts, widen
from family_models import BERT, ROBERTA, bert_sizes, names
from family_tokenizers import unigram, wordpiece

FIXTURES = Path(__file__).parent.parent / "bge_m3"
LIMIT = 40


def published() -> tuple:
    """As BAAI/bge-m3 is published: the heads are pickles of 16-bit numbers."""
    sizes = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "layer_norm_eps": 1e-5, "type_vocab_size": 1,
             "hidden_size": 16, "num_attention_heads": 2}
    words = unigram(ROBERTA)
    config = transformers.XLMRobertaConfig(vocab_size=words.get_vocab_size(), **bert_sizes(LIMIT + 2, **sizes))
    return transformers.XLMRobertaModel(config), words, names(ROBERTA, "<s>", "</s>", "<mask>"), 16, torch.float16


def safe() -> tuple:
    """On another encoder, with fewer values for each token, as safetensors."""
    words = wordpiece(BERT, "[UNK]", "[CLS]", "[SEP]", True)
    sizes = {"hidden_size": 24, "num_attention_heads": 3, "intermediate_size": 32}
    config = transformers.BertConfig(vocab_size=words.get_vocab_size(), **bert_sizes(LIMIT, **sizes))
    return transformers.BertModel(config), words, names(BERT, "[CLS]", "[SEP]", "[MASK]"), 10, None


def fixtures() -> dict:
    return {"published": published, "safetensors": safe}


def head(inputs: int, outputs: int, seed: int, dtype: torch.dtype | None) -> nn.Linear:
    linear, numbers = nn.Linear(inputs, outputs), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in linear.parameters():
            weight.copy_(0.5 * torch.randn(weight.shape, generator=numbers))
            if dtype:
                weight.copy_(weight.to(dtype).float())
    return linear


def save(linear: nn.Linear, file: Path, dtype: torch.dtype | None) -> None:
    state = {key: value.to(dtype or torch.float32) for key, value in linear.state_dict().items()}
    if dtype:
        # In the class and with the state that a module's own dictionary has.
        half = linear.to(dtype).state_dict()
        torch.save(half, file.with_suffix(".pt"))
        linear.float()
    else:
        safetensors.torch.save_file(state, file.with_suffix(".safetensors"))


def make(name: str, fixture, into: Path) -> None:
    model, words, tokens, size, dtype = fixture()
    model.config._attn_implementation = "eager"
    model.eval()
    widen(model, sum(name.encode()))
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words, **tokens, model_max_length=LIMIT)
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    hidden = model.config.hidden_size
    sparse, colbert = head(hidden, 1, 1, dtype), head(hidden, size, 2, dtype)
    with tempfile.TemporaryDirectory() as plain:
        model.save_pretrained(plain)
        tokenizer.save_pretrained(plain)
        parts = [modules.Transformer(plain), modules.Pooling(hidden, pooling_mode="cls"), modules.Normalize()]
        shutil.rmtree(into, ignore_errors=True)
        SentenceTransformer(modules=parts, device="cpu").save(str(into), create_model_card=False)
    save(sparse, into / "sparse_linear", dtype)
    save(colbert, into / "colbert_linear", dtype)
    special = {tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id, tokenizer.unk_token_id}

    rows, values = [], []
    for text in TEXTS + long_texts(LIMIT):
        encoded = tokenizer(text, truncation=True, max_length=LIMIT, return_tensors="pt")
        ids = encoded["input_ids"][0].tolist()
        with torch.no_grad():
            states = model(**encoded).last_hidden_state[0]
            values.append(normalize(states[0], dim=-1).numpy())
            values.append(normalize(colbert(states[1:]), dim=-1).numpy().flatten())
            weights = torch.relu(sparse(states))[:, 0].tolist()
        greatest = {}
        for id, weight in zip(ids, weights):
            if id not in special and weight > greatest.get(id, 0.0):
                greatest[id] = weight
        index = sorted(greatest)
        rows.append({"text": text, "ids": ids, "index": index, "weight": [greatest[id] for id in index]})
    packages = [transformers, sentence_transformers, tokenizers]
    made_with = {package.__name__: package.__version__ for package in packages}
    made_with["torch"] = torch.__version__.split("+")[0]
    (into / "expected.json").write_text(json.dumps({"made_with": made_with, "rows": rows}) + "\n")
    (into / "expected.f32").write_bytes(np.concatenate(values).astype("<f4").tobytes())
    print(name, [len(row["index"]) for row in rows], sum(f.stat().st_size for f in into.rglob("*") if f.is_file()) // 1024,
          "KiB")


def main() -> None:
    known = fixtures()
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    for name in sys.argv[1:] or known:
        make(name, known[name], FIXTURES / name)


if __name__ == "__main__":
    main()
