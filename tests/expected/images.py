#!/usr/bin/env python3
"""Makes tests/images: pictures in many forms and what Pillow reads in them; what Pillow makes of
images in other sizes; and small models of images with random weights, with what transformers makes
of the pictures with them.

    pip install transformers pillow
    python tests/expected/images.py

Everything comes from fixed seeds: the same versions write the same bytes, but for JPEGs, which also
depend on the library that Pillow was built with. Images are prepared by the image processors of
transformers that use Pillow, not by those that use torchvision, whose numbers may differ in the
last place. Weights are wide, as in families.py.

pictures/pictures.json  {"made_with": {...},
                         "pictures": [{"file": string, "width": int, "height": int}]}
pictures/pictures.u8    the pixels of each picture, [height, width, 3], as Pillow converts it to RGB
resized.json            [{"from": [height, width], "to": [height, width], "resample": int}]
resized.u8              the pixels of each: of the image that `noise` makes of a size
both.json               of tests/fixtures/clip, a model of texts and images: {"made_with": {...},
                        "steps": {...} (preprocessor_config.json), "texts": [string],
                        "pictures": [string], "cosines": [[float]], of each picture with each text}
MODEL/expected.json     {"made_with": {...}, "pictures": [string], "labels": [string],
                         "tokens": int, "size": int}
MODEL/expected.f32      little-endian f32, for each picture: the values that the model is given
                        [3, height, width]; the vectors of its tokens [tokens, hidden]; its vector
                        [size]; its logits [labels]
"""

import io
import json
import shutil
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import PIL
import torch
import transformers as t
from PIL import Image
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

FOLDER = Path(__file__).parent.parent / "images"
PICTURES = FOLDER / "pictures"


def noise(height: int, width: int) -> np.ndarray:
    """Bytes without a pattern; the tests compute the same."""
    rows, columns, colours = np.meshgrid(
        np.arange(height), np.arange(width), np.arange(3), indexing="ij"
    )
    numbers = (rows * 7919 + columns * 104729 + colours * 1299709).astype(np.uint32) * np.uint32(
        2654435761
    )
    return ((numbers >> 21) & 255).astype(np.uint8)


def smooth(height: int, width: int, seed: int) -> np.ndarray:
    """An image that looks like a photograph to a JPEG: large shapes, few edges."""
    small = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    return np.array(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def packed(rows: np.ndarray, bits: int) -> bytes:
    """Rows of samples, [rows, samples], each row with the filter 0 before it."""
    lines = []
    for row in rows:
        if bits == 16:
            line = row.astype(">u2").tobytes()
        else:
            digits = "".join(format(int(sample), f"0{bits}b") for sample in row)
            digits += "0" * (-len(digits) % 8)
            line = bytes(int(digits[at : at + 8], 2) for at in range(0, len(digits), 8))
        lines.append(b"\0" + line)
    return b"".join(lines)


def png(samples: np.ndarray, bits: int, colours: int, interlaced=False, extra=()) -> bytes:
    """A PNG with samples [height, width, channels]; Pillow writes only some of the forms."""
    height, width, _ = samples.shape
    header = struct.pack(">IIBBBBB", width, height, bits, colours, 0, 0, int(interlaced))
    passes = [samples]
    if interlaced:
        starts = [
            (0, 0, 8, 8),
            (0, 4, 8, 8),
            (4, 0, 8, 4),
            (0, 2, 4, 4),
            (2, 0, 4, 2),
            (0, 1, 2, 2),
            (1, 0, 2, 1),
        ]
        passes = [samples[top::down, left::right] for top, left, down, right in starts]
    data = b"".join(packed(part.reshape(part.shape[0], -1), bits) for part in passes if part.size)
    body = (
        chunk(b"IHDR", header)
        + b"".join(extra)
        + chunk(b"IDAT", zlib.compress(data))
        + chunk(b"IEND", b"")
    )
    return b"\x89PNG\r\n\x1a\n" + body


def pictures() -> dict[str, bytes]:
    random = np.random.default_rng(5)
    some = lambda bits, channels: random.integers(0, 2**bits, (11, 13, channels))
    files = {f"grey-{bits}.png": png(some(bits, 1), bits, 0) for bits in (1, 2, 4, 8, 16)}
    files |= {f"grey-alpha-{bits}.png": png(some(bits, 2), bits, 4) for bits in (8, 16)}
    files |= {f"colours-{bits}.png": png(some(bits, 3), bits, 2) for bits in (8, 16)}
    files |= {f"colours-alpha-{bits}.png": png(some(bits, 4), bits, 6) for bits in (8, 16)}
    dark = some(16, 1) % 400
    files["grey-dark-16.png"] = png(dark, 16, 0)
    for bits in (1, 2, 4, 8):
        palette = chunk(b"PLTE", random.integers(0, 256, (2**bits, 3), dtype=np.uint8).tobytes())
        files[f"palette-{bits}.png"] = png(some(bits, 1), bits, 3, extra=[palette])
    transparent = chunk(b"tRNS", bytes([0, 128, 255]))
    files["palette-transparent.png"] = png(
        some(4, 1), 4, 3, extra=[chunk(b"PLTE", bytes(range(48))), transparent]
    )
    files["colours-transparent.png"] = png(
        some(8, 3), 8, 2, extra=[chunk(b"tRNS", bytes([0, 1, 0, 2, 0, 3]))]
    )
    files["interlaced.png"] = png(some(8, 3), 8, 2, interlaced=True)
    files["interlaced-1.png"] = png(some(1, 1), 1, 0, interlaced=True)
    files["one.png"] = png(some(8, 3)[:1, :1], 8, 2)
    files["tall.png"] = png(some(8, 3)[:, :1], 8, 2)
    photo = Image.fromarray(smooth(61, 83, 1))
    turned = Image.Exif()
    turned[0x0112] = 6

    def jpeg(image: Image.Image, **options) -> bytes:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=90, **options)
        return file.getvalue()

    files["photo.jpg"] = jpeg(photo)
    files["photo-444.jpg"] = jpeg(photo, subsampling=0)
    files["photo-422.jpg"] = jpeg(photo, subsampling=1)
    files["progressive.jpg"] = jpeg(photo, progressive=True)
    files["restarts.jpg"] = jpeg(photo, restart_marker_rows=1)
    files["turned.jpg"] = jpeg(photo, exif=turned)
    files["grey.jpg"] = jpeg(photo.convert("L"))
    file = io.BytesIO()
    photo.save(file, "PNG")
    files["photo.png"] = file.getvalue()
    return files


def write_pictures() -> None:
    PICTURES.mkdir(parents=True)
    listing, pixels = [], b""
    for name, content in pictures().items():
        (PICTURES / name).write_bytes(content)
        image = Image.open(PICTURES / name).convert("RGB")
        listing.append({"file": name, "width": image.width, "height": image.height})
        pixels += np.array(image).tobytes()
    made_with = {"pillow": PIL.__version__}
    write_json(PICTURES / "pictures.json", {"made_with": made_with, "pictures": listing})
    (PICTURES / "pictures.u8").write_bytes(pixels)
    cmyk = Image.fromarray(smooth(9, 9, 2)).convert("CMYK")
    cmyk.save(FOLDER / "cmyk.jpg", "JPEG")


def write_resized() -> None:
    sizes = [
        (1, 1),
        (1, 7),
        (9, 1),
        (2, 2),
        (13, 17),
        (16, 16),
        (24, 40),
        (57, 33),
        (101, 100),
        (20, 3000),
        (700, 5),
    ]
    targets = [(7, 9), (16, 16), (24, 31)]
    cases, pixels = [], b""
    for height, width in sizes:
        image = Image.fromarray(noise(height, width))
        for to in targets:
            for resample in range(6):
                resized = image.resize((to[1], to[0]), resample=resample)
                cases.append({"from": [height, width], "to": list(to), "resample": resample})
                pixels += np.array(resized).tobytes()
    write_json(FOLDER / "resized.json", cases)
    (FOLDER / "resized.u8").write_bytes(pixels)


@dataclass
class Model:
    make: object
    processor: object
    # Keys of preprocessor_config.json as other files have them.
    rewrite: dict = field(default_factory=dict)
    removed: tuple = ()


SIZES = {
    "hidden_size": 32,
    "intermediate_size": 56,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}


def models() -> dict[str, Model]:
    sizes = SIZES | {"image_size": 24, "patch_size": 8}
    labels = {0: "cat", 1: "dog", 2: "neither"}
    odd = SIZES | {
        "hidden_size": 24,
        "num_attention_heads": 2,
        "image_size": [20, 33],
        "patch_size": [6, 10],
    }
    text = SIZES | {"vocab_size": 40, "max_position_embeddings": 12}
    text |= {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    vit = lambda **more: ViTImageProcessorPil(size={"height": 24, "width": 24}, **more)
    clip = lambda **more: CLIPImageProcessorPil(
        size={"shortest_edge": 24}, crop_size={"height": 24, "width": 24}, **more
    )
    siglip = lambda **more: SiglipImageProcessorPil(size={"height": 24, "width": 24}, **more)
    older = {"size": 24, "crop_size": 24, "feature_extractor_type": "CLIPFeatureExtractor"}
    of_siglip = {"vision_config": sizes, "text_config": text}
    return {
        "vit": Model(
            lambda: t.ViTForImageClassification(t.ViTConfig(**sizes, id2label=labels)), vit()
        ),
        # Images that are not square, patches neither, with pixels that no patch has.
        "vit-odd": Model(
            lambda: t.ViTModel(t.ViTConfig(**odd, qkv_bias=False, hidden_act="gelu_pytorch_tanh")),
            ViTImageProcessorPil(size={"height": 20, "width": 33}, resample=1),
        ),
        "clip": Model(
            lambda: t.CLIPModel(
                t.CLIPConfig(vision_config=sizes, text_config=text, projection_dim=20)
            ),
            clip(),
            older,
            ("image_processor_type",),
        ),
        "clip-vision": Model(
            lambda: t.CLIPVisionModelWithProjection(t.CLIPVisionConfig(**sizes, projection_dim=20)),
            clip(resample=2, image_mean=0.4, image_std=0.3),
            {"image_processor_type": "CLIPImageProcessorFast"},
        ),
        "clip-bare": Model(
            lambda: t.CLIPVisionModel(t.CLIPVisionConfig(**sizes, hidden_act="gelu")),
            CLIPImageProcessorPil(
                size={"shortest_edge": 20}, crop_size={"height": 24, "width": 24}
            ),
        ),
        "clip-labels": Model(
            lambda: t.CLIPForImageClassification(
                t.CLIPConfig(vision_config=sizes, text_config=text, id2label=labels)
            ),
            clip(do_resize=False),
        ),
        "siglip": Model(lambda: t.SiglipModel(t.SiglipConfig(**of_siglip)), siglip()),
        "siglip-vision": Model(
            lambda: t.SiglipVisionModel(t.SiglipVisionConfig(**sizes)),
            siglip(do_normalize=False, resample=0),
        ),
        "siglip-labels": Model(
            lambda: t.SiglipForImageClassification(t.SiglipConfig(**of_siglip, id2label=labels)),
            siglip(do_rescale=False, image_mean=[100, 110, 120], image_std=[60, 70, 80]),
        ),
    }


def widen(model: torch.nn.Module, seed: int) -> None:
    """Draws every weight anew, with a spread by what it is."""
    random_numbers = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            numbers = torch.randn(weight.shape, generator=random_numbers)
            if "norm" in name:
                weight.copy_(name.endswith("weight") + 0.3 * numbers)
            elif "patch" in name:
                weight.copy_(0.1 * numbers)
            elif "embedding" in name or "token" in name or "probe" in name:
                weight.copy_(numbers)
            else:
                weight.copy_(0.3 * numbers)


OF_MODELS = [
    "photo.png",
    "grey-8.png",
    "palette-4.png",
    "one.png",
    "tall.png",
    "colours-alpha-8.png",
    "interlaced.png",
]


def outputs(
    model: torch.nn.Module, values: torch.Tensor
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The vectors of an image's tokens, its vector, and its logits."""
    tower = getattr(model, "vision_model", None) or getattr(model, "vit", model)
    of_tower = tower(pixel_values=values)
    tokens, vector, logits = (
        of_tower.last_hidden_state[0],
        of_tower.pooler_output,
        torch.zeros(1, 0),
    )
    if "Classification" in type(model).__name__:
        vector, logits = torch.zeros(1, 0), model(pixel_values=values).logits
    elif isinstance(model, t.ViTModel):
        vector = tokens[:1]
    elif isinstance(model, t.CLIPVisionModelWithProjection):
        vector = model(pixel_values=values).image_embeds
    elif hasattr(model, "get_image_features"):
        vector = model.get_image_features(pixel_values=values).pooler_output
    return tokens.numpy(), vector[0].numpy(), logits[0].numpy()


def write_model(name: str, of: Model) -> None:
    folder = FOLDER / name
    model = of.make()
    model.config._attn_implementation = "eager"
    model = model.eval()
    widen(model, sum(name.encode()))
    model.save_pretrained(folder)
    of.processor.save_pretrained(folder)
    settings = json.loads((folder / "preprocessor_config.json").read_text()) | of.rewrite
    write_json(
        folder / "preprocessor_config.json",
        {k: v for k, v in settings.items() if k not in of.removed},
    )
    values = []
    for picture in OF_MODELS:
        image = np.array(Image.open(PICTURES / picture).convert("RGB"))
        # Said, since an image of one pixel may be taken for one with its colours first.
        pixels = of.processor(
            image, return_tensors="pt", input_data_format="channels_last"
        ).pixel_values.float()
        with torch.inference_mode():
            tokens, vector, logits = outputs(model, pixels)
        assert np.isfinite(tokens).all() and np.abs(tokens).max() < 50, (
            name,
            picture,
            np.abs(tokens).max(),
        )
        values += [pixels.numpy().ravel(), tokens.ravel(), vector, logits]
    made_with = {
        "transformers": t.__version__,
        "torch": torch.__version__.split("+")[0],
        "pillow": PIL.__version__,
    }
    names = [model.config.id2label[at] for at in range(len(logits))]
    listing = {
        "made_with": made_with,
        "pictures": OF_MODELS,
        "labels": names,
        "tokens": len(tokens),
        "size": len(vector),
    }
    write_json(folder / "expected.json", listing)
    (folder / "expected.f32").write_bytes(np.concatenate(values).astype("<f4").tobytes())
    print(
        name,
        tokens.shape,
        vector.shape,
        logits.shape,
        np.abs(tokens).max(),
        sum(f.stat().st_size for f in folder.iterdir()) // 1024,
        "KiB",
    )


def write_both() -> None:
    folder = FOLDER.parent / "fixtures/clip"
    model = t.CLIPModel.from_pretrained(folder, attn_implementation="eager").eval()
    tokenizer = t.AutoTokenizer.from_pretrained(folder)
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8}
    )
    texts = ["wing", "The river, and a letter.", "zebra!", "a bakery tomorrow"]
    images = [np.array(Image.open(PICTURES / picture).convert("RGB")) for picture in OF_MODELS]
    pixels = [
        processor(image, return_tensors="pt", input_data_format="channels_last").pixel_values
        for image in images
    ]
    cosines = []
    with torch.inference_mode():
        for values in pixels:
            # One text at a time, so that no padding takes part.
            of_picture = [
                model(pixel_values=values, **tokenizer(text, return_tensors="pt")) for text in texts
            ]
            cosines.append(
                [float((output.image_embeds @ output.text_embeds.T)[0, 0]) for output in of_picture]
            )
    made_with = {"transformers": t.__version__, "pillow": PIL.__version__}
    steps = processor.to_dict()
    listing = {"made_with": made_with, "steps": steps, "texts": texts, "pictures": OF_MODELS}
    write_json(FOLDER / "both.json", listing | {"cosines": cosines})


def write_json(file: Path, value: object) -> None:
    file.write_text(json.dumps(value, indent=0) + "\n")


def main() -> None:
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    shutil.rmtree(FOLDER, ignore_errors=True)
    write_pictures()
    write_resized()
    for name, model in models().items():
        write_model(name, model)
    write_both()


if __name__ == "__main__":
    main()
