"""Copies the weights of the example from the package akiki, and writes what the package says of
some made-up recordings:
python weights.py [FOLDER]

FOLDER, by default target/examples/voice, gets

* `model.safetensors`: the package's own, unchanged.
* `recordings.bin`, `expected.bin`, `expected.json`: WAV files, and the probability of speech in
  each of their frames by the package with onnxruntime.

requirements.txt has the packages that it needs.
"""

import io
import json
import shutil
import sys
import wave
from pathlib import Path

import akiki
import numpy as np

REPOSITORY = Path(__file__).parents[3]
PACKAGE = Path(akiki.__file__).parent
RATE = 16000
# The first three resonances of vowels, in Hz.
VOWELS = [
    (730, 1090, 2440),
    (270, 2290, 3010),
    (300, 870, 2240),
    (530, 1840, 2480),
    (570, 840, 2410),
    (660, 1720, 2410),
]


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(
        PACKAGE / "models/akiki-vad-native/model.safetensors", folder / "model.safetensors"
    )
    files, rows, found = [], [], []
    for samples in recordings(np.random.default_rng(17)):
        pcm = np.rint(np.clip(samples, -1, 1) * 32767).astype("<i2")
        file = io.BytesIO()
        with wave.open(file, "wb") as wav:
            wav.setnchannels(1)
            wav.setsampwidth(2)
            wav.setframerate(RATE)
            wav.writeframes(pcm.tobytes())
        with akiki.VAD(engine="onnx") as detector:
            frames = detector.push(pcm.astype(np.float32) / 32768)
        files.append(file.getvalue())
        rows.append({"bytes": len(files[-1]), "frames": len(frames)})
        found += [frame.probability for frame in frames]
    (folder / "recordings.bin").write_bytes(b"".join(files))
    np.array(found, "<f4").tofile(folder / "expected.bin")
    (folder / "expected.json").write_text(json.dumps({"rows": rows}))
    speech = np.mean(np.array(found) >= 0.5)
    print(f"{folder}: {len(rows)} recordings, {len(found)} frames, {speech:.0%} of them speech")


def recordings(chance):
    """Yields recordings of many lengths: silence, noise, tones, and something like a voice."""
    yield np.zeros(0)
    for samples in (1, 255, 256, 257, 511, 512, 5000):
        yield chance.normal(0, 0.1, samples)
    yield np.zeros(RATE)
    for loudness in (0.001, 0.01, 0.1, 0.5):
        yield chance.normal(0, loudness, RATE)
    time = np.arange(2 * RATE) / RATE
    for frequency in (50, 440, 3000):
        yield 0.3 * np.sin(2 * np.pi * frequency * time)
    for number in range(24):
        said = voice(chance, float(chance.uniform(0.4, 6)))
        quiet = np.zeros(int(chance.uniform(0, RATE)))
        heard = np.concatenate([quiet, said, quiet])
        yield heard + chance.normal(0, (0, 0.003, 0.03)[number % 3], len(heard))


def voice(chance, seconds):
    """Returns syllables: pulses through the resonances of vowels, with a hiss before some."""
    samples, parts = int(seconds * RATE), []
    pitch = chance.uniform(90, 240)
    while sum(map(len, parts)) < samples:
        length = int(chance.uniform(0.12, 0.3) * RATE)
        glide = pitch * (
            1 + np.linspace(chance.uniform(-0.1, 0.1), chance.uniform(-0.2, 0.2), length)
        )
        phase = np.cumsum(glide) / RATE
        source = (np.diff(np.floor(phase), prepend=0) > 0).astype(float) + chance.normal(
            0, 0.01, length
        )
        spectrum = np.fft.rfft(source)
        frequencies = np.fft.rfftfreq(length, 1 / RATE)
        shape = sum(
            gain / (1 + ((frequencies - resonance) / 80) ** 2)
            for gain, resonance in zip((1, 0.5, 0.25), VOWELS[chance.integers(len(VOWELS))])
        )
        vowel = np.fft.irfft(spectrum * (shape + 0.01), length) * np.hanning(length) ** 0.5
        if chance.random() < 0.5:
            parts.append(np.diff(chance.normal(0, 0.03, int(chance.uniform(0.03, 0.1) * RATE))))
        parts += [0.5 * vowel / np.abs(vowel).max(), np.zeros(int(chance.uniform(0, 0.08) * RATE))]
    return np.concatenate(parts)[:samples] * chance.uniform(0.2, 1)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else REPOSITORY / "target/examples/voice")
