#!/usr/bin/env python3
"""Makes tests/sentence: small models with the modules of sentence-transformers, random weights, and what
sentence-transformers makes of some texts with them.

    pip install transformers sentence-transformers
    python tests/expected/sentence.py [NAME ...]

Weights and texts are made as those of families.py: wide, from fixed seeds. Models run in f32 on the CPU, one text at a time.

expected.json   {"made_with": {...}, "rows": [{"text": string, "prompt_name": string or null, "ids": [int]}]};
                the ids are those of prompt and text as one string
expected.f32    little-endian f32, the embedding of each row
"""

import json
import shutil
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import families
import family_models
import family_tokenizers
import numpy as np
import sentence_transformers
import tokenizers
import torch
import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers import models as modules
from torch import nn

FIXTURES = Path(__file__).parent.parent / "sentence"
HIDDEN, LIMIT = 16, 24

MODES = ["lasttoken", "max", "weightedmean", "cls", "mean_sqrt_len_tokens", "mean"]
# With a space at the end and without one, a token that is not whole without the text, none.
PROMPTS = {"query": "the river: ", "plain": "wing", "half": "harb", "document": ""}


@dataclass
class Fixture:
    modules: list
    prompts: dict = field(default_factory=dict)
    default_prompt_name: str | None = None
    truncation_side: str = "right"
    # Whether the pooling's file has a flag for each mode, as before version 5.4, and where the encoder lies.
    flags: bool = False
    folder: str = ""


def pooling(*modes: str, include_prompt: bool = True) -> modules.Pooling:
    return modules.Pooling(HIDDEN, pooling_mode=modes, include_prompt=include_prompt)


def dense(inputs: int, outputs: int, activation: nn.Module, **more) -> modules.Dense:
    return modules.Dense(inputs, outputs, activation_function=activation, **more)


def fixtures() -> dict[str, Fixture]:
    normalize = modules.Normalize
    return {
        # Every pooling, in an order of its own.
        "poolings": Fixture([pooling(*MODES)], PROMPTS),
        # The same without the tokens of the prompt, one of which is used by default.
        "unpooled-prompt": Fixture([pooling(*MODES, include_prompt=False)], PROMPTS, "query"),
        "dense": Fixture(
            [
                pooling("cls", "mean"),
                dense(2 * HIDDEN, 12, nn.Tanh()),
                modules.LayerNorm(12),
                dense(12, 20, nn.GELU(), use_residual=True),
                dense(20, 20, nn.SiLU(), bias=False, use_residual=True),
                normalize(),
            ],
            flags=True,
            folder="0_Transformer",
        ),
        "activations": Fixture(
            [
                pooling("lasttoken"),
                normalize(),
                dense(HIDDEN, 10, nn.Sigmoid()),
                dense(10, 14, nn.ReLU()),
                dense(14, 9, nn.Identity()),
                modules.LayerNorm(9),
            ],
            truncation_side="left",
        ),
    }


FLAGS = {
    "cls": "pooling_mode_cls_token",
    "max": "pooling_mode_max_tokens",
    "mean": "pooling_mode_mean_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}


def with_flags(folder: Path) -> None:
    file = folder / "1_Pooling" / "config.json"
    config = json.loads(file.read_text())
    modes = config.pop("pooling_mode")
    modes = [modes] if isinstance(modes, str) else modes
    config["word_embedding_dimension"] = config.pop("embedding_dimension")
    file.write_text(json.dumps(config | {flag: mode in modes for mode, flag in FLAGS.items()}, indent=2))


def in_folder(into: Path, folder: str) -> None:
    """Moves the encoder's files, as older versions saved them."""
    (into / folder).mkdir()
    for file in [file for file in into.iterdir() if file.is_file()]:
        if file.name not in ("modules.json", "config_sentence_transformers.json"):
            file.rename(into / folder / file.name)
    listing = json.loads((into / "modules.json").read_text())
    listing[0]["path"] = folder
    (into / "modules.json").write_text(json.dumps(listing, indent=2))


def make(name: str, fixture: Fixture, into: Path) -> None:
    words = family_tokenizers.wordpiece(family_models.BERT, "[UNK]", "[CLS]", "[SEP]", True)
    sizes = family_models.bert_sizes(LIMIT + 8, hidden_size=HIDDEN, num_hidden_layers=1, num_attention_heads=2)
    sizes["intermediate_size"] = 24
    config = transformers.BertConfig(vocab_size=words.get_vocab_size(), **sizes)
    config._attn_implementation = "eager"
    model = transformers.BertModel(config).eval()
    families.widen(model, sum(name.encode()))
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words,
        model_max_length=LIMIT,
        truncation_side=fixture.truncation_side,
        **family_models.names(family_models.BERT, "[CLS]", "[SEP]", "[MASK]"),
    )
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    for number, module in enumerate(fixture.modules):
        numbers = torch.Generator().manual_seed(number)
        with torch.no_grad():
            for weight in module.parameters():
                weight.copy_(0.5 * torch.randn(weight.shape, generator=numbers))
    with tempfile.TemporaryDirectory() as plain:
        model.save_pretrained(plain)
        tokenizer.save_pretrained(plain)
        sentences = SentenceTransformer(
            modules=[modules.Transformer(plain), *fixture.modules],
            prompts=fixture.prompts,
            default_prompt_name=fixture.default_prompt_name,
            device="cpu",
        )
        shutil.rmtree(into, ignore_errors=True)
        sentences.save(str(into), create_model_card=False)
    if fixture.flags:
        with_flags(into)
    if fixture.folder:
        in_folder(into, fixture.folder)
    # What is computed is what was saved.
    sentences = SentenceTransformer(str(into), device="cpu")

    rows, values = [], []
    for text in families.TEXTS + families.long_texts(LIMIT):
        for prompt in [None, *fixture.prompts]:
            embedding = sentences.encode([text], prompt_name=prompt, convert_to_numpy=True)[0]
            before = fixture.prompts.get(prompt or fixture.default_prompt_name, "")
            ids = tokenizer(before + text, truncation=True, max_length=LIMIT)["input_ids"]
            rows.append({"text": text, "prompt_name": prompt, "ids": ids})
            values.append(embedding)
    packages = [transformers, sentence_transformers, tokenizers]
    made_with = {package.__name__: package.__version__ for package in packages}
    made_with["torch"] = torch.__version__.split("+")[0]
    (into / "expected.json").write_text(json.dumps({"made_with": made_with, "rows": rows}) + "\n")
    (into / "expected.f32").write_bytes(np.concatenate(values).astype("<f4").tobytes())
    sizes = sum(f.stat().st_size for f in into.rglob("*") if f.is_file()) // 1024
    print(name, len(values[0]), len(rows), sizes, "KiB", np.abs(values).max())


def main() -> None:
    known = fixtures()
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    for name in sys.argv[1:] or known:
        make(name, known[name], FIXTURES / name)


if __name__ == "__main__":
    main()
