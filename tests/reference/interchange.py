"""PyTorch's side of tests/interchange.bats: checkpoints in both directions, on the models of models.py.

    logits FILE DATA network|supernet CHANNELS LAYERS MEANS DEVIATIONS N GENOTYPE
        the logits for the first N training pictures of CIFAR-10's binary files, a line each
    score  the same arguments: accuracy (percent) and loss over the test pictures, N is not used
    train  the same arguments: writes FILE: a network trained for a few steps, the state_dict alone
    resave FILE OUT [CODE]
        FILE as safetensors writes it, its metadata kept; CODE is run over `tensors` and `metadata`
    checksums FILE
        the checksums in the metadata held against the tensors
    compare FILE FILE TOLERANCE
        the numbers of two files, equal to TOLERANCE times the largest of them
"""
import json
import re
import sys
import zlib

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import models


def parse_genotype(text):
    if text.startswith("|"):
        return tuple(re.findall(r"([a-z0-9_]+)~\d", text))
    return eval(text, {"Genotype": dict, "__builtins__": {}})


def read_pictures(data, names, mean, deviation):
    rows = np.concatenate([np.fromfile("%s/%s.bin" % (data, name), np.uint8).reshape(-1, 3073)
                           for name in names])
    pictures = rows[:, 1:].reshape(-1, 3, 32, 32).astype(np.float32) / np.float32(255)
    pictures = (pictures - mean.reshape(3, 1, 1)) / deviation.reshape(3, 1, 1)
    return torch.from_numpy(pictures), torch.from_numpy(rows[:, 0].astype(np.int64))


class Task:
    def __init__(self, file, data, kind, channels, layers, mean, deviation, images, genotype):
        self.file, self.supernet, self.images = file, kind == "supernet", int(images)
        self.genotype = parse_genotype(genotype)
        mean, deviation = (np.array(text.split(","), np.float32) for text in (mean, deviation))
        self.train = read_pictures(data, ["data_batch_%d" % i for i in range(1, 6)], mean, deviation)
        self.test = read_pictures(data, ["test_batch"], mean, deviation)
        self.channels, self.layers = int(channels), int(layers)

    def model(self, auxiliary):
        genotype = None if self.supernet else self.genotype
        if isinstance(self.genotype, tuple):
            return models.Nas201(genotype, self.channels, self.layers, 10)
        return models.Darts(genotype, self.channels, self.layers, 10, auxiliary)

    def load(self):
        """FILE in the model, each of its tensors used and none missing."""
        tensors = load_file(self.file)
        model = self.model(any(name.startswith("auxiliary_head.") for name in tensors))
        model.load_state_dict(tensors, strict=True)
        # What a candidate is scored with on the supernet are the statistics of the batch.
        return model.train(self.supernet)

    def forward(self, model, pictures):
        return model(pictures, models.Path(self.genotype))


def logits(task):
    with torch.no_grad():
        for row in task.forward(task.load(), task.train[0][:task.images])[0]:
            print(*("%.9g" % value for value in row))


def score(task):
    pictures, labels = task.test
    with torch.no_grad():
        found = task.forward(task.load(), pictures)[0].double()
    right = (found.argmax(dim=1) == labels).double().mean()
    print(100 * right.item(), torch.nn.functional.cross_entropy(found, labels).item())


def train(task):
    torch.manual_seed(3)
    model = task.model(True).train()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for step in range(6):
        pictures, labels = (part[16 * step:16 * step + 16] for part in task.train)
        outputs = [output for output in task.forward(model, pictures) if output is not None]
        loss = sum(torch.nn.functional.cross_entropy(output, labels) for output in outputs)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    save_file(model.state_dict(), task.file)


def metadata_of(file):
    with safe_open(file, "pt") as opened:
        return opened.metadata()


def resave(file, out, code=""):
    tensors, metadata = load_file(file), metadata_of(file)
    exec(code)
    save_file(tensors, out, metadata=metadata)


def digits(data):
    return "%08x" % zlib.crc32(data)


def checksums(file):
    tensors, metadata = load_file(file), metadata_of(file)
    found = {name: digits(tensor.numpy().tobytes()) for name, tensor in tensors.items()}
    assert found == json.loads(metadata["crc32"])
    expected = metadata.pop("settings_crc32")
    text = json.dumps(metadata, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert digits(text.encode()) == expected
    print(len(found))


def compare(first, second, tolerance):
    first, second = np.loadtxt(first, ndmin=2), np.loadtxt(second, ndmin=2)
    assert first.shape == second.shape and first.size > 0, (first.shape, second.shape)
    difference = np.abs(first - second).max() / max(np.abs(first).max(), np.abs(second).max())
    print("largest difference: %.2g of the largest number" % difference)
    assert difference <= float(tolerance)


if __name__ == "__main__":
    torch.set_num_threads(1)
    command, arguments = sys.argv[1], sys.argv[2:]
    if command in ("logits", "score", "train"):
        globals()[command](Task(*arguments))
    else:
        {"resave": resave, "checksums": checksums, "compare": compare}[command](*arguments)
