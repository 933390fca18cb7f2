"""work.py - what bench/engine measures: the cases, and what each costs in multiply-adds and in bytes.

The count of bytes is a floor for blocks that are fused as far as batch normalisation lets them be: a block is
[normalise what came in, ReLU, depthwise, pointwise or pooling, sums for the next normalisation]; it reads its input and
writes its output, each once. A node's sum reads its addends and writes the state. Backward, a block reads its
output's gradient, its output and its input, and writes its input's gradient. Weights are not counted, nor is what
caches spare. Operations are nominal: 2 a multiply-accumulate of convolutions and linear, also those of padding;
training is 3 times the forward pass. The auxiliary head is counted in neither.
"""
import ast
import os
import re

HERE = os.path.dirname(os.path.abspath(__file__))

DARTS_V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])")
NAS201 = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"

OPERATIONS = ("max_pool_3x3", "avg_pool_3x3", "skip_connect_2", "sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3",
              "dil_conv_5x5", "nor_conv_1x1", "nor_conv_3x3", "plain_avg_pool_3x3")
SHAPES = ((16, 32), (32, 16), (64, 8))  # channels, side


def sampled_genotypes():
    """`seki-propose --policy random --space darts --seed 0 -n 12`, kept so that runs compare over time."""
    with open(os.path.join(HERE, "genotypes"), encoding="utf-8") as file:
        return file.read().splitlines()


def all_operations():
    return [f"{name} {channels} {side} {direction}" for name in OPERATIONS for channels, side in SHAPES
            for direction in ("forward", "both")]


class Case:
    """One row of what is measured. `options` are the command line of engine.c and peer.py."""

    def __init__(self, title, work, items, batch, variants, devices=("cpu", "cuda"), **options):
        self.title, self.work, self.items, self.batch = title, work, items, batch
        self.variants = variants  # how PyTorch is tried, a name of run's VARIANTS each, likely best first
        self.devices = devices  # where it is measured unless it is asked for by name
        self.options = {"space": "darts", "channels": 16, "layers": 8, **options}

    def arguments(self):
        words = ["--work", self.work, "--batch", str(self.batch)]
        for name, value in self.options.items():
            name = "--" + name.replace("_", "-")
            words += [name] if value is True else [name, str(value)]
        return words


EAGER = ("channels-last", "contiguous")
CASES = {
    "supernet-train": Case("supernet, training step", "train", sampled_genotypes(), 64, EAGER, supernet=True),
    # What torch.compile would bring to a search in which every step had the same genotype.
    "supernet-one": Case("supernet of one genotype, training step", "train", sampled_genotypes()[:1], 64,
                         EAGER + ("compiled",), devices=("cuda",), supernet=True),
    "supernet-score": Case("supernet, scoring", "score", sampled_genotypes(), 250, EAGER, supernet=True),
    "final-train": Case("final network, training step", "train", [DARTS_V2], 96, EAGER + ("compiled",), channels=36,
                        layers=20, auxiliary=0.4, drop_path=0.1),
    "final-infer": Case("final network, inference", "infer", [DARTS_V2], 96, EAGER + ("frozen", "compiled"),
                        channels=36, layers=20),
    "nas201-train": Case("NAS-Bench-201, training step", "train", [NAS201], 256, EAGER + ("compiled",),
                         space="nas201", layers=5, clip=0, rate=0.1, weight_decay=5e-4, nesterov=True),
    "operations": Case("single operations", "operations", all_operations(), 64, EAGER),
}


# ---- Genotypes ------------------------------------------------------------------------------------

def parse_darts(text):
    """{'normal': ([(operation, state) ...], [node ...]), 'reduce': ...}; two edges a node."""
    call = ast.parse(text, mode="eval").body
    fields = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
    return {cell: (fields[cell], fields[cell + "_concat"]) for cell in ("normal", "reduce")}


def parse_nas201(text):
    """[(operation, state) ...] of each node."""
    return [[(op, int(state)) for op, state in re.findall(r"([a-z0-9_]+)~(\d)", node)] for node in text.split("+")]


def darts_cells(channels, layers):
    """(is a reduction, follows one, channels) of each cell."""
    after = False
    for index in range(layers):
        reduction = index in (layers // 3, 2 * layers // 3)
        channels *= 2 if reduction else 1
        yield reduction, after, channels
        after = reduction


# ---- Cost -----------------------------------------------------------------------------------------

class Cost:
    """Of one picture; elements, of which each has the precision's bytes."""

    def __init__(self):
        self.macs = self.forward = self.backward = 0

    def block(self, read, written, macs=0, want_dx=True):
        self.macs += macs
        self.forward += read + written
        self.backward += 2 * written + read + (read if want_dx else 0)

    def operation(self, name, channels, side, stride=1):
        """Side of what it gives."""
        out = (side + stride - 1) // stride
        read, written = channels * side * side, channels * out * out
        kernel = int(name[-1]) if name[-1].isdigit() and "x" in name else 0
        if name.startswith(("sep_conv", "dil_conv")):
            separable = written * kernel * kernel + written * channels
            self.block(read, written, separable)
            if name.startswith("sep"):
                self.block(written, written, separable)
        elif name.startswith("nor_conv"):
            self.block(read, written, written * channels * kernel * kernel)
        elif "pool" in name:
            self.block(read, written)
        elif name == "skip_connect" and stride == 1:
            self.backward += 2 * read  # the sum reads what it would give
        elif name.startswith("skip_connect"):
            self.block(read, written, written * channels)
        else:
            raise ValueError(name)
        return out

    def sum(self, addends, elements):
        self.forward += (addends + 1) * elements

    def head(self, elements, channels, classes=10):
        self.macs += channels * classes
        self.forward += elements
        self.backward += elements


def darts_cost(text, channels, layers):
    cost, cells = Cost(), parse_darts(text)
    side = before_side = 32
    here = before = 3 * channels  # channels of the last two cells
    cost.block(3 * 32 * 32, here * 32 * 32, 27 * here * 32 * 32, want_dx=False)
    for reduction, after, width in darts_cells(channels, layers):
        cost.block(before * before_side ** 2, width * side ** 2, before * width * side ** 2)
        cost.block(here * side ** 2, width * side ** 2, here * width * side ** 2)
        edges, concat = cells["reduce" if reduction else "normal"]
        out = side // 2 if reduction else side
        for node in range(0, len(edges), 2):
            for name, state in edges[node:node + 2]:
                halved = reduction and state < 2
                cost.operation(name, width, side if state < 2 else out, 2 if halved else 1)
            cost.sum(2, width * out ** 2)
        before, before_side = here, side
        here, side = len(concat) * width, out
    cost.head(here * side ** 2, here)
    return cost


def nas201_cost(text, channels, layers):
    cost, nodes = Cost(), parse_nas201(text)
    side = 32
    cost.block(3 * 32 * 32, channels * 32 * 32, 27 * channels * 32 * 32, want_dx=False)
    for stage in range(3):
        if stage:  # a residual block of stride 2
            read, channels, side = channels * side ** 2, 2 * channels, side // 2
            written = channels * side ** 2
            cost.block(read, written, written * channels // 2 * 9)
            cost.block(written, written, written * channels * 9)
            cost.block(read, written, written * channels // 2)
            cost.sum(2, written)
        for _ in range(layers):
            for node in nodes:
                for name, _state in node:
                    if name != "none":
                        cost.operation(name, channels, side)
                cost.sum(len([name for name, _ in node if name != "none"]), channels * side ** 2)
    cost.head(channels * side ** 2, channels)
    return cost


def item_cost(case, item):
    """(multiply-accumulates of the forward pass, floating-point operations, elements moved), of one picture."""
    if case.work == "operations":
        name, channels, side, direction = item.split()
        cost = Cost()
        stride = 2 if name == "skip_connect_2" else 1
        cost.operation(name.replace("plain_", ""), int(channels), int(side), stride)
        training = direction == "both"
    else:
        network = darts_cost if case.options["space"] == "darts" else nas201_cost
        cost = network(item, case.options["channels"], case.options["layers"])
        training = case.work == "train"
    if training:
        return cost.macs, 6 * cost.macs, cost.forward + cost.backward
    return cost.macs, 2 * cost.macs, cost.forward
