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
from dataclasses import dataclass, field
from pathlib import Path

import sentence_transformers
import tokenizers
import torch
import transformers
from sentence_transformers import SparseEncoder
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sparse_encoder.modules import SpladePooling

from families import TEXTS, long_texts, widen
from family_models import BERT, MPNET, ROBERTA, bert_sizes, names
from family_tokenizers import unigram, wordpiece

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
    }


def make(name: str, fixture: Fixture, into: Path) -> None:
    config = fixture.model.config_class(vocab_size=fixture.tokenizer.get_vocab_size(), **fixture.sizes)
    config._attn_implementation = "eager"
    model = fixture.model(config).eval()
    widen(model, sum(name.encode()))
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
