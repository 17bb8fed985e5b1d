"""Files of XLM-RoBERTa as Jina's code for flash attention reads and writes them, and its adapters.

The names, the keys of config.json and the products of the adapters are written down here from their definition: a
weight with adapters is `X.parametrizations.weight.original`, changed by `alpha / rank` times the product of two factors
(Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, 2021), which are stacked over the adapters. The table of
words is changed by rows: its factors are transposed.
"""

import json
from pathlib import Path

import safetensors.torch
import torch

ADAPTERS = ["retrieval.query", "retrieval.passage", "separation"]
RANK = 4
ALPHA = 3.0

# Names of transformers' XLM-RoBERTa, and those of the code.
RENAMED = [
    ("embeddings.LayerNorm", "emb_ln"),
    ("encoder.layer.", "encoder.layers."),
    ("attention.output.dense", "mixer.out_proj"),
    ("attention.output.LayerNorm", "norm1"),
    ("intermediate.dense", "mlp.fc1"),
    ("output.LayerNorm", "norm2"),
    ("output.dense", "mlp.fc2"),
]


def renamed(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Names the tensors of an XLM-RoBERTa as the code does, with queries, keys and values in one."""
    named = {}
    for name, tensor in weights.items():
        for old, new in RENAMED:
            name = name.replace(old, new)
        named[name] = tensor
    for name in [name for name in named if ".attention.self.query." in name]:
        parts = [named.pop(name.replace("query", part)) for part in ["query", "key", "value"]]
        named[name.replace("attention.self.query", "mixer.Wqkv")] = torch.cat(parts)
    return named


def has_adapters(name: str) -> bool:
    return name.endswith(".weight") and "norm" not in name and "emb_ln" not in name and "position" not in name


def factors(name: str, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Draws the factors of all adapters of a weight."""
    numbers = torch.Generator().manual_seed(sum(name.encode()))
    rows, columns = weight.shape
    first, second = (RANK, columns), (rows, RANK)
    if "embeddings" in name:
        first, second = (rows, RANK), (RANK, columns)
    draw = lambda shape: 0.3 * torch.randn((len(ADAPTERS), *shape), generator=numbers)
    return draw(first), draw(second)


def change(name: str, weight: torch.Tensor, adapter: int) -> torch.Tensor:
    """Returns the change of a weight by an adapter."""
    first, second = (factor[adapter] for factor in factors(name, weight))
    product = first @ second if "embeddings" in name else second @ first
    return product * (ALPHA / RANK)


def published(folder: Path, rotary: float | None) -> None:
    """Rewrites the files of a folder: with rotary positions of this base, and then with adapters, or with learned
    ones."""
    path = folder / "model.safetensors"
    weights = renamed(safetensors.torch.load_file(path))
    config = json.loads((folder / "config.json").read_text())
    code = "jinaai/xlm-roberta-flash-implementation--modeling"
    kept = ["vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act"]
    kept += ["max_position_embeddings", "type_vocab_size", "layer_norm_eps", "pad_token_id", "bos_token_id"]
    config = {key: config[key] for key in kept + ["eos_token_id"]} | {"model_type": "xlm-roberta"}
    if rotary is None:
        config |= {
            "architectures": ["XLMRobertaModel"],
            "auto_map": {"AutoModel": f"{code}_xlm_roberta.XLMRobertaModel"},
            "position_embedding_type": "absolute",
        }
    else:
        config |= {
            "architectures": ["XLMRobertaModel"],
            "auto_map": {"AutoModel": f"{code}_lora.XLMRobertaLoRA"},
            "position_embedding_type": "rotary",
            "rotary_emb_base": rotary,
            "lora_adaptations": ADAPTERS,
            "lora_alpha": ALPHA,
            "lora_rank": RANK,
        }
        plain, weights = weights, {}
        for name, tensor in plain.items():
            name = f"roberta.{name}"
            if not has_adapters(name):
                weights[name] = tensor
                continue
            stem = name.removesuffix(".weight") + ".parametrizations.weight."
            first, second = factors(name, tensor)
            weights |= {f"{stem}original": tensor, f"{stem}0.lora_A": first, f"{stem}0.lora_B": second}
    weights = {name: tensor.contiguous() for name, tensor in weights.items()}
    safetensors.torch.save_file(weights, path, metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    if rotary is not None:
        modules = json.loads((folder / "modules.json").read_text())
        # A class in a file of the repository, which passes the name of the adapter on.
        modules[0]["type"] = "custom_st.Transformer"
        (folder / "modules.json").write_text(json.dumps(modules, indent=2) + "\n")
