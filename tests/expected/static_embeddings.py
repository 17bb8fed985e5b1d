#!/usr/bin/env python3
"""Makes the fixtures of static embeddings in tests/fixtures: small tables with random vectors, as
model2vec and as the module StaticEmbedding of sentence-transformers save them, and what these
answer for some texts.

    pip install model2vec sentence-transformers
    python tests/expected/static_embeddings.py [NAME ...]

Files are those of families.py. `ids` are the tokens whose vectors are in the mean: without unknown
ones and those that were cut. Texts without any are left out; their vector is 0.
"""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from model2vec import StaticModel
from model2vec.persistence import save_pretrained
from sentence_transformers import SentenceTransformer
from sentence_transformers import models as modules
from tokenizers import Tokenizer

from families import FIXTURES, TEXTS, long_texts, write_expected
from family_models import BERT, ROBERTA
from family_tokenizers import byte_bpe, unigram, wordpiece

SIZE = 24
# Signs are tokens of one character: rows with as many tokens as there may be. Words are cut by
# their characters.
MORE = ["." * 10, "?!" * 60, "flow " * 40, "機 wing 機 flow 機", "é" * 50 + " wing"]

# Writes a folder; returns what gives the ids of a text, their vectors, and the text's.
Writer = Callable[[Path], tuple[Callable, Callable, Callable]]


def numbers(name: str, *shape: int) -> np.ndarray:
    generator = torch.Generator().manual_seed(sum(name.encode()))
    return torch.randn(shape, generator=generator).numpy()


def of_model2vec(name: str, tokenizer: Tokenizer, limit: int | None, **more) -> Writer:
    def write(into: Path) -> tuple:
        vectors = more.pop("vectors", None)
        if vectors is None:
            vectors = numbers(name, tokenizer.get_vocab_size(), SIZE)
        config = {"model_type": "model2vec", "architectures": ["StaticModel"]}
        config |= {"hidden_dim": vectors.shape[1]}
        model = StaticModel(vectors, tokenizer, config, max_length=limit, **more)
        save_pretrained(
            into,
            model.embedding,
            model.tokenizer,
            model.config,
            create_model_card=False,
            weights=model.weights,
            mapping=model.token_mapping,
        )
        model = StaticModel.from_pretrained(into)
        # Of a text as it is cut.
        cut = lambda text: text if limit is None else text[: limit * model.median_token_length]
        ids = lambda text: model.tokenize([cut(text)])[0]
        vectors = lambda text: model.encode_as_sequence(text, max_length=limit)
        return ids, vectors, lambda text: model.encode([text])[0]

    return write


def of_module(name: str, tokenizer: Tokenizer, folder: str, normalize: bool) -> Writer:
    def write(into: Path) -> tuple:
        weights = numbers(name, tokenizer.get_vocab_size(), SIZE)
        table = modules.StaticEmbedding(tokenizer, torch.from_numpy(weights))
        parts = [table] + [modules.Normalize()] * normalize
        model = SentenceTransformer(modules=parts, device="cpu")
        model.save(str(into), create_model_card=False)
        if folder:
            # As older versions wrote them.
            (into / folder).mkdir()
            for file in ("model.safetensors", "tokenizer.json"):
                (into / file).rename(into / folder / file)
            listing = json.loads((into / "modules.json").read_text())
            listing[0] |= {"path": folder, "type": "sentence_transformers.models.StaticEmbedding"}
            (into / "modules.json").write_text(json.dumps(listing, indent=2) + "\n")
        ids = lambda text: tokenizer.encode(text, add_special_tokens=False).ids
        vectors = lambda text: table.embedding.weight.detach().numpy()[ids(text)]
        return ids, vectors, lambda text: model.encode([text], convert_to_numpy=True)[0]

    return write


def tables() -> dict[str, tuple[Writer, int]]:
    words = lambda: wordpiece(BERT, "[UNK]", "[CLS]", "[SEP]", True)
    count = words().get_vocab_size()
    shared = {
        "vectors": (40 * numbers("model2vec-shared", 30, 16)).clip(-127, 127).astype(np.int8),
        "weights": np.abs(numbers("weights", count)).astype(np.float64) / 50,
        "token_mapping": np.abs(1000 * numbers("mapping", count)).astype(np.int64) % 30,
    }
    cut = unigram(ROBERTA)
    cut.enable_truncation(30)
    return {
        "model2vec": (of_model2vec("model2vec", words(), 20, normalize=True), 20),
        "model2vec-shared": (of_model2vec("model2vec-shared", words(), 40, **shared), 40),
        "model2vec-unlimited": (of_model2vec("unlimited", byte_bpe(["<|end|>"]), None), 60),
        "static-embedding": (of_module("static-embedding", cut, "0_StaticEmbedding", True), 30),
        "static-embedding-plain": (of_module("plain", words(), "", False), 60),
    }


def make(name: str, write: Writer, limit: int, into: Path) -> None:
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir()
    ids_of, vectors_of, vector_of = write(into)
    (into / "README.md").unlink(missing_ok=True)
    rows, values = [], []
    for text in TEXTS + MORE + long_texts(limit):
        ids, vectors, vector = ids_of(text), vectors_of(text), vector_of(text)
        assert len(ids) == len(vectors), (name, text, len(ids), len(vectors))
        if not ids:
            assert not vector.any(), (name, text)
            continue
        mean = vectors.mean(0)
        far = np.abs(mean / np.linalg.norm(mean) - vector / np.linalg.norm(vector)).max()
        assert far < 1e-5, (name, text, far)
        rows.append({"text": text, "ids": list(ids)})
        values += [np.ravel(vectors), mean, vectors[0], vector]
    write_expected(into, rows, values)
    print(name, [len(row["ids"]) for row in rows],
          sum(f.stat().st_size for f in into.rglob("*") if f.is_file()) // 1024, "KiB")


def main() -> None:
    known = tables()
    torch.set_num_threads(1)
    for name in sys.argv[1:] or known:
        write, limit = known[name]
        make(name, write, limit, FIXTURES / name)


if __name__ == "__main__":
    main()
