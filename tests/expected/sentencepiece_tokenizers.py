"""Makes small models of sentencepiece, laid out as families do, and the ids that sentencepiece's own
library makes of texts: python sentencepiece_tokenizers.py tests/sentencepiece

Needs sentencepiece 0.2 and transformers 5. They are trained on this repository's
pages. The library splits the texts; what a family adds, ids moved by its special tokens and those
around a text, is written here as the family's own code has it.
"""

import io
import json
import sys
from pathlib import Path

import sentencepiece
import transformers

REPOSITORY = Path(__file__).parents[2]
PAGES = ["ARCHITECTURE.md", "README.md", "gateway/docs/policies.md"]
TEXTS = [
    "",
    " \t\n",
    "The river's flow, and a wing.",
    "  spaces   around  and\twithin \n lines ",
    "naïve Zürich FAÇADE Straße",
    "ﬁne ＡＢＣ ½ ① e\u0301 ´",
    "機器 learning 🎶🎶 and\u200bthen",
    "a  b   c    d",
    "don't  stop, e.g. 3.14 — 1,000",
    "embed <turn>rerank<turn> pipeline<turn>",
    "a\u00a0b\u3000c",
    # Longer than what is split at a time.
    "A wing, the river and  a letter of 12 bakeries; " * 120,
]
# A few rules of normalization, so that most files are small.
RULES = "".join(
    "\t".join(" ".join(f"{ord(sign):X}" for sign in side) for side in rule) + "\n"
    for rule in [("ﬁ", "fi"), ("\t", " "), ("\n", " "), ("Ａ", "A"), ("½", "1/2"), ("\u3000", " ")]
)


def train(path: Path, **settings) -> sentencepiece.SentencePieceProcessor:
    lines = [line for page in PAGES for line in (REPOSITORY / page).read_text().splitlines()]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        vocab_size=400,
        num_threads=1,
        minloglevel=2,
        **settings,
    )
    path.write_bytes(model.getvalue())
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def with_rules(path: Path, **settings) -> sentencepiece.SentencePieceProcessor:
    rules = path.with_suffix(".tsv")
    rules.write_text(RULES)
    model = train(path, normalization_rule_tsv=str(rules), **settings)
    rules.unlink()
    return model


def family(folder: Path, name: str, model_type: str, config: dict, ids, max_id: int) -> None:
    settings = {"model_type": model_type, "vocab_size": max_id + 1}
    (folder / name / "tokenizer_config.json").write_text(json.dumps(config) + "\n")
    rows = ",\n".join(json.dumps({"text": text, "ids": ids(text)}) for text in TEXTS)
    expected = f'{{"config": {json.dumps(settings)}, "rows": [\n{rows}\n]}}\n'
    (folder / name / "expected.json").write_text(expected)


def main(folder: Path) -> None:
    names = ["xlm-roberta", "camembert", "deberta-v2", "llama", "gemma3", "unigram-bytes", "siglip"]
    for name in names:
        (folder / name).mkdir(parents=True, exist_ok=True)

    # Ids move by one; <unk>, the file's 0, is 3; <mask> is last.
    model = train(folder / "xlm-roberta/sentencepiece.bpe.model", model_type="unigram")
    piece = lambda id: 3 if id == 0 else id + 1
    size = model.get_piece_size()
    family(
        folder,
        "xlm-roberta",
        "xlm-roberta",
        {"tokenizer_class": "XLMRobertaTokenizer"},
        lambda text: [0, *map(piece, model.encode(text)), 2],
        size + 1,
    )

    # Ids move by four, and <s> and </s> are the file's own 1 and 2.
    camembert = with_rules(folder / "camembert/sentencepiece.bpe.model", model_type="unigram")
    moved = lambda id: 3 if id == 0 else id + 4
    family(
        folder,
        "camembert",
        "camembert",
        {},
        lambda text: [5, *map(moved, camembert.encode(text)), 6],
        camembert.get_piece_size() + 4,
    )

    deberta = with_rules(
        folder / "deberta-v2/spm.model",
        model_type="unigram",
        pad_id=0,
        pad_piece="[PAD]",
        bos_id=1,
        bos_piece="[CLS]",
        eos_id=2,
        eos_piece="[SEP]",
        unk_id=3,
        unk_piece="[UNK]",
    )
    family(
        folder,
        "deberta-v2",
        "deberta-v2",
        {"tokenizer_class": "DebertaV2Tokenizer", "do_lower_case": False},
        lambda text: [1, *deberta.encode(text), 2],
        deberta.get_piece_size(),
    )

    llama = train(
        folder / "llama/tokenizer.model",
        model_type="bpe",
        byte_fallback=True,
        split_digits=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True,
    )
    family(
        folder,
        "llama",
        "llama",
        {"tokenizer_class": "LlamaTokenizer", "add_eos_token": True},
        lambda text: [1, *llama.encode(text), 2],
        llama.get_piece_size() - 1,
    )

    gemma = train(
        folder / "gemma3/tokenizer.model",
        model_type="bpe",
        byte_fallback=True,
        split_digits=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        add_dummy_prefix=False,
        allow_whitespace_only_pieces=True,
        user_defined_symbols=["<turn>", "▁▁", "▁▁▁", "\n"],
        pad_id=0,
        eos_id=1,
        bos_id=2,
        unk_id=3,
        bos_piece="<bos>",
        eos_piece="<eos>",
    )
    family(
        folder,
        "gemma3",
        "gemma3_text",
        {"tokenizer_class": "GemmaTokenizer"},
        lambda text: [2, *gemma.encode(text)],
        gemma.get_piece_size() - 1,
    )

    # Unigram with bytes for what no piece has, and pieces of a user.
    unigram = with_rules(
        folder / "unigram-bytes/tokenizer.model",
        model_type="unigram",
        byte_fallback=True,
        user_defined_symbols=["<turn>"],
    )
    family(
        folder,
        "unigram-bytes",
        "mistral",
        {"tokenizer_class": "LlamaTokenizer", "add_bos_token": False, "add_eos_token": True},
        lambda text: [*unigram.encode(text), 2],
        unigram.get_piece_size() - 1,
    )

    # Small letters without signs; the library's class says how.
    file = folder / "siglip/spiece.model"
    siglip = with_rules(
        file, model_type="unigram", pad_id=0, eos_id=1, unk_id=2, bos_id=-1, pad_piece="<pad>"
    )
    ids = transformers.SiglipTokenizer(str(file))
    family(
        folder,
        "siglip",
        "siglip_text_model",
        {"tokenizer_class": "SiglipTokenizer", "pad_token": "</s>", "eos_token": "</s>"},
        lambda text: ids(text)["input_ids"],
        siglip.get_piece_size() - 1,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
