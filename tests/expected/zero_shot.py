#!/usr/bin/env python3
"""Makes zero_shot.json beside the fixtures of natural-language inference that classifiers.py makes: what the pipeline
zero-shot-classification of transformers answers for some texts, labels and templates.

    pip install transformers
    python tests/expected/zero_shot.py

zero_shot.json  {"made_with": {...}, "calls": [{"labels": [string], "template": string or null, "multi_label": bool,
                 "texts": [{"text": string, "scores": [float], "label": string}]}]}
                scores: in the order of the labels
"""

import json
from pathlib import Path

import torch
import transformers

from families import TEXTS, long_texts

FIXTURES = Path(__file__).parent.parent / "classifiers"
NAMES = ["electra-nli", "deberta-nli"]
LIMIT = 40
LABELS = [
    ["wing", "river", "a letter of the bakery"],
    ["wing"],
    ["river", "wing", "river"],
    ["", "zebra"],
]
TEMPLATES = [None, "{}", "The wing and {}!"]


def main() -> None:
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    for name in NAMES:
        pipeline = transformers.pipeline("zero-shot-classification", model=str(FIXTURES / name), device="cpu")
        calls = []
        for labels in LABELS:
            for template in TEMPLATES:
                for multi_label in [False, True]:
                    texts = []
                    for text in [text for text in TEXTS if text] + long_texts(LIMIT):
                        given = {"hypothesis_template": template} if template else {}
                        answer = pipeline(text, labels, multi_label=multi_label, **given)
                        # The answer is ordered by score; equal labels have equal scores.
                        by_label = dict(zip(answer["labels"], answer["scores"]))
                        texts.append({"text": text, "scores": [by_label[label] for label in labels],
                                      "label": answer["labels"][0]})
                    calls.append({"labels": labels, "template": template, "multi_label": multi_label, "texts": texts})
        made_with = {"transformers": transformers.__version__, "torch": torch.__version__.split("+")[0]}
        (FIXTURES / name / "zero_shot.json").write_text(json.dumps({"made_with": made_with, "calls": calls}) + "\n")
        scores = [score for call in calls for text in call["texts"] for score in text["scores"]]
        print(name, len(scores), f"scores {min(scores):.3f} to {max(scores):.3f}")


if __name__ == "__main__":
    main()
