"""Small tokenizers of every kind that the families have, with special tokens as theirs."""

from tokenizers import AddedToken, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE, Unigram, WordPiece

LETTERS = "abcdefghijklmnopqrstuvwxyz"
SIGNS = ".,!?'-0123456789"
WORDS = """the of and a wing flow river letter bakery orange quantum ledger harbour violin tomorrow heat layer
pressure""".split()

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


def roberta_bpe(specials: list[str]) -> Tokenizer:
    tokenizer = byte_bpe([*specials], last=["<mask>"])
    pair = [(token, tokenizer.token_to_id(token)) for token in ("</s>", "<s>")]
    tokenizer.post_processor = processors.RobertaProcessing(*pair, trim_offsets=True, add_prefix_space=False)
    return tokenizer


def byte_bpe(
    specials: list[str], last: list[str] = [], single: str | None = None, words: list[str] = []
) -> Tokenizer:
    """Splits into bytes and merges these; `single` puts special tokens around a text (`$A`), `words` are tokens that
    no space is before."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces, merges = [*specials, *alphabet], []
    for piece, word in [("Ġ", word) for word in WORDS] + [(word[0], word[1:]) for word in words]:
        for letter in word:
            if (piece, letter) not in merges:
                merges.append((piece, letter))
                pieces.append(piece + letter)
            piece += letter
    pieces += last
    vocabulary = {piece: at for at, piece in enumerate(pieces)}
    tokenizer = Tokenizer(BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    add_specials(tokenizer, [*specials, *last])
    if single:
        template(tokenizer, single)
    return tokenizer


def unigram(specials: list[str], single: str | None = None) -> Tokenizer:
    pieces = [*specials, "▁", *LETTERS, *LETTERS.upper(), *SIGNS, "ï", "機", "er", "ing", "our"]
    pieces += [f"▁{word}" for word in WORDS] + ["<mask>"]
    scored = [(piece, 0.0 if piece in specials else -9.0 + 0.9 * len(piece)) for piece in pieces]
    tokenizer = Tokenizer(Unigram(scored, unk_id=specials.index("<unk>"), byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")]
    )
    tokenizer.decoder = decoders.Metaspace()
    if single:
        add_specials(tokenizer, [*specials, "<mask>"])
        template(tokenizer, single)
    else:
        around(tokenizer, [*specials, "<mask>"], "<s>", "</s>")
    return tokenizer


def template(tokenizer: Tokenizer, single: str) -> None:
    """Puts special tokens around a text, which may be none before it or after it."""
    known = [token for token in single.split() if token != "$A"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=single, special_tokens=[(token, tokenizer.token_to_id(token)) for token in known]
    )


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
