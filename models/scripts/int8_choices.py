"""What ways of scaling int8 products cost in quality: python int8_choices.py MODEL_FOLDER

Simulates them with a sentence-transformers BERT in f32 (values are rounded as if they were bytes) over texts of this repository's tests
and ids that are no text, and prints the worst and the mean cosine against f32. Needs torch and transformers.
"""

import json
import random
import sys
from pathlib import Path

import torch
from transformers import AutoModel, AutoTokenizer

folder = sys.argv[1]
model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
expected = Path(__file__).parents[2] / "tests/expected/embeddings.json"
texts = json.loads(expected.read_text())["texts"][::3]
rows = [tokenizer(text, truncation=True, max_length=256)["input_ids"] for text in texts]
chance = random.Random(1)
for length in (1, 2, 3, 5, 17, 64, 256):
    rows.append([chance.randrange(30522) for _ in range(length)])
    rows.append([101] * length)
    rows.append(list(range(1000, 1000 + length)))

products = {
    name: layer
    for name, layer in model.named_modules()
    if isinstance(layer, torch.nn.Linear) and name.startswith("encoder.layer")
}
weights = {name: layer.weight.data.clone() for name, layer in products.items()}


def grouped(x, group):
    return x.unflatten(-1, (-1, group or x.shape[-1]))


def symmetric(x, group):
    x = grouped(x, group)
    scale = (x.abs().amax(-1, keepdim=True) / 127).clamp(min=1e-30)
    return ((x / scale).round() * scale).flatten(-2)


def from_least(x, group):
    x = grouped(x, group)
    least, greatest = x.amin(-1, keepdim=True), x.amax(-1, keepdim=True)
    scale = ((greatest - least) / 255).clamp(min=1e-30)
    return (((x - least) / scale).round() * scale + least).flatten(-2)


def vectors():
    with torch.no_grad():
        means = torch.stack([model(torch.tensor([row])).last_hidden_state[0].mean(0) for row in rows])
    return torch.nn.functional.normalize(means)


exact = vectors()


def check(name, left, group, chosen=lambda name: True):
    hooks = []
    for at, layer in products.items():
        layer.weight.data = symmetric(weights[at], group) if chosen(at) else weights[at]
        if chosen(at):
            hooks.append(layer.register_forward_pre_hook(lambda _, x: (left(x[0], group),)))
    cosines = (vectors() * exact).sum(1)
    for hook in hooks:
        hook.remove()
    print(f"{name:60} worst {cosines.min():.4f}, mean {cosines.mean():.4f}", flush=True)


def is_down(name):
    return name.endswith("output.dense") and "attention" not in name


print(len(rows), "rows")
check("one scale for a token, symmetric; one for an output", symmetric, None)
check("one for a token, from least to greatest; one for an output", from_least, None)
check("  the same, feed-forward's second product in f32", from_least, None, lambda name: not is_down(name))
check("groups of 192", from_least, 192)
check("groups of 128", from_least, 128)
check("groups of 96, symmetric", symmetric, 96)
check("groups of 96", from_least, 96)
check("groups of 32", from_least, 32)
