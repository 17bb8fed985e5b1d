#!/usr/bin/env python3
"""Makes tests/classifiers: a small model with a head of every kind of classification and random weights, and the
logits that transformers gives for some texts and pairs with it; for rerankers, what CrossEncoder answers, too.

    pip install transformers sentence-transformers
    python tests/expected/classifiers.py [NAME ...]

Tokenizers, texts and the spread of weights are those of families.py. Models run in f32 on the CPU, one text or pair at
a time, so that no padding takes part. Only the second text of a pair is cut.

expected.json   {"made_with": {...}, "rows": [{"text": string, "pair": string or null, "ids": [int], "types": [int],
                 "logits": [[float]], "score": float or null, "spans": {aggregation: [[start, end, label, score]]}}]}
                logits: one list for a text or pair, one for each token for classifiers of tokens; for these, spans of
                single texts that are not cut, as the pipeline of transformers answers, in characters
"""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import sentence_transformers
import tokenizers
import torch
import transformers
from sentence_transformers import CrossEncoder
from tokenizers import processors

import jina_bert
from families import TEXTS, long_texts, widen
from family_models import BERT, MPNET, ROBERTA, bert_sizes, names
from family_tokenizers import byte_bpe, roberta_bpe, unigram, wordpiece

FIXTURES = Path(__file__).parent.parent / "classifiers"

LIMIT = 40
AGGREGATIONS = ["none", "simple", "first", "average", "max"]
SPAN_TEXTS = ["Zoë lives in Malmö.", "The river flowing, the wings. A bakery tomorrow!", "wing wing wing"]
PAIRS = [
    ("wing", "The river, and a letter."),
    ("The river", "zebra!"),
    ("", ""),
    ("flow of a river", ""),
    ("", "wing"),
    ("naïve 機", "a\u0000b\u200bc \ufffd <mask> [SEP]"),
]


@dataclass
class Fixture:
    model: type
    sizes: dict
    tokenizer: object
    tokens: dict
    labels: list[str]
    settings: dict = field(default_factory=dict)
    # True if it is saved by sentence-transformers, as a CrossEncoder.
    reranker: bool = False
    types: bool = False
    spread: float = 0.3
    # Changes config.json to what other files have.
    rewrite: Callable[[dict], None] | None = None


def fixtures() -> dict[str, Fixture]:
    t = transformers
    of_bert = dict(tokens=names(BERT, "[CLS]", "[SEP]", "[MASK]"))
    of_roberta = dict(tokens=names(ROBERTA, "<s>", "</s>", "<mask>"))
    uncased = lambda: wordpiece(BERT, "[UNK]", "[CLS]", "[SEP]", True)
    cased = lambda: wordpiece(BERT, "[UNK]", "[CLS]", "[SEP]", False)
    ids = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "layer_norm_eps": 1e-5}
    roberta = ids | {"type_vocab_size": 1, "hidden_size": 16, "num_attention_heads": 2}
    distilbert = {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24, "max_position_embeddings": LIMIT}
    mpnet = ids | {"hidden_size": 24, "num_attention_heads": 3}
    small = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 24}
    modern = ["[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]"]
    of_modern = dict(tokens={"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"},
                     spread=0.2)
    special = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
    modernbert = {"cls_token_id": 0, "sep_token_id": 2, **special,
                  "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 24, "num_hidden_layers": 3,
                  "max_position_embeddings": LIMIT, "local_attention": 9}

    def with_pairs():
        tokenizer = byte_bpe(modern)
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 0), ("[SEP]", 2)])
        return tokenizer

    deberta = small | {"num_hidden_layers": 2, "max_position_embeddings": LIMIT, "pad_token_id": 1}
    deberta |= {"relative_attention": True, "position_buckets": 8, "norm_rel_ebd": "layer_norm"}
    deberta |= {"share_att_key": True, "pos_att_type": "p2c|c2p", "position_biased_input": False, "type_vocab_size": 0}
    # Heads of decoders read the last token that is not padding: here the last but that of the end, and the first in a
    # text that is empty. Those without a token of padding read the last one.
    end = ["<|endoftext|>"]
    begin = ["<unk>", "<pad>", "<s>", "</s>"]
    gemma = ["<pad>", "<eos>", "<bos>", "<unk>"]
    decoder = {"hidden_size": 16, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 24}
    decoder |= {"num_hidden_layers": 2, "max_position_embeddings": LIMIT, "bos_token_id": 0, "eos_token_id": 0}
    of_qwen = dict(tokens={"pad_token": end[0], "eos_token": end[0]}, spread=0.2)
    of_llama = dict(tokens={"eos_token": end[0]}, spread=0.2)
    of_mistral = dict(tokens={"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<s>"}, spread=0.2)
    of_gemma = dict(tokens={"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<bos>", "eos_token": "<eos>"},
                    spread=0.2)

    def around(tokenizer, single: str, pair: str):
        known = {token for token in f"{single} {pair}".split() if not token.startswith("$")}
        tokenizer.post_processor = processors.TemplateProcessing(
            single=single, pair=pair, special_tokens=[(token, tokenizer.token_to_id(token)) for token in sorted(known)])
        return tokenizer

    def without_padding(config: dict) -> None:
        """As a file that does not name the token: the family's own default is 0."""
        assert config.pop("pad_token_id") == 0

    ended = lambda: around(byte_bpe(end), "$A <|endoftext|>", "$A $B <|endoftext|>")
    euro = decoder | {"head_dim": 4, "mask_token_id": 0, "pad_token_id": 0}
    both_ends = lambda: around(byte_bpe(end), "<|endoftext|> $A <|endoftext|>",
                               "<|endoftext|> $A <|endoftext|> $B <|endoftext|>")
    newer = special | {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 24, "num_hidden_layers": 2}
    newer |= {"max_position_embeddings": LIMIT}
    bio = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    many = [f"name {number}" for number in range(12)]
    return {
        "bert-reranker": Fixture(t.BertForSequenceClassification, bert_sizes(LIMIT), uncased(), **of_bert, types=True,
                                 labels=["LABEL_0"], reranker=True),
        "bert-many-labels": Fixture(t.BertForSequenceClassification, bert_sizes(LIMIT, **small), cased(), **of_bert,
                                    types=True, labels=many),
        "roberta-relevance": Fixture(t.RobertaForSequenceClassification, bert_sizes(LIMIT + 2, **roberta),
                                     roberta_bpe(ROBERTA), **of_roberta, labels=["irrelevant", "relevant"]),
        "xlm-roberta-regression": Fixture(t.XLMRobertaForSequenceClassification, bert_sizes(LIMIT + 2, **roberta),
                                          unigram(ROBERTA), **of_roberta, labels=["stars"],
                                          settings={"problem_type": "regression"}),
        "distilbert-multi-label": Fixture(t.DistilBertForSequenceClassification, distilbert, cased(), **of_bert,
                                          types=True, labels=["joy", "anger", "fear"],
                                          settings={"problem_type": "multi_label_classification"}),
        "electra-nli": Fixture(t.ElectraForSequenceClassification, bert_sizes(LIMIT, embedding_size=24, **small),
                               uncased(), **of_bert, types=True,
                               labels=["contradiction", "entailment", "neutral"]),
        "mpnet-default-labels": Fixture(t.MPNetForSequenceClassification, bert_sizes(LIMIT + 2, **mpnet),
                                        wordpiece(MPNET, "[UNK]", "<s>", "</s>", True),
                                        tokens=names(MPNET, "<s>", "</s>", "<mask>"), labels=["LABEL_0", "LABEL_1"]),
        "deberta-nli": Fixture(t.DebertaV2ForSequenceClassification, deberta, unigram(ROBERTA), **of_roberta,
                               labels=["entailment", "neutral", "contradiction"]),
        "deberta-tokens": Fixture(t.DebertaV2ForTokenClassification, deberta, unigram(ROBERTA), **of_roberta,
                                  labels=bio),
        "bert-tokens": Fixture(t.BertForTokenClassification, bert_sizes(LIMIT, **small), cased(), **of_bert,
                               types=True, labels=bio),
        "roberta-tokens": Fixture(t.RobertaForTokenClassification, bert_sizes(LIMIT + 2, **roberta),
                                  roberta_bpe(ROBERTA), **of_roberta, labels=bio),
        "modernbert-mean": Fixture(t.ModernBertForSequenceClassification, modernbert, with_pairs(), **of_modern,
                                   labels=["bad", "fair", "good"], settings={"classifier_pooling": "mean"}),
        "modernbert-reranker": Fixture(t.ModernBertForSequenceClassification,
                                       modernbert | {"norm_bias": True, "classifier_bias": True}, with_pairs(),
                                       **of_modern, labels=["LABEL_0"], reranker=True),
        "modernbert-tokens": Fixture(t.ModernBertForTokenClassification, modernbert, with_pairs(), **of_modern,
                                     labels=bio),
        "qwen3-reranker": Fixture(t.Qwen3ForSequenceClassification, decoder | {"head_dim": 8, "pad_token_id": 0}, ended(),
                                  **of_qwen, labels=["LABEL_0"], reranker=True),
        "llama-labels": Fixture(t.LlamaForSequenceClassification, decoder | {"pad_token_id": None},
                                around(byte_bpe(end), "<|endoftext|> $A", "<|endoftext|> $A <|endoftext|> $B"),
                                **of_llama, labels=["bad", "fair", "good"]),
        "gemma3-labels": Fixture(t.Gemma3TextForSequenceClassification,
                                 decoder | {"head_dim": 8, "sliding_window": 9, "query_pre_attn_scalar": 8}
                                 | {"layer_types": ["sliding_attention", "full_attention"], "pad_token_id": 0},
                                 around(unigram(gemma, single="<bos> $A"), "<bos> $A", "<bos> $A <eos> $B"), **of_gemma,
                                 labels=["irrelevant", "relevant"], rewrite=without_padding),
        "qwen2-tokens": Fixture(t.Qwen2ForTokenClassification, decoder | {"is_causal": False, "pad_token_id": 0}, ended(),
                                **of_qwen, labels=bio),
        "mistral-tokens": Fixture(t.MistralForTokenClassification,
                                  decoder | {"sliding_window": 7, "head_dim": 4, "pad_token_id": 1},
                                  around(unigram(begin, single="<s> $A"), "<s> $A", "<s> $A </s> $B"), **of_mistral,
                                  labels=bio),
        "eurobert-late": Fixture(t.EuroBertForSequenceClassification, euro, both_ends(), **of_qwen,
                                 labels=["bad", "fair", "good"]),
        "eurobert-mean": Fixture(t.EuroBertForSequenceClassification, euro | {"classifier_pooling": "mean"}, both_ends(),
                                 **of_qwen, labels=["bad", "good"]),
        "eurobert-tokens": Fixture(t.EuroBertForTokenClassification, euro, both_ends(), **of_qwen, labels=bio),
        "nomic-bert-labels": Fixture(t.NomicBertForSequenceClassification, newer | {"pad_token_id": 0}, uncased(),
                                     **of_bert, types=True, spread=0.2, labels=["bad", "good"]),
        "gte-labels": Fixture(t.GteForSequenceClassification, newer | {"type_vocab_size": 1}, unigram(ROBERTA),
                              **of_roberta, spread=0.2, labels=["bad", "good"]),
        "jina-bert-reranker": Fixture(jina_bert.JinaBertForSequenceClassification, {"num_attention_heads": 2}, uncased(),
                                      **of_bert, types=True, labels=["LABEL_0"], reranker=True,
                                      rewrite=lambda config: jina_bert.published(
                                          config, "JinaBertForSequenceClassification")),
        "distilbert-tokens": Fixture(t.DistilBertForTokenClassification, distilbert, cased(), **of_bert, types=True,
                                     labels=["O", "PER", "LOC"]),
    }


def spans(pipeline, text: str) -> dict[str, list]:
    found = {}
    for aggregation in AGGREGATIONS:
        entities = pipeline(text, aggregation_strategy=aggregation)
        found[aggregation] = [
            [entity["start"], entity["end"], entity.get("entity_group") or entity["entity"], float(entity["score"])]
            for entity in entities
        ]
    return found


def make(name: str, fixture: Fixture, into: Path) -> None:
    labels = dict(enumerate(fixture.labels))
    config = fixture.model.config_class(
        vocab_size=fixture.tokenizer.get_vocab_size(), id2label=labels,
        label2id={label: number for number, label in labels.items()}, **fixture.sizes, **fixture.settings)
    config._attn_implementation = "eager"
    model = fixture.model(config).eval()
    widen(model, sum(name.encode()), fixture.spread)
    types = ["token_type_ids"] if fixture.types else []
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=fixture.tokenizer, **fixture.tokens, model_max_length=LIMIT,
        model_input_names=["input_ids", *types, "attention_mask"])
    shutil.rmtree(into, ignore_errors=True)
    model.save_pretrained(into)
    tokenizer.save_pretrained(into)
    scorer = None
    if fixture.reranker:
        scorer = CrossEncoder(str(into), device="cpu", max_length=LIMIT)
        shutil.rmtree(into)
        scorer.save_pretrained(str(into), create_model_card=False)
        (into / "README.md").unlink(missing_ok=True)

    if fixture.rewrite:
        written = json.loads((into / "config.json").read_text())
        fixture.rewrite(written)
        (into / "config.json").write_text(json.dumps(written, indent=2, sort_keys=True) + "\n")

    tokens = fixture.model.__name__.endswith("ForTokenClassification")
    pipeline = tokens and transformers.pipeline("token-classification", model=model, tokenizer=tokenizer, device="cpu")
    texts = (SPAN_TEXTS if tokens else []) + TEXTS + long_texts(LIMIT)
    pairs = PAIRS + [("wing of a river", long) for long in long_texts(LIMIT)]
    rows = []
    for text, pair in [(text, None) for text in texts] + pairs:
        # As lists: an empty second text of a single pair would be taken for none.
        second, cut = (None, True) if pair is None else ([pair], "only_second")
        inputs = tokenizer([text], second, truncation=cut, max_length=LIMIT, return_tensors="pt",
                           return_token_type_ids=True)
        given = {key: inputs[key] for key in tokenizer.model_input_names if key in inputs}
        if not hasattr(config, "type_vocab_size"):
            given.pop("token_type_ids", None)
        with torch.inference_mode():
            logits = model(**given).logits[0]
        score = None
        if scorer is not None and pair is not None and inputs["input_ids"].shape[1] < LIMIT:
            # CrossEncoder cuts the longer text: those that are cut are left out.
            score = float(scorer.predict([(text, pair)])[0])
        given_types = inputs["token_type_ids"][0].tolist() if fixture.types else []
        rows.append({
            "text": text,
            "pair": pair,
            "ids": inputs["input_ids"][0].tolist(),
            "types": given_types if any(given_types) else [],
            "logits": logits.reshape(-1, len(labels)).tolist(),
            "score": score,
        } | ({"spans": spans(pipeline, text)} if tokens and pair is None and len(inputs["input_ids"][0]) < LIMIT else {}))
    packages = [transformers, sentence_transformers, tokenizers]
    made_with = {package.__name__: package.__version__ for package in packages}
    made_with["torch"] = torch.__version__.split("+")[0]
    (into / "expected.json").write_text(json.dumps({"made_with": made_with, "rows": rows}) + "\n")
    spread = np.concatenate([np.ravel(row["logits"]) for row in rows])
    print(name, [len(row["ids"]) for row in rows], f"logits {spread.min():.2f} to {spread.max():.2f}",
          sum(f.stat().st_size for f in into.rglob("*") if f.is_file()) // 1024, "KiB")


def main() -> None:
    known = fixtures()
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    for name in sys.argv[1:] or known:
        make(name, known[name], FIXTURES / name)


if __name__ == "__main__":
    main()
