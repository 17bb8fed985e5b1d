"""Makes a ViT of the usual size with random weights, if the folder is not there, and tells how long
transformers takes on it, in turns with the example image_speed, which starts this:
python image_speed.py FOLDER THREADS

It writes `ready` once the model is there. Each line of the standard input is `encode SECONDS
IMAGES` or `prepare SECONDS FILE`; the answer is the shortest time of as many runs as fit, in
seconds. Needs torch, transformers and Pillow.
"""

import sys
import time
from pathlib import Path

import torch
import transformers
from PIL import Image
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil


def best(seconds, run):
    shortest, began = float("inf"), time.perf_counter()
    while shortest == float("inf") or time.perf_counter() - began < seconds:
        started = time.perf_counter()
        run()
        shortest = min(shortest, time.perf_counter() - started)
    return shortest


def main(folder, threads):
    torch.set_num_threads(int(threads))
    if not Path(folder).exists():
        torch.manual_seed(7)
        made = transformers.ViTModel(transformers.ViTConfig(), add_pooling_layer=False)
        made.save_pretrained(folder)
        ViTImageProcessorPil().save_pretrained(folder)
    model = transformers.ViTModel.from_pretrained(
        folder, add_pooling_layer=False, attn_implementation="sdpa"
    ).eval()
    processor = ViTImageProcessorPil.from_pretrained(folder)
    print("ready", flush=True)
    for line in sys.stdin:
        what, seconds, of = line.rstrip("\n").split(" ", 2)
        if what == "encode":
            images = torch.randn(int(of), 3, 224, 224)
            with torch.inference_mode():
                took = best(float(seconds), lambda: model(pixel_values=images))
        else:
            took = best(
                float(seconds),
                lambda: processor(Image.open(of).convert("RGB"), return_tensors="pt"),
            )
        print(took, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
