"""Makes a model of a family and size with random weights, to measure speed with the example
encode_speed, and the cost of `dtype: int8` with int8_quality:
python random_model.py NAME FOLDER [MODEL.onnx]

With a third argument the encoder is also exported for onnxruntime, with mean pooling and scaling to
length 1. Needs torch and transformers, and for the export onnx and onnxscript. The sizes are those
of the families' usual models; the numbers are random, as transformers draws them.
"""

import json
import sys
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer, models
from transformers import AutoModel

sys.path.append(str(Path(__file__).parents[2] / "tests/expected"))
import jina_bert  # noqa: E402: transformers has no such family


def bert(config, hidden, layers, **more):
    return config(
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 64,
        intermediate_size=4 * hidden,
        vocab_size=30522,
        **more,
    )


def deberta(hidden, layers):
    return bert(
        transformers.DebertaV2Config,
        hidden,
        layers,
        relative_attention=True,
        position_buckets=256,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        pos_att_type=["p2c", "c2p"],
        position_biased_input=False,
        max_relative_positions=-1,
        type_vocab_size=0,
    )


BASE, LARGE = (768, 12), (1024, 24)
MODELS = {
    "bert-base": lambda: bert(transformers.BertConfig, *BASE),
    "bert-large": lambda: bert(transformers.BertConfig, *LARGE),
    "xlm-roberta-base": lambda: bert(transformers.XLMRobertaConfig, *BASE, max_position_embeddings=514, type_vocab_size=1),
    "xlm-roberta-large": lambda: bert(transformers.XLMRobertaConfig, *LARGE, max_position_embeddings=514, type_vocab_size=1),
    "modernbert-base": lambda: transformers.ModernBertConfig(),
    "modernbert-large": lambda: transformers.ModernBertConfig(
        hidden_size=1024, intermediate_size=2624, num_hidden_layers=28, num_attention_heads=16
    ),
    "deberta-base": lambda: deberta(*BASE),
    "deberta-large": lambda: deberta(*LARGE),
    "qwen3-0.6b": lambda: transformers.Qwen3Config(
        vocab_size=30522,
        hidden_size=1024,
        intermediate_size=3072,
        num_hidden_layers=28,
        num_attention_heads=16,
        num_key_value_heads=8,
        head_dim=128,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
    ),
    "distilbert-base": lambda: transformers.DistilBertConfig(),
    "electra-base": lambda: bert(transformers.ElectraConfig, *BASE, embedding_size=768),
    "mpnet-base": lambda: bert(transformers.MPNetConfig, *BASE, max_position_embeddings=514),
    "nomic-base": lambda: transformers.NomicBertConfig(vocab_size=30528),
    "gte-base": lambda: bert(transformers.GteConfig, *BASE, max_position_embeddings=8192, type_vocab_size=0),
    "eurobert-210m": lambda: transformers.EuroBertConfig(
        vocab_size=30522,
        hidden_size=768,
        intermediate_size=3072,
        num_hidden_layers=12,
        num_attention_heads=12,
        pad_token_id=0,
    ),
    "gemma3-300m": lambda: transformers.Gemma3TextConfig(
        vocab_size=30522,
        hidden_size=768,
        intermediate_size=1152,
        num_hidden_layers=24,
        num_attention_heads=3,
        num_key_value_heads=1,
        head_dim=256,
        sliding_window=512,
        max_position_embeddings=2048,
        use_bidirectional_attention=True,
    ),
    "jina-base": lambda: jina_bert.JinaBertConfig(
        vocab_size=30528,
        hidden_size=768,
        num_hidden_layers=12,
        num_attention_heads=12,
        intermediate_size=3072,
        max_position_embeddings=8192,
    ),
    # The token that ends the rows of the built-in tokenizer.
    "clip-text-base": lambda: transformers.CLIPTextConfig(vocab_size=30522, eos_token_id=102),
    "siglip-text-base": lambda: transformers.SiglipTextConfig(vocab_size=30522),
}


class Embedder(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask):
        hidden = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        return torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)


def export(model, target):
    ids = torch.arange(1000, 1032).reshape(2, 16)
    rows, tokens = torch.export.Dim("rows", min=1, max=1024), torch.export.Dim("tokens", min=2, max=512)
    torch.onnx.export(
        Embedder(model).eval(),
        (ids, torch.ones_like(ids)),
        target,
        input_names=["input_ids", "attention_mask"],
        output_names=["vector"],
        dynamic_shapes={name: {0: rows, 1: tokens} for name in ("input_ids", "attention_mask")},
        dynamo=True,
        external_data=True,
    )


if __name__ == "__main__":
    name, folder, *onnx = sys.argv[1:]
    if name not in MODELS:
        sys.exit(f"there is no model {name}; there are: {' '.join(MODELS)}")
    torch.manual_seed(7)
    config = MODELS[name]()
    config._attn_implementation = "eager"
    if getattr(config, "use_cache", None):
        config.use_cache = False
    # The library has no automatic class for this one.
    of_siglip = isinstance(config, transformers.SiglipTextConfig)
    make = transformers.SiglipTextModel if of_siglip else AutoModel.from_config
    model = make(config).eval()
    model.save_pretrained(Path(folder))
    if name.startswith("jina"):
        file = Path(folder) / "config.json"
        keys = json.loads(file.read_text())
        jina_bert.published(keys, "JinaBertModel")
        file.write_text(json.dumps(keys))
    # Texts are not measured; a folder without a tokenizer is no model.
    Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]")).save(str(Path(folder) / "tokenizer.json"))
    for target in onnx:
        with torch.no_grad():
            export(model, target)
