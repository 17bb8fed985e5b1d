#!/usr/bin/env python3
"""Makes tests/adapters: adapters (LoRA) for models of tests/fixtures, and what the models make of some texts with them.

    pip install transformers sentence-transformers peft
    python tests/expected/adapters.py [NAME ...]

Those of PEFT are made, saved and run by that library; their factors are wide random numbers, so that whatever is left
out shows. Those in the weights of Jina's models are merged here by their definition (xlm_roberta_flash.py).

NAME/adapter_config.json, adapter_model.safetensors   as PEFT saves them; none for adapters in the model's weights
NAME/expected.json   {"model": folder in tests/fixtures, "adapter": its name in the model's weights, or null,
                     "rows": [{"text": string, "ids": [int]}]}
NAME/expected.f32    little-endian f32, for each row: last hidden states [tokens, hidden]
"""

import json
import shutil
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import peft
import safetensors.torch
import torch
import transformers

import family_models
import families
import xlm_roberta_flash

FOLDER = Path(__file__).parent.parent / "adapters"


@dataclass
class Made:
    model: str
    settings: dict
    # Modules that are saved whole, with other numbers.
    whole: list[str] = field(default_factory=list)
    dtype: torch.dtype = torch.float32
    # Standard deviation of the factors.
    spread: float = 0.3


BERT = ["query", "value", "output.dense", "intermediate.dense"]
QWEN = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
MADE = {
    "bert": Made("bert", {"r": 3, "lora_alpha": 5, "target_modules": BERT}),
    # Ranks and factors of some modules' own, the table of words, a norm that is saved whole.
    "bert-patterns": Made(
        "bert",
        {
            "r": 2,
            "lora_alpha": 3,
            "target_modules": BERT + ["word_embeddings"],
            "rank_pattern": {"query": 4, r"layer\.1\.intermediate\.dense": 1},
            "alpha_pattern": {"value": 1, r"layer\.[01]\.attention\.output\.dense": 7},
        },
        whole=["embeddings.LayerNorm"],
    ),
    "qwen3": Made("qwen3", {"r": 4, "lora_alpha": 6, "use_rslora": True, "target_modules": QWEN}),
    "modernbert": Made("modernbert", {"r": 2, "lora_alpha": 2, "target_modules": ["Wqkv", "Wi", "Wo"]}, dtype=torch.bfloat16, spread=0.15),
}


def draw(model: torch.nn.Module, spread: float) -> None:
    numbers = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            drawn = torch.randn(weight.shape, generator=numbers)
            if "lora_" in name:
                weight.copy_((spread * drawn).to(torch.bfloat16))
            elif "modules_to_save" in name:
                weight.copy_(1 + 0.3 * drawn)


def texts(limit: int) -> list[str]:
    return ["wing", "The river, and a letter.", "naïve Zürich façade"] + families.long_texts(limit)[:2]


def expected(into: Path, model: torch.nn.Module, fixture: str, adapter: str | None) -> None:
    folder = families.FIXTURES / fixture
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    limit = family_models.fixtures()[fixture].limit
    rows, values = [], []
    for text in texts(limit):
        ids = tokenizer(text, truncation=True, max_length=limit)["input_ids"]
        batch = torch.tensor([ids])
        with torch.inference_mode():
            hidden = model(input_ids=batch, attention_mask=torch.ones_like(batch)).last_hidden_state[0].numpy()
        assert np.isfinite(hidden).all() and np.abs(hidden).max() < 30, (fixture, np.abs(hidden).max())
        rows.append({"text": text, "ids": ids})
        values.append(hidden.ravel())
    made_with = {package.__name__: package.__version__ for package in [peft, transformers]}
    listing = {"made_with": made_with, "model": fixture, "adapter": adapter, "rows": rows}
    (into / "expected.json").write_text(json.dumps(listing, indent=0) + "\n")
    (into / "expected.f32").write_bytes(np.concatenate(values).astype("<f4").tobytes())
    print(into.name, [len(row["ids"]) for row in rows])


def of_peft(name: str, made: Made) -> None:
    into = FOLDER / name
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    base = transformers.AutoModel.from_pretrained(families.FIXTURES / made.model, attn_implementation="eager").eval()
    config = peft.LoraConfig(**made.settings, modules_to_save=made.whole or None)
    model = peft.get_peft_model(base, config).eval()
    draw(model, made.spread)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder, save_embedding_layers=False)
        for file in ["adapter_config.json", "adapter_model.safetensors"]:
            shutil.copy(Path(folder) / file, into / file)
    weights = into / "adapter_model.safetensors"
    stored = safetensors.torch.load_file(weights)
    safetensors.torch.save_file({name: tensor.to(made.dtype) for name, tensor in stored.items()}, weights)
    settings = json.loads((into / "adapter_config.json").read_text())
    settings["base_model_name_or_path"] = made.model
    (into / "adapter_config.json").write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")
    expected(into, model, made.model, None)


def of_weights(number: int, adapter: str) -> None:
    """The model with an adapter merged, by the library's own model with the renamed weights of the fixture."""
    fixture = "xlm-roberta-flash"
    into = FOLDER / f"jina-{adapter.replace('.', '-')}"
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    made = family_models.fixtures()[fixture]
    stored = safetensors.torch.load_file(families.FIXTURES / fixture / "model.safetensors")
    weights = {}
    for name, tensor in stored.items():
        if "lora_" in name:
            continue
        plain = name.replace(".parametrizations.weight.original", ".weight")
        if plain != name:
            tensor = tensor + xlm_roberta_flash.change(plain, tensor, number)
        weights[plain.removeprefix("roberta.")] = tensor
    vocabulary = made.tokenizer.get_vocab_size()
    config = made.model.config_class(vocab_size=vocabulary, **made.sizes)
    config._attn_implementation = "eager"
    with tempfile.TemporaryDirectory() as folder:
        config.save_pretrained(folder)
        safetensors.torch.save_file(weights, Path(folder) / "model.safetensors", metadata={"format": "pt"})
        model = made.model.from_pretrained(folder, attn_implementation="eager").eval()
    expected(into, model, fixture, adapter)


def main() -> None:
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    for name, made in MADE.items():
        if not sys.argv[1:] or name in sys.argv[1:]:
            of_peft(name, made)
    for number, adapter in enumerate(xlm_roberta_flash.ADAPTERS):
        if not sys.argv[1:] or adapter in sys.argv[1:]:
            of_weights(number, adapter)


if __name__ == "__main__":
    main()
