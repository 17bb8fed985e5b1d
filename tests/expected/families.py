#!/usr/bin/env python3
"""Makes tests/fixtures: a small model of every family with random weights, and what transformers and
sentence-transformers make of some texts with it.

    pip install transformers sentence-transformers
    python tests/expected/families.py [NAME ...]

Weights are wide (standard deviations of 0.3 to 1, scales and shifts of norms too), so that whatever is left out or
mistaken shows in the results. Everything comes from fixed seeds: the same versions write the same bytes. A model is
saved by the libraries themselves, some as a bare encoder and some with a head of pre-training, some with the files of
sentence-transformers and some without. Models run in f32 on the CPU, one text at a time, so that no padding takes part.

expected.json   {"made_with": {...}, "rows": [{"text": string, "ids": [int]}]}
expected.f32    little-endian f32, for each row: last hidden states [tokens, hidden]; their mean; the first token's;
                what sentence-transformers answers [hidden]
"""

import json
import random
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sentence_transformers
import tokenizers
import torch
import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers import models as modules
from tokenizers import AddedToken, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE, Unigram, WordPiece

FIXTURES = Path(__file__).parent.parent / "fixtures"

LETTERS = "abcdefghijklmnopqrstuvwxyz"
SIGNS = ".,!?'-0123456789"
WORDS = """the of and a wing flow river letter bakery orange quantum ledger harbour violin tomorrow heat layer
pressure""".split()

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


def wordpiece(specials: list[str], unknown: str, first: str, last: str, lowercase: bool) -> Tokenizer:
    pieces = [*specials, *LETTERS, *LETTERS.upper(), *SIGNS, "ï", "機"]
    pieces += [f"##{sign}" for sign in LETTERS + "0123456789"]
    pieces += ["##er", "##ing", "##our", *(word for word in WORDS if word != "a")]
    tokenizer = Tokenizer(WordPiece({piece: at for at, piece in enumerate(pieces)}, unk_token=unknown))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    around(tokenizer, specials, first, last)
    return tokenizer


def byte_bpe(specials: list[str]) -> Tokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces, merges = [*specials, *alphabet], []
    for word in WORDS:
        piece = "Ġ"
        for letter in word:
            if (piece, letter) not in merges:
                merges.append((piece, letter))
                pieces.append(piece + letter)
            piece += letter
    pieces.append("<mask>")
    vocabulary = {piece: at for at, piece in enumerate(pieces)}
    tokenizer = Tokenizer(BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    add_specials(tokenizer, [*specials, "<mask>"])
    pair = ("</s>", vocabulary["</s>"]), ("<s>", vocabulary["<s>"])
    tokenizer.post_processor = processors.RobertaProcessing(*pair, trim_offsets=True, add_prefix_space=False)
    return tokenizer


def unigram(specials: list[str]) -> Tokenizer:
    pieces = [*specials, "▁", *LETTERS, *LETTERS.upper(), *SIGNS, "ï", "機", "er", "ing", "our"]
    pieces += [f"▁{word}" for word in WORDS] + ["<mask>"]
    scored = [(piece, 0.0 if piece in specials else -9.0 + 0.9 * len(piece)) for piece in pieces]
    tokenizer = Tokenizer(Unigram(scored, unk_id=specials.index("<unk>"), byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")]
    )
    tokenizer.decoder = decoders.Metaspace()
    around(tokenizer, [*specials, "<mask>"], "<s>", "</s>")
    return tokenizer


def around(tokenizer: Tokenizer, specials: list[str], first: str, last: str) -> None:
    """Puts special tokens around a text and between two, as the families do."""
    add_specials(tokenizer, specials)
    second = f"$B:1 {last}:1" if last == "[SEP]" else f"{last} $B {last}"
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}",
        pair=f"{first} $A {last} {second}",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (first, last)],
    )


def add_specials(tokenizer: Tokenizer, specials: list[str]) -> None:
    # A mask takes the space before it, as in the published files of these families.
    add = lambda token: AddedToken(token, lstrip=token == "<mask>", normalized=False, special=True)
    tokenizer.add_special_tokens([add(token) for token in specials])


BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ROBERTA = ["<s>", "<pad>", "</s>", "<unk>"]
CAMEMBERT = ["<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED", "<s>", "</s>"]
MPNET = ["<s>", "<pad>", "</s>", "<unk>", "[UNK]", "<mask>"]


def names(specials: list[str], first: str, last: str, mask: str) -> dict[str, str]:
    known = {"pad_token": specials[0], "unk_token": specials[1]} if first == "[CLS]" else {"pad_token": "<pad>"}
    if first != "[CLS]":
        known |= {"unk_token": "[UNK]" if "[UNK]" in specials else "<unk>", "bos_token": first, "eos_token": last}
    return known | {"cls_token": first, "sep_token": last, "mask_token": mask}


@dataclass
class Fixture:
    model: type
    sizes: dict
    tokenizer: Tokenizer
    tokens: dict
    # The tokenizer's limit; the libraries write 1e30 where there is none.
    tokenizer_limit: int | None
    # Pooling and whether vectors are scaled to length 1; none: no files of sentence-transformers.
    sentence: tuple[str, bool] | None
    sentence_limit: int | None
    # What must come of positions and limits.
    limit: int


def bert_sizes(positions: int, **more) -> dict:
    return {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 56,
        "max_position_embeddings": positions,
    } | more


def fixtures() -> dict[str, Fixture]:
    t = transformers
    of_bert = dict(tokens=names(BERT, "[CLS]", "[SEP]", "[MASK]"))
    of_roberta = dict(tokens=names(ROBERTA, "<s>", "</s>", "<mask>"))
    uncased = lambda: wordpiece(BERT, "[UNK]", "[CLS]", "[SEP]", True)
    cased = lambda: wordpiece(BERT, "[UNK]", "[CLS]", "[SEP]", False)
    roberta = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "type_vocab_size": 1, "layer_norm_eps": 1e-5}
    camembert = roberta | {"bos_token_id": 5, "eos_token_id": 6}
    distilbert = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 56, "max_position_embeddings": 40}
    mpnet = {"hidden_size": 24, "num_attention_heads": 3, "layer_norm_eps": 1e-5, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
    odd = {"hidden_size": 36, "num_attention_heads": 4}
    return {
        "bert": Fixture(t.BertModel, bert_sizes(48), uncased(), **of_bert, tokenizer_limit=48,
                        sentence=("mean", True), sentence_limit=40, limit=40),
        "roberta": Fixture(t.RobertaForMaskedLM, bert_sizes(42, **roberta), byte_bpe(ROBERTA), **of_roberta,
                           tokenizer_limit=None, sentence=None, sentence_limit=None, limit=40),
        "xlm-roberta": Fixture(t.XLMRobertaModel, bert_sizes(60, **roberta | odd), unigram(ROBERTA), **of_roberta,
                               tokenizer_limit=None, sentence=("cls", True), sentence_limit=36, limit=36),
        "camembert": Fixture(t.CamembertModel, bert_sizes(50, **camembert), unigram(CAMEMBERT),
                             tokens=names(CAMEMBERT, "<s>", "</s>", "<mask>"), tokenizer_limit=36,
                             sentence=("mean", False), sentence_limit=None, limit=36),
        "distilbert": Fixture(t.DistilBertForMaskedLM, distilbert, cased(), **of_bert, tokenizer_limit=512,
                              sentence=None, sentence_limit=None, limit=40),
        "electra": Fixture(t.ElectraForPreTraining, bert_sizes(40, embedding_size=24), uncased(), **of_bert,
                           tokenizer_limit=None, sentence=None, sentence_limit=None, limit=40),
        "electra-unprojected": Fixture(t.ElectraModel, bert_sizes(40, embedding_size=32), uncased(), **of_bert,
                                       tokenizer_limit=40, sentence=("cls", False), sentence_limit=None, limit=40),
        "mpnet": Fixture(t.MPNetModel, bert_sizes(134, **mpnet), wordpiece(MPNET, "[UNK]", "<s>", "</s>", True),
                         tokens=names(MPNET, "<s>", "</s>", "<mask>"), tokenizer_limit=512,
                         sentence=("mean", True), sentence_limit=None, limit=132),
    }


def widen(model: torch.nn.Module, seed: int) -> None:
    """Draws every weight anew, with a spread by what it is."""
    random_numbers = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            numbers = torch.randn(weight.shape, generator=random_numbers)
            if "LayerNorm" in name or "layer_norm" in name:
                weight.copy_(1 + 0.3 * numbers if name.endswith("weight") else 0.3 * numbers)
            elif "embeddings." in name or "relative_attention_bias" in name:
                weight.copy_(numbers)
            else:
                weight.copy_(0.3 * numbers)


def make(name: str, fixture: Fixture, into: Path) -> None:
    vocabulary = fixture.tokenizer.get_vocab_size()
    config = fixture.model.config_class(vocab_size=vocabulary, **fixture.sizes)
    config._attn_implementation = "eager"
    model = fixture.model(config).eval()
    widen(model, sum(name.encode()))
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
        shutil.rmtree(into, ignore_errors=True)
        if fixture.sentence:
            sentences.save(str(into), create_model_card=False)
        else:
            shutil.copytree(plain, into)

    sentences.max_seq_length = fixture.limit
    encoder = model.base_model
    rows, values = [], []
    for text in TEXTS + long_texts(fixture.limit):
        ids = tokenizer(text, truncation=True, max_length=fixture.limit)["input_ids"]
        batch = torch.tensor([ids])
        with torch.inference_mode():
            hidden = encoder(input_ids=batch, attention_mask=torch.ones_like(batch)).last_hidden_state[0].numpy()
            embedding = sentences.encode([text], convert_to_numpy=True)[0]
        pooled = hidden.mean(0) if pooling == "mean" else hidden[0]
        pooled = pooled / np.linalg.norm(pooled) if normalize else pooled
        assert np.abs(pooled - embedding).max() < 1e-5, (name, text, np.abs(pooled - embedding).max())
        rows.append({"text": text, "ids": ids})
        values += [hidden.ravel(), hidden.mean(0), hidden[0], embedding]
    lengths = [len(row["ids"]) for row in rows]
    assert max(lengths) == fixture.limit, (name, lengths)
    packages = [transformers, sentence_transformers, tokenizers]
    made_with = {package.__name__: package.__version__ for package in packages}
    made_with["torch"] = torch.__version__.split("+")[0]
    listing = json.dumps({"made_with": made_with, "rows": rows}, indent=0)
    (into / "expected.json").write_text(listing + "\n")
    (into / "expected.f32").write_bytes(np.concatenate(values).astype("<f4").tobytes())
    print(name, vocabulary, lengths, sum(f.stat().st_size for f in into.rglob("*") if f.is_file()) // 1024, "KiB")


def main() -> None:
    known = fixtures()
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    for name in sys.argv[1:] or known:
        make(name, known[name], FIXTURES / name)


if __name__ == "__main__":
    main()
