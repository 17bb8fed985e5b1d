#!/usr/bin/env python3
"""Makes tests/sparse: small models with random weights that give sparse vectors over their vocabulary, and the vectors
that sentence-transformers' SparseEncoder answers for some texts.

    pip install transformers sentence-transformers
    python tests/expected/sparse.py [NAME ...]

Tokenizers, texts and the spread of weights are those of families.py. Models run in f32 on the CPU, one text at a time.
The last product's bias is shifted so that most values of a vector are 0, as those of trained models are.

expected.json   {"made_with": {...}, "rows": [{"text": string, "index": [int], "weight": [float]}]}
                the values that are not 0, in the order of their indices
"""

import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import safetensors.torch
import sentence_transformers
import tokenizers
import torch
import transformers
from sentence_transformers import SparseEncoder
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sparse_encoder.modules import SpladePooling

from families import TEXTS, long_texts, widen
from family_models import BERT, MPNET, ROBERTA, bert_sizes, names
from family_tokenizers import byte_bpe, unigram, wordpiece

FIXTURES = Path(__file__).parent.parent / "sparse"

LIMIT = 40


@dataclass
class Fixture:
    model: type
    sizes: dict
    tokenizer: object
    tokens: dict
    # Distance of most logits below 0.
    shift: float
    pooling: dict = field(default_factory=dict)
    # True if the files of sentence-transformers are there.
    modules: bool = True
    # Standard deviation of the matrices of layers.
    spread: float = 0.3
    # Rewrites the saved files as those of published models are.
    rewrite: Callable[[Path], None] = lambda folder: None


def fixtures() -> dict[str, Fixture]:
    t = transformers
    of_bert = dict(tokens=names(BERT, "[CLS]", "[SEP]", "[MASK]"))
    uncased = lambda: wordpiece(BERT, "[UNK]", "[CLS]", "[SEP]", True)
    ids = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "layer_norm_eps": 1e-5}
    roberta = ids | {"type_vocab_size": 1, "hidden_size": 16, "num_attention_heads": 2}
    distilbert = {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24, "max_position_embeddings": LIMIT}
    small = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 24}
    return {
        "bert": Fixture(t.BertForMaskedLM, bert_sizes(LIMIT, **small), uncased(), **of_bert, shift=3.0,
                        modules=False),
        "distilbert-sum": Fixture(t.DistilBertForMaskedLM, distilbert, uncased(), **of_bert, shift=3.0,
                                  pooling={"pooling_strategy": "sum"}),
        "electra": Fixture(t.ElectraForMaskedLM, bert_sizes(LIMIT, embedding_size=24, **small), uncased(), **of_bert,
                           shift=3.0),
        "mpnet": Fixture(t.MPNetForMaskedLM, bert_sizes(LIMIT + 2, **ids | {"hidden_size": 24, "num_attention_heads": 3}),
                         wordpiece(MPNET, "[UNK]", "<s>", "</s>", True), tokens=names(MPNET, "<s>", "</s>", "<mask>"),
                         shift=4.0),
        "xlm-roberta-log": Fixture(t.XLMRobertaForMaskedLM, bert_sizes(LIMIT + 2, **roberta), unigram(ROBERTA),
                                   tokens=names(ROBERTA, "<s>", "</s>", "<mask>"), shift=1.0,
                                   pooling={"activation_function": "log1p_relu"}),
        **newer(),
    }


def newer() -> dict[str, Fixture]:
    t = transformers
    modern = ["[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]"]
    of_modern = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]",
                 "mask_token": "[MASK]"}
    special = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "cls_token_id": 0, "sep_token_id": 2}
    sizes = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 24, "num_hidden_layers": 2,
             "max_position_embeddings": LIMIT}
    of_roberta = dict(tokens=names(ROBERTA, "<s>", "</s>", "<mask>"), spread=0.2)
    of_bert = dict(tokens=names(BERT, "[CLS]", "[SEP]", "[MASK]"), spread=0.2)
    uncased = lambda: wordpiece(BERT, "[UNK]", "[CLS]", "[SEP]", True)
    end = ["<|endoftext|>"]
    of_end = dict(tokens={"pad_token": end[0], "eos_token": end[0], "mask_token": end[0]}, spread=0.2)
    deberta = sizes | {"pad_token_id": 1, "relative_attention": True, "position_buckets": 8, "type_vocab_size": 0,
                       "norm_rel_ebd": "layer_norm", "share_att_key": True, "pos_att_type": "p2c|c2p",
                       "position_biased_input": False}

    def published_new(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        config |= {
            "model_type": "new", "architectures": ["NewForMaskedLM"], "layer_norm_type": "layer_norm",
            "rope_theta": config.pop("rope_parameters")["rope_theta"], "pack_qkv": True,
            "position_embedding_type": "rope", "logn_attention_scale": False, "unpad_inputs": False,
        }
        (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
        weights = safetensors.torch.load_file(folder / "model.safetensors")
        named = lambda name: name.replace("gte.", "new.").replace("lm_head.layer_norm", "lm_head.norm")
        weights = {named(name): weight for name, weight in weights.items()}
        safetensors.torch.save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})

    of_modern = dict(tokens=of_modern, spread=0.2)
    gte = sizes | {"pad_token_id": 1, "type_vocab_size": 0}
    return {
        "modernbert": Fixture(t.ModernBertForMaskedLM, sizes | special | {"local_attention": 9},
                              byte_bpe(modern, single="[CLS] $A [SEP]"), **of_modern, shift=7.0),
        "modernbert-biased": Fixture(
            t.ModernBertForMaskedLM,
            sizes | special | {"classifier_bias": True, "norm_bias": True, "classifier_activation": "silu"},
            byte_bpe(modern, single="[CLS] $A [SEP]"), **of_modern, shift=7.0),
        "eurobert": Fixture(t.EuroBertForMaskedLM,
                            sizes | {"num_key_value_heads": 1, "mlp_bias": True, "mask_token_id": 0, "pad_token_id": 0},
                            byte_bpe(end, single="<|endoftext|> $A <|endoftext|>"), **of_end, shift=1.7),
        "nomic-bert": Fixture(t.NomicBertForMaskedLM, sizes | {"pad_token_id": 0}, uncased(), **of_bert, shift=3.0),
        "gte": Fixture(t.GteForMaskedLM, gte, unigram(ROBERTA), **of_roberta, shift=3.0),
        "new": Fixture(t.GteForMaskedLM, gte, unigram(ROBERTA), **of_roberta, shift=3.0, rewrite=published_new),
        "deberta": Fixture(t.DebertaV2ForMaskedLM, deberta, unigram(ROBERTA), **of_roberta, shift=3.0),
        "deberta-newer": Fixture(t.DebertaV2ForMaskedLM, deberta | {"legacy": False}, unigram(ROBERTA), **of_roberta,
                                 shift=3.0),
    }


def make(name: str, fixture: Fixture, into: Path) -> None:
    config = fixture.model.config_class(vocab_size=fixture.tokenizer.get_vocab_size(), **fixture.sizes)
    config._attn_implementation = "eager"
    model = fixture.model(config).eval()
    widen(model, sum(name.encode()), fixture.spread)
    with torch.no_grad():
        bias = [weight for name, weight in model.named_parameters() if weight.shape == (config.vocab_size,)]
        assert len(bias) == 1, [weight.shape for weight in bias]
        bias[0].sub_(fixture.shift)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=fixture.tokenizer, **fixture.tokens, model_max_length=LIMIT,
        model_input_names=["input_ids", "attention_mask"])
    with tempfile.TemporaryDirectory() as plain:
        model.save_pretrained(plain)
        tokenizer.save_pretrained(plain)
        parts = [Transformer(plain, transformer_task="fill-mask"), SpladePooling(**fixture.pooling)]
        encoder = SparseEncoder(modules=parts, device="cpu")
        shutil.rmtree(into, ignore_errors=True)
        if fixture.modules:
            encoder.save_pretrained(str(into), create_model_card=False)
        else:
            shutil.copytree(plain, into)
    fixture.rewrite(into)
    rows = []
    for text in TEXTS + long_texts(LIMIT):
        vector = encoder.encode([text], convert_to_sparse_tensor=False)[0]
        index = vector.nonzero()[:, 0].tolist()
        rows.append({"text": text, "index": index, "weight": vector[index].tolist()})
    packages = [transformers, sentence_transformers, tokenizers]
    made_with = {package.__name__: package.__version__ for package in packages}
    made_with["torch"] = torch.__version__.split("+")[0]
    (into / "expected.json").write_text(json.dumps({"made_with": made_with, "rows": rows}) + "\n")
    counts = [len(row["index"]) for row in rows]
    print(name, f"{min(counts)} to {max(counts)} of {config.vocab_size} values",
          sum(f.stat().st_size for f in into.rglob("*") if f.is_file()) // 1024, "KiB")


def main() -> None:
    known = fixtures()
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    for name in sys.argv[1:] or known:
        make(name, known[name], FIXTURES / name)


if __name__ == "__main__":
    main()
