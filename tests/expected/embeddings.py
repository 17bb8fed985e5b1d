#!/usr/bin/env python3
"""Makes embeddings.json and embeddings.f32: 200 awkward texts and what sentence-transformers makes of them.

    pip install sentence-transformers
    python tests/expected/embeddings.py MODEL_DIR

MODEL_DIR is all-MiniLM-L6-v2 with its f32 weights (models/scripts/convert_builtin.py says where to get it). Texts are
made from a fixed seed. The model runs in f32 on the CPU with a limit of 256 tokens, one text at a time, so that no
padding takes part.

embeddings.json   {"made_with": {...}, "texts": [string; 200]}
embeddings.f32    200 x 384 little-endian f32, normalised, in the order of the texts
"""

import json
import random
import sys
from pathlib import Path

import numpy as np
import sentence_transformers
import torch
import transformers
from sentence_transformers import SentenceTransformer

HERE = Path(__file__).parent
COUNT = 200

WORDS = """the of and a wing flow pressure layer boundary heat transfer supersonic river letter bakery orange quantum
ledger harbour violin tomorrow unbelievably antidisestablishmentarianism naïve café Zürich façade coöperate Straße
don't it's rock'n'roll e-mail state-of-the-art 3.14 1,000,000 42 0x7f C++ A/B #tag @user 50% $9.99 (aside) "quoted"
mother-in-law UPPERCASE CamelCase snake_case kebab-case x y z""".split()

FIXED = [
    "",
    " ",
    "\n\t\r\n",
    "\u3000\u00a0\u2003",
    "\u200b\u200b\u200b",
    "\ufeff",
    "\u0000",
    "\u0000\u0001\u0002\u001b\u007f\u0080\u009f",
    "a",
    ".",
    "!?!?!?",
    "zero\u200bwidth\u200djoiners\u200cinside",
    "soft\u00adhyphen",
    "null\u0000inside a\u0007 bell \u001b[31mred\u001b[0m",
    "tab\tand\nnewline\r\nand\x0bvertical\x0cform feed",
    "👋",
    "👩‍👩‍👧‍👦 family, 🏳️‍🌈 flag, 👍🏽 skin tone, 🇨🇭 country",
    "I ❤️ motet 🎶🎶🎶 a lot 😀😃😄😁",
    "机器学习是人工智能的一个分支。",
    "日本語の文章と English が混ざった text です。",
    "한국어 문장도 잘 처리되어야 합니다.",
    "مرحبا بالعالم، كيف حالك اليوم؟",
    "שלום עולם, מה שלומך?",
    "\u202eright to left override\u202c and back",
    "Привет, мир! Как дела?",
    "Γειά σου Κόσμε",
    "नमस्ते दुनिया",
    "สวัสดีชาวโลก",
    "e\u0301 e\u0300 u\u0308 n\u0303 decomposed, é è ü ñ composed",
    "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘!͖̬̰̙̗̿̋ͥͥ̂ͣ̐́́͜͞",
    "İstanbul ıspanak ŞĞÜÖÇ",
    "ﬁ ﬂ ﬀ ligatures, ① ② ③ circled, ½ ¼ fractions, ＡＢＣ full width",
    "𝕄𝕒𝕥𝕙 𝓼𝓬𝓻𝓲𝓹𝓽 𝔣𝔯𝔞𝔨𝔱𝔲𝔯",
    "𠀀𠀁𠀂 extension B ideographs 𪚥",
    "https://example.org/a/b?c=d&e=f%20g#frag",
    "mailto:someone@example.org, ftp://[::1]:21/x",
    "fn main() { let x: Vec<u32> = (0..10).filter(|n| n % 2 == 0).collect(); println!(\"{x:?}\"); }",
    "SELECT * FROM t WHERE a <> 'b' -- comment\n;",
    "<html><body class=\"x\">&amp;&lt;</body></html>",
    "{\"json\": [1, 2.5e-3, null, true]}",
    "C:\\Windows\\System32\\drivers\\etc\\hosts",
    "[CLS] literal special [SEP] tokens [MASK] [PAD] [UNK]",
    "[cls] lower [sep]",
    "##ing ##ed subwords",
    "a" * 99,
    "a" * 100,
    "a" * 101,
    "a" * 5000,
    "ab " * 600,
    "!" * 400,
    "。" * 300,
    "日" * 400,
    "👍" * 300,
    "-" * 50 + " " + "=" * 50,
    "word" + " " * 1000 + "word",
    "\n".join(["line"] * 300),
    "1234567890 " * 40,
    "1" * 60,
    "supercalifragilisticexpialidocious pneumonoultramicroscopicsilicovolcanoconiosis",
    "donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft",
    "\U0010ffff\ufffd\ue000 private and replacement",
    "\ufffe\uffff noncharacters",
    "؀؁ arabic number signs \u2060 word joiner",
    "“curly” ‘quotes’ – en — em … ellipsis",
    "price: €5, £3, ¥100, ₹20, ₿1",
    "∀x∈ℝ: ⌈x⌉ = −⌊−x⌋, ∑∏∫√∞≈≠≤≥",
    "a\u0300\u0301\u0302\u0303\u0304\u0305\u0306\u0307\u0308 stacked marks",
]

# The number of words in one row's text: every short length, then steps that pass the limit of 256 tokens.
LENGTHS = list(range(1, 61)) + [70, 80, 90, 100, 110, 120, 128, 140, 150, 160, 170, 180, 190, 200, 220, 240, 256, 280, 300, 350, 400]


def made_texts() -> list[str]:
    rng = random.Random(20)
    texts = list(FIXED)
    for length in LENGTHS:
        texts.append(" ".join(rng.choice(WORDS) for _ in range(length)))
    # Around the limit: 250 to 258 tokens, special ones included.
    for length in range(248, 257):
        texts.append(" ".join(rng.choice("the of and wing flow river letter".split()) for _ in range(length)))
    # Any assigned or unassigned character at all.
    while len(texts) < COUNT:
        chars = []
        for _ in range(rng.randint(1, 120)):
            code = rng.choice([rng.randrange(0x80), rng.randrange(0x3000), rng.randrange(0x110000)])
            chars.append(" " if 0xD800 <= code < 0xE000 else chr(code))
        texts.append("".join(chars))
    assert len(texts) == COUNT
    return texts


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    model = SentenceTransformer(sys.argv[1], device="cpu")
    model.max_seq_length = 256
    texts = made_texts()
    with torch.inference_mode():
        rows = [model.encode([text], convert_to_numpy=True)[0] for text in texts]
    made_with = {
        "sentence-transformers": sentence_transformers.__version__,
        "transformers": transformers.__version__,
        "torch": torch.__version__.split("+")[0],
    }
    listing = json.dumps({"made_with": made_with, "texts": texts}, ensure_ascii=True, indent=0)
    (HERE / "embeddings.json").write_text(listing + "\n")
    (HERE / "embeddings.f32").write_bytes(np.asarray(rows, dtype="<f4").tobytes())
    print(f"{len(texts)} texts")


if __name__ == "__main__":
    main()
