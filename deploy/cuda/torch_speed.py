"""Tokens a second of encoders of the sizes of device_check by PyTorch, with and without
`torch.compile`, and by sentence-transformers: python torch_speed.py DEVICE [--small] [--until S]

Weights are random, in bfloat16 on a GPU. Rows of mixed lengths are sorted by length and padded in
batches of 32, as sentence-transformers does it, from ids; its own `encode` begins with texts. Lines
that begin with `|` are the rows of a table. Nothing begins that would end after `--until` seconds,
by the time that the last thing took.
"""

import argparse
import random
import statistics
import tempfile
import time
from pathlib import Path

import torch
import transformers

BEGAN = time.monotonic()
SIZES = {
    "MiniLM (6 layers of 384)": (6, 384, 12),
    "base (12 layers of 768)": (12, 768, 12),
    "large (24 layers of 1024)": (24, 1024, 16),
}
SMALL = {"small (1 layer of 96)": (1, 96, 12)}
VOCABULARY = 30522
SHORTEST, LONGEST = 8, 512
ROWS = 32


def mixed(tokens: int) -> list[int]:
    """Returns lengths of this sum, log-uniform and in no order."""
    lengths = []
    while tokens > 0:
        length = int(SHORTEST * (LONGEST / SHORTEST) ** random.random())
        lengths.append(min(length, tokens))
        tokens -= lengths[-1]
    return lengths


class Subject:
    """A model and the device that it is on."""

    def __init__(self, device: str, size: tuple[int, int, int]):
        layers, hidden, heads = size
        config = transformers.BertConfig(
            vocab_size=VOCABULARY,
            hidden_size=hidden,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=4 * hidden,
        )
        self.device = torch.device(device)
        self.dtype = torch.float32 if device == "cpu" else torch.bfloat16
        self.model = transformers.BertModel(config, add_pooling_layer=False).eval()
        self.model.to(self.device, self.dtype)
        self.layers, self.hidden = layers, hidden

    def operations(self, lengths: list[int]) -> float:
        """Returns the operations of all products of the layers, without those on padding."""
        of_row = (n * (12 * self.hidden**2 + 2 * n * self.hidden) for n in lengths)
        return 2.0 * self.layers * sum(of_row)

    def wait(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    @torch.inference_mode()
    def encode(self, forward, lengths: list[int]):
        """Pools rows of random ids, sorted by length, in padded batches."""
        pooled = []
        ordered = sorted(lengths, reverse=True)
        for at in range(0, len(ordered), ROWS):
            batch = torch.tensor(ordered[at : at + ROWS])
            ids = torch.randint(1000, VOCABULARY, (len(batch), int(batch[0]))).to(self.device)
            places = torch.arange(int(batch[0]))
            mask = (places[None] < batch[:, None]).long().to(self.device)
            hidden = forward(input_ids=ids, attention_mask=mask).last_hidden_state
            weights = mask[..., None].to(hidden.dtype)
            mean = (hidden * weights).sum(1) / weights.sum(1)
            pooled.append(torch.nn.functional.normalize(mean, dim=1).float().cpu())
        return torch.cat(pooled)


def seconds(run, least: float) -> float:
    """Returns the middle of the times of some runs, after one that is not counted."""
    run()
    times, began = [], time.monotonic()
    while len(times) < 3 or time.monotonic() - began < least:
        started = time.monotonic()
        run()
        times.append(time.monotonic() - started)
    return statistics.median(times)


def matrix_rate(subject: Subject, side: int) -> float:
    """Returns the operations a second of products of square matrices."""
    a, b = (torch.randn(side, side, device=subject.device, dtype=subject.dtype) for _ in "ab")

    def products():
        for _ in range(5):
            torch.mm(a, b)
        subject.wait()

    return 5 * 2.0 * side**3 / seconds(products, 0.1)


def by_sentence_transformers(subject: Subject, tokenizer: str, lengths: list[int], least: float):
    """Returns the seconds of `encode` of texts of about these lengths."""
    from sentence_transformers import SentenceTransformer

    with tempfile.TemporaryDirectory() as folder:
        subject.model.save_pretrained(folder)
        for file in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
            source = Path(tokenizer) / file
            if source.exists():
                (Path(folder) / file).write_bytes(source.read_bytes())
        transformers.PreTrainedTokenizerFast(
            tokenizer_file=str(Path(tokenizer) / "tokenizer.json"),
            pad_token="[PAD]",
            model_max_length=LONGEST,
        ).save_pretrained(folder)
        model = SentenceTransformer(
            folder, device=str(subject.device), model_kwargs={"torch_dtype": subject.dtype}
        )
        model.max_seq_length = LONGEST
        texts = [" ".join(["water"] * max(1, length - 2)) for length in lengths]
        return seconds(lambda: model.encode(texts, batch_size=ROWS), least)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("device")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--tokenizer", help="folder with tokenizer.json, for sentence-transformers")
    parser.add_argument("--until", type=float, default=100.0, metavar="SECONDS")
    arguments = parser.parse_args()
    small = arguments.small
    device = {"metal": "mps"}.get(arguments.device, arguments.device)
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}"
    print(f"| torch | versions | {versions} |", flush=True)
    least, token_counts = (0.02, (300,)) if small else (0.5, (16_384, 65_536))
    for name, size in (SMALL if small else SIZES).items():
        subject = Subject(device, size)
        rate = matrix_rate(subject, 128 if small else 8192)
        of = f"{rate / 1e12:.0f} TFLOP/s"
        dtype = str(subject.dtype).removeprefix("torch.")

        def line(what: str, lengths: list[int], taken: float):
            share = 100 * subject.operations(lengths) / taken / rate
            speed = f"{sum(lengths) / taken:.0f} ({share:.1f} % of {of}; {1e3 * taken:.2f} ms)"
            print(f"| torch | {name}, {dtype}, {what}, tokens/s | {speed} |", flush=True)

        took = 0.0
        for compiled in (False, True):
            # Shapes of all lengths are met in the first run, which is not counted.
            forward = torch.compile(subject.model, dynamic=True) if compiled else subject.model
            kind = "torch.compile" if compiled else "eager"
            for tokens in token_counts:
                if time.monotonic() - BEGAN + took > arguments.until:
                    print(f"| torch | {name}, {kind}, {tokens} | left out: no time |", flush=True)
                    continue
                began, lengths = time.monotonic(), mixed(tokens)
                try:
                    taken = seconds(lambda: subject.encode(forward, lengths), least)
                    line(f"{kind}, {tokens} in {len(lengths)} mixed rows", lengths, taken)
                except Exception as error:
                    words = str(error).splitlines()[0] if str(error) else repr(error)
                    print(f"| torch | {name}, {kind}, {tokens} | failed: {words} |", flush=True)
                took = time.monotonic() - began
        if not arguments.tokenizer:
            continue
        lengths = mixed(token_counts[0])
        try:
            taken = by_sentence_transformers(subject, arguments.tokenizer, lengths, least)
            line(f"sentence-transformers from {len(lengths)} texts", lengths, taken)
        except Exception as error:
            words = str(error).splitlines()[0] if str(error) else repr(error)
            print(f"| torch | {name}, sentence-transformers | failed: {words} |", flush=True)


if __name__ == "__main__":
    main()
