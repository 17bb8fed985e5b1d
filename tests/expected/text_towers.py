#!/usr/bin/env python3
"""Makes the fixtures of CLIP and SigLIP in tests/fixtures: a small model with random weights of
each kind of folder, and what transformers says with it for some texts.

    pip install transformers sentence-transformers
    python tests/expected/text_towers.py [NAME ...]

Models run in f32 on the CPU, one text at a time. Files are those of families.py; in expected.json
`sizes` are those of a token's vector and of a text's, which is that of `get_text_features`, or
`text_embeds`.
"""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
import transformers as t
from tokenizers import AddedToken, Regex, Tokenizer, normalizers

from families import FIXTURES, TEXTS, long_texts, widen, write_expected
from family_tokenizers import LETTERS, SIGNS, WORDS, unigram

END = "<|endoftext|>"


@dataclass
class Tower:
    model: Callable[[], t.PreTrainedModel]
    tokenizer: t.PreTrainedTokenizerBase
    limit: int
    # True where rows are filled up to the limit.
    padded: bool = False
    rewrite: Callable[[dict], None] = lambda config: None
    texts: list[str] = field(default_factory=list)


def clip_tokenizer(limit: int, more: list[str] = []) -> t.PreTrainedTokenizerBase:
    """Letters of CLIP's alphabet, each alone and at the end of a word, and merges of some words."""
    signs = [*LETTERS, *SIGNS, *'!"#$%&()*+,/:;<=>@[]^_|~', "Ã", "¯", "¼", "§"]
    signs = list(dict.fromkeys(signs))
    pieces, merges = signs + [f"{sign}</w>" for sign in signs], []
    for word in WORDS:
        parts = [*word[:-1], f"{word[-1]}</w>"]
        piece = parts[0]
        for part in parts[1:]:
            if (piece, part) not in merges:
                merges.append((piece, part))
                pieces.append(piece + part)
            piece += part
    pieces = list(dict.fromkeys(pieces)) + ["<|startoftext|>", END, *more]
    vocabulary = {piece: at for at, piece in enumerate(pieces)}
    return t.CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=limit)


def siglip_tokenizer(limit: int) -> t.PreTrainedTokenizerBase:
    """Texts in small letters, without signs; a sign at the end, and the same to fill rows up."""
    pieces: Tokenizer = unigram(["<pad>", "</s>", "<unk>"], single="$A </s>")
    pieces.normalizer = normalizers.Sequence([
        normalizers.Lowercase(),
        normalizers.Replace(Regex(r"[!-/:-@\[-`{-~]"), ""),
        normalizers.Replace(Regex(r"\s+"), " "),
        normalizers.Strip(),
    ])
    return t.PreTrainedTokenizerFast(
        tokenizer_object=pieces,
        pad_token="</s>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=limit,
    )


def sizes(heads: int, vocabulary: int, positions: int) -> dict:
    return {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": heads,
        "vocab_size": vocabulary,
        "max_position_embeddings": positions,
    }


VISION = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 8,
    "patch_size": 4,
}


def towers() -> dict[str, Tower]:
    clip, clip_newer = clip_tokenizer(30), clip_tokenizer(24, ["<|other|>"])
    siglip = siglip_tokenizer(20)
    other = AddedToken("<|other|>", special=True, normalized=False)
    clip_newer.add_special_tokens({"additional_special_tokens": [other]})
    # As the published ones: the end of a text is that with the greatest id, whatever the key says.
    former = sizes(4, len(clip), 30) | {"eos_token_id": 2, "bos_token_id": 0}
    newer = sizes(2, len(clip_newer), 24) | {"projection_dim": 12, "hidden_act": "gelu"}
    newer |= {"eos_token_id": clip_newer.eos_token_id}
    of_siglip = sizes(4, len(siglip), 20) | {"projection_size": 24}

    def short(config: dict) -> None:
        """As published: what is usual is not said."""
        usual = t.SiglipTextConfig().to_dict()
        text = config["text_config"].items()
        config["text_config"] = {key: value for key, value in text if usual.get(key) != value}

    both = dict(vision_config=VISION)
    of_clip = t.CLIPConfig(text_config=former, projection_dim=20, **both)
    text_alone = t.CLIPTextConfig(**newer)
    of_siglip = t.SiglipConfig(text_config=of_siglip, **both)
    others = ["wing <|other|> flow", "<|other|>"]
    return {
        "clip": Tower(lambda: t.CLIPModel(of_clip), clip, 30),
        "clip-text": Tower(
            lambda: t.CLIPTextModelWithProjection(text_alone), clip_newer, 24, texts=others
        ),
        "siglip": Tower(
            lambda: t.SiglipModel(of_siglip), siglip, 20, padded=True, rewrite=short
        ),
    }


def make(name: str, tower: Tower, into: Path) -> None:
    model = tower.model().eval()
    widen(model, sum(name.encode()), 0.2)
    shutil.rmtree(into, ignore_errors=True)
    model.save_pretrained(into)
    tower.tokenizer.save_pretrained(into)
    config = json.loads((into / "config.json").read_text())
    tower.rewrite(config)
    (into / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    rows, values = [], []
    for text in TEXTS + tower.texts + long_texts(tower.limit):
        padding = "max_length" if tower.padded else False
        limits = dict(truncation=True, max_length=tower.limit, padding=padding)
        ids = tower.tokenizer(text, return_tensors="pt", **limits)["input_ids"]
        with torch.inference_mode():
            # Without a mask: padding is attended to.
            hidden = model.text_model(input_ids=ids).last_hidden_state[0]
            if hasattr(model, "get_text_features"):
                vector = model.get_text_features(input_ids=ids).pooler_output[0]
            else:
                vector = model(input_ids=ids).text_embeds[0]
        rows.append({"text": text, "ids": ids[0].tolist()})
        values += [hidden.flatten(), hidden.mean(0), hidden[0], vector]
    sizes_of_vectors = [hidden.shape[1], vector.shape[0]]
    write_expected(into, rows, [value.numpy() for value in values], sizes_of_vectors)
    print(name, len(tower.tokenizer), [len(row["ids"]) for row in rows],
          sum(f.stat().st_size for f in into.rglob("*") if f.is_file()) // 1024, "KiB")


def main() -> None:
    known = towers()
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    for name in sys.argv[1:] or known:
        make(name, known[name], FIXTURES / name)


if __name__ == "__main__":
    main()
