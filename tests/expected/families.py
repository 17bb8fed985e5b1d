#!/usr/bin/env python3
"""Makes tests/fixtures: a small model of every family with random weights, and what transformers and
sentence-transformers make of some texts with it.

    pip install transformers sentence-transformers
    python tests/expected/families.py [NAME ...]

Weights are wide (standard deviations of 0.2 to 1, scales and shifts of norms too), so that whatever is left out or
mistaken shows in the results. Everything comes from fixed seeds: the same versions write the same bytes. A model is
saved by the libraries themselves, some as a bare encoder and some with a head of pre-training, some with the files of
sentence-transformers and some without; then config.json is rewritten for some as published models have it
(family_models.py). Models run in f32 on the CPU, one text at a time, so that no padding takes part.

expected.json   {"made_with": {...}, "rows": [{"text": string, "ids": [int]}]}
expected.f32    little-endian f32, for each row: last hidden states [tokens, hidden]; their mean; the first token's;
                what sentence-transformers answers [hidden]
"""

import json
import random
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import sentence_transformers
import tokenizers
import torch
import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers import models as modules

from family_models import Fixture, fixtures
from family_tokenizers import WORDS

FIXTURES = Path(__file__).parent.parent / "fixtures"

# Short, empty, awkward, with names of special tokens; then long ones that are made for each limit.
TEXTS = [
    "",
    " \t\n",
    "wing",
    "The river, and a letter.",
    "zebra!",
    "naïve Zürich façade",
    "機器 learning 🎶",
    "a\u0000b\u200bc \ufffd",
    "<pad> wing [PAD] <pad>flow </s> <mask>",
]


def long_texts(limit: int) -> list[str]:
    rng = random.Random(7)
    words = lambda count: " ".join(rng.choice(WORDS) for _ in range(count))
    # One that may have the limit's number of tokens, one beyond it, and one that is cut for certain.
    return [words(limit - 2), words(limit - 1), words(2 * limit), words(limit // 2)]


def widen(model: torch.nn.Module, seed: int, spread: float = 0.3) -> None:
    """Draws every weight anew, with a spread by what it is."""
    random_numbers = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            numbers = torch.randn(weight.shape, generator=random_numbers)
            if "norm" in name.lower():
                # The scales of Gemma are stored less 1.
                one = name.endswith("weight") and not model.config.model_type.startswith("gemma")
                weight.copy_(one + 0.3 * numbers)
            elif "embeddings." in name or "embed_tokens" in name or "relative_attention_bias" in name:
                weight.copy_(numbers)
            else:
                weight.copy_(spread * numbers)


def make(name: str, fixture: Fixture, into: Path) -> None:
    vocabulary = fixture.tokenizer.get_vocab_size()
    config = fixture.model.config_class(vocab_size=vocabulary, **fixture.sizes)
    config._attn_implementation = "eager"
    model = fixture.model(config).eval()
    widen(model, sum(name.encode()), fixture.spread)
    fixture.prepare(model)
    limits = {} if fixture.tokenizer_limit is None else {"model_max_length": fixture.tokenizer_limit}
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=fixture.tokenizer, **fixture.tokens, **limits)
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    with tempfile.TemporaryDirectory() as plain:
        model.save_pretrained(plain)
        tokenizer.save_pretrained(plain)
        transformer = modules.Transformer(plain)
        pooling, normalize = fixture.sentence or ("mean", False)
        if fixture.sentence_limit is not None:
            transformer.max_seq_length = fixture.sentence_limit
        size = model.config.hidden_size
        parts = [transformer, modules.Pooling(size, pooling_mode=pooling)] + [modules.Normalize()] * normalize
        sentences = SentenceTransformer(modules=parts, device="cpu")
        fixture.prepare(transformer.auto_model)
        shutil.rmtree(into, ignore_errors=True)
        if fixture.sentence:
            sentences.save(str(into), create_model_card=False)
        else:
            shutil.copytree(plain, into)
        fixture.rewrite(into)

    sentences.max_seq_length = fixture.limit
    encoder = model.base_model
    rows, values = [], []
    for text in TEXTS + long_texts(fixture.limit):
        ids = tokenizer(text, truncation=True, max_length=fixture.limit)["input_ids"]
        if not ids:
            continue  # an empty text without special tokens is a row without tokens
        batch = torch.tensor([ids])
        with torch.inference_mode():
            hidden = encoder(input_ids=batch, attention_mask=torch.ones_like(batch)).last_hidden_state[0].numpy()
            embedding = sentences.encode([text], convert_to_numpy=True)[0]
        assert np.isfinite(hidden).all() and np.abs(hidden).max() < 20, (name, text, np.abs(hidden).max())
        pooled = {"mean": hidden.mean(0), "cls": hidden[0], "lasttoken": hidden[-1]}[pooling]
        pooled = pooled / np.linalg.norm(pooled) if normalize else pooled
        assert np.abs(pooled - embedding).max() < 1e-5, (name, text, np.abs(pooled - embedding).max())
        rows.append({"text": text, "ids": ids})
        values += [hidden.ravel(), hidden.mean(0), hidden[0], embedding]
    lengths = [len(row["ids"]) for row in rows]
    assert max(lengths) == fixture.limit, (name, lengths)
    write_expected(into, rows, values)
    print(name, vocabulary, lengths, sum(f.stat().st_size for f in into.rglob("*") if f.is_file()) // 1024, "KiB")


def write_expected(into: Path, rows: list[dict], values: list[np.ndarray], sizes: list[int] | None = None) -> None:
    packages = [transformers, sentence_transformers, tokenizers]
    made_with = {package.__name__: package.__version__ for package in packages}
    made_with["torch"] = torch.__version__.split("+")[0]
    listing = {"made_with": made_with, "rows": rows} | ({"sizes": sizes} if sizes else {})
    (into / "expected.json").write_text(json.dumps(listing, indent=0) + "\n")
    (into / "expected.f32").write_bytes(np.concatenate([np.ravel(value) for value in values]).astype("<f4").tobytes())


def main() -> None:
    known = fixtures()
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    for name in sys.argv[1:] or known:
        make(name, known[name], FIXTURES / name)


if __name__ == "__main__":
    main()
