"""Numbers that this side and the C tests make alike, and digests of tensors.

Nothing large is stored. What goes into a model (weights, statistics, pictures, gradients of outputs)
follows from a name by a hash; what comes out of it is stored as a digest.
"""
import json
import struct

import numpy as np

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15
SIGNS = 0x5E4B1  # stream of the projections' signs
PROJECTIONS = 16
WHOLE = 16  # tensors of up to so many elements are stored whole


def fnv1a(text):
    """FNV-1a of 64 bits, as seki_hash_string."""
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = ((value ^ byte) * 0x100000001B3) & MASK
    return value


def mix(x):
    """The finaliser of SplitMix64, on an integer or an array of uint64."""
    if isinstance(x, int):
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
        return x ^ (x >> 31)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def stream(start, count):
    """Elements 0 .. count-1 of the SplitMix64 sequence that starts at `start`."""
    with np.errstate(over="ignore"):
        steps = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(GOLDEN)
        return mix(np.uint64(start) + steps)


def uniform(name, shape, scale=1.0, shift=0.0):
    """float32 numbers in shift +- scale: 24 bits of a hash, scaled in double, rounded once."""
    bits = stream(fnv1a(name), int(np.prod(shape)))
    unit = (bits >> np.uint64(40)).astype(np.float64) * 2.0**-23 - 1.0
    return (shift + scale * unit).astype(np.float32).reshape(shape)


def labels(name, count, classes):
    return (stream(fnv1a(name), count) % np.uint64(classes)).astype(np.int64)


def first_value(key, name, shape, lift=0.0):
    """What a parameter or statistic starts from: weights as PyTorch's default +-1/sqrt(fan in), BN's
    scale and running variance around 1, all else around 0. With `lift` BN's shifts are around it in
    three of four channels, around -lift in the others, the same channels everywhere."""
    if len(shape) > 1:
        return uniform(key + name, shape, 1.0 / np.sqrt(np.float64(np.prod(shape[1:]))))
    shift = 0.0
    if name.endswith(("weight", "running_var")):
        shift = 1.0
    elif name.endswith("bias") and not name.endswith("classifier.bias"):
        shift = np.where(uniform("lift", shape) > -0.5, lift, -lift)
    return uniform(key + name, shape, 0.25, shift)


class Random:
    """xoshiro256++ as lib/base has it, for drop path's masks."""

    def __init__(self, seed, number):
        state = (seed + GOLDEN) & MASK
        state = mix(mix(state) ^ number)
        self.state = []
        for _ in range(4):
            state = (state + GOLDEN) & MASK
            self.state.append(mix(state))

    @staticmethod
    def rotate(x, k):
        return ((x << k) | (x >> (64 - k))) & MASK

    def uniform(self):
        s = self.state
        result = (self.rotate((s[0] + s[3]) & MASK, 23) + s[0]) & MASK
        t = (s[1] << 17) & MASK
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = self.rotate(s[3], 45)
        return (result >> 11) * 2.0**-53


def drop_path_masks(seed, step, rows, images, probability):
    random = Random(seed, step)
    kept = np.float32(1.0 / (1.0 - probability))
    return np.array([[0.0 if random.uniform() < probability else kept for _ in range(images)]
                     for _ in range(rows)], dtype=np.float32).reshape(rows, images)


def projections(values):
    """Small tensors whole; else the sums of the elements with each of 16 fixed patterns of signs."""
    values = values.reshape(-1).astype(np.float64)
    if values.size <= WHOLE:
        return values
    bits = stream(SIGNS, values.size)
    return np.array([np.sum(np.where((bits >> np.uint64(k)) & np.uint64(1), values, -values))
                     for k in range(PROJECTIONS)])


def digest(exact, singles):
    """A row: norm, PyTorch's own error in float32 (rounded up to a power of two), projections. From
    the result in float64 and those in float32, of which the worst counts."""
    exact = exact.astype(np.float64)
    error = max(np.linalg.norm(single - exact) for single in singles)
    if error > 0:
        error = 2.0 ** np.ceil(np.log2(error))
    return np.concatenate([[np.linalg.norm(exact), error], projections(exact)])


def save(path, tensors, metadata):
    """A safetensors file whose bytes follow from its contents alone; the package's writer orders the
    metadata at random."""
    header, blobs, at = {"__metadata__": dict(sorted(metadata.items()))}, [], 0
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name], dtype="<f4")
        assert np.all(np.isfinite(array)), name
        header[name] = {"dtype": "F32", "shape": list(array.shape),
                        "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
        blobs.append(array.tobytes())
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def load(path):
    with open(path, "rb") as file:
        data = file.read()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + length])
    metadata = header.pop("__metadata__")
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        tensors[name] = np.frombuffer(data[8 + length + begin:8 + length + end],
                                      dtype="<f4").reshape(entry["shape"])
    return tensors, metadata
