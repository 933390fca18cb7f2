#!/usr/bin/env python3
"""Writes the fixtures of tests/unit/test_reference*.c, or with --check compares what it computes
with them. Needs PyTorch (1.13 or later) and NumPy.

    python3 generate.py [--check] [FILE...]     ops, cells, darts_supernet ...; none: all

Everything is computed twice: in float64, which is taken for the truth, and in float32, whose
distance from it is stored beside it: what PyTorch itself is off by is the measure for the tests'
tolerances.
"""
import argparse
import os
import sys
import warnings

import numpy as np
import torch
from torch.nn import functional as F

import models
import values

FOLDER = os.path.dirname(os.path.abspath(__file__))

# ---- What is run --------------------------------------------------------------------------------


def darts(normal, reduce, normal_concat=(2, 3, 4, 5), reduce_concat=(2, 3, 4, 5)):
    return {"normal": normal, "normal_concat": list(normal_concat),
            "reduce": reduce, "reduce_concat": list(reduce_concat)}


# Two that between them have every operation on every kind of edge, and their cells exchanged.
FIRST = darts([("sep_conv_3x3", 0), ("skip_connect", 1), ("dil_conv_3x3", 0), ("max_pool_3x3", 2),
               ("sep_conv_5x5", 1), ("avg_pool_3x3", 3), ("dil_conv_5x5", 2), ("skip_connect", 0)],
              [("sep_conv_3x3", 0), ("skip_connect", 1), ("max_pool_3x3", 0), ("dil_conv_5x5", 1),
               ("avg_pool_3x3", 1), ("skip_connect", 2), ("sep_conv_5x5", 3), ("dil_conv_3x3", 0)])
SECOND = darts([("dil_conv_5x5", 0), ("max_pool_3x3", 1), ("sep_conv_3x3", 2), ("avg_pool_3x3", 0),
                ("skip_connect", 3), ("dil_conv_3x3", 1), ("sep_conv_5x5", 4), ("sep_conv_3x3", 3)],
               [("sep_conv_5x5", 1), ("avg_pool_3x3", 0), ("dil_conv_3x3", 1), ("sep_conv_3x3", 2),
                ("skip_connect", 0), ("max_pool_3x3", 1), ("dil_conv_5x5", 4), ("sep_conv_3x3", 3)])
THIRD = darts(FIRST["reduce"], FIRST["normal"])
FOURTH = darts(SECOND["reduce"], SECOND["normal"])
# Published: github.com/quark0/darts, github.com/yuhuixu1993/PC-DARTS (here with a mean instead of its
# one maximum, which has kinks: README), github.com/D-X-Y/AutoDL-Projects.
DARTS_V2 = darts([("sep_conv_3x3", 0), ("sep_conv_3x3", 1), ("sep_conv_3x3", 0),
                  ("sep_conv_3x3", 1), ("sep_conv_3x3", 1), ("skip_connect", 0),
                  ("skip_connect", 0), ("dil_conv_3x3", 2)],
                 [("max_pool_3x3", 0), ("max_pool_3x3", 1), ("skip_connect", 2),
                  ("max_pool_3x3", 1), ("max_pool_3x3", 0), ("skip_connect", 2),
                  ("skip_connect", 2), ("max_pool_3x3", 1)])
PC_DARTS_AVG = darts([("sep_conv_3x3", 1), ("skip_connect", 0), ("sep_conv_3x3", 0),
                      ("dil_conv_3x3", 1), ("sep_conv_5x5", 0), ("sep_conv_3x3", 1),
                      ("avg_pool_3x3", 0), ("dil_conv_3x3", 1)],
                     [("sep_conv_5x5", 1), ("avg_pool_3x3", 0), ("sep_conv_5x5", 1),
                      ("sep_conv_5x5", 2), ("sep_conv_3x3", 0), ("sep_conv_3x3", 3),
                      ("sep_conv_3x3", 1), ("sep_conv_3x3", 2)])
GDAS_V1 = darts([("skip_connect", 0), ("skip_connect", 1), ("skip_connect", 0),
                 ("sep_conv_5x5", 2), ("sep_conv_3x3", 3), ("skip_connect", 0),
                 ("sep_conv_5x5", 4), ("sep_conv_3x3", 3)],
                [("sep_conv_5x5", 0), ("sep_conv_3x3", 1), ("sep_conv_5x5", 2),
                 ("sep_conv_5x5", 1), ("dil_conv_5x5", 2), ("sep_conv_3x3", 1),
                 ("sep_conv_5x5", 0), ("sep_conv_5x5", 1)])
# What no search proposes, but other code's genotypes have.
LAX = darts([("conv_7x1_1x7", 0), ("conv_7x1_1x7", 0), ("none", 1), ("none", 2),
             ("sep_conv_7x7", 2), ("skip_connect", 1), ("max_pool_3x3", 2), ("none", 0)],
            [("conv_7x1_1x7", 1), ("max_pool_3x3", 1), ("sep_conv_7x7", 0), ("skip_connect", 2)],
            (4, 2, 3), (3,))
NAS_FIRST = ("nor_conv_3x3", "nor_conv_1x1", "skip_connect", "avg_pool_3x3", "none",
             "nor_conv_3x3")
NAS_SECOND = ("nor_conv_1x1", "skip_connect", "nor_conv_3x3", "nor_conv_3x3", "avg_pool_3x3",
              "nor_conv_1x1")
# The best of CIFAR-10 in the benchmark.
NAS_BEST = ("nor_conv_3x3", "nor_conv_3x3", "nor_conv_3x3", "skip_connect", "nor_conv_1x1",
            "nor_conv_3x3")

DARTS_RECIPE = {"momentum": 0.9, "decay": 3e-4, "clip": 5, "nesterov": 0, "auxiliary": 0,
                "drop_path": 0, "lift": 0}
NAS201_RECIPE = dict(DARTS_RECIPE, decay=5e-4)
CELLS = {"images": 4, "side": 16, "steps": 0}
SMALL = {"images": 8, "side": 8, "steps": 20, "tries": 32}
LARGE = {"images": 4, "side": 32, "steps": 20, "tries": 1}
SUPERNET = dict(SMALL, supernet=1, channels=16, rate=4e-4, rate_end=1.6e-5)
FINAL = dict(DARTS_RECIPE, **LARGE, space="darts", supernet=0, channels=36, layers=20, rate=0.025,
             rate_end=0, auxiliary=0.4)

# The networks, a file each. tries: so many batches are tried for each step, and the one is taken
# whose activations keep furthest from the kinks of ReLU and maximum. README says why, and why some
# rates are smaller than the recipes'.
NETWORKS = {
    "darts_supernet": dict(DARTS_RECIPE, **SUPERNET, space="darts", layers=8,
                           genotypes=[FIRST, SECOND, THIRD, FOURTH]),
    "darts_final": dict(FINAL, steps=0, genotypes=[DARTS_V2]),
    "darts_final_steps": dict(FINAL, lift=4, genotypes=[GDAS_V1]),
    "darts_drop_path": dict(FINAL, lift=4, genotypes=[PC_DARTS_AVG], drop_path=0.2),
    "darts_lax": dict(DARTS_RECIPE, **SMALL, space="darts", supernet=0, channels=8, layers=5,
                      genotypes=[LAX], rate=2.5e-3, rate_end=0),
    "nas201_supernet": dict(NAS201_RECIPE, **SUPERNET, space="nas201", layers=5,
                            genotypes=[NAS_FIRST, NAS_SECOND]),
    "nas201_final": dict(NAS201_RECIPE, **SMALL, space="nas201", supernet=0, channels=16, layers=5,
                         genotypes=[NAS_BEST], rate=5e-4, rate_end=0, nesterov=1, clip=0),
}
CELL_NETWORKS = {
    "darts.supernet": dict(CELLS, space="darts", supernet=1, channels=16, layers=4,
                           genotypes=[FIRST], auxiliary=0),
    "darts.final": dict(CELLS, space="darts", supernet=0, channels=16, layers=4,
                        genotypes=[FIRST], auxiliary=0),
    "nas201.supernet": dict(CELLS, space="nas201", supernet=1, channels=16, layers=1,
                            genotypes=[NAS_FIRST], auxiliary=0),
    "nas201.final": dict(CELLS, space="nas201", supernet=0, channels=16, layers=1,
                         genotypes=[NAS_FIRST], auxiliary=0),
}
CELL_MARGIN = 1e-5
CLASSES = 10
OP_IMAGES, OP_SIZES, OP_MARGIN = 3, [(8, 6), (7, 5)], 3e-5
FINAL_OPS = models.DARTS_OPS + ["sep_conv_7x7", "conv_7x1_1x7"]


def op_cases():
    for space, supernet, ops, strides, channels in [
            ("darts", 1, models.DARTS_OPS, (1, 2), 16), ("darts", 0, FINAL_OPS, (1, 2), 36),
            ("nas201", 1, models.NAS201_OPS, (1,), 16), ("nas201", 0, models.NAS201_OPS, (1,), 16)]:
        for op in ops:
            for stride in strides:
                for size in OP_SIZES:
                    name = "%s.%s.%s.stride%d.%dx%d" % (space, "supernet" if supernet else "final",
                                                        op, stride, *size)
                    yield name, space, supernet, op, stride, size, channels
    for stride in (1, 2):
        yield ("darts.final.max_pool_3x3.stride%d.8x6.ties" % stride, "darts", 0, "max_pool_3x3",
               stride, (8, 6), 36)


def genotype_text(genotype):
    if isinstance(genotype, tuple):
        return "|%s~0|+|%s~0|%s~1|+|%s~0|%s~1|%s~2|" % genotype
    return "Genotype(%s)" % ", ".join("%s=%r" % item for item in genotype.items())


# ---- Running ------------------------------------------------------------------------------------


def fill(module, key, prefix="", lift=0.0):
    """First values. prefix: what the tensors' names begin with in the whole network."""
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if not name.endswith("num_batches_tracked"):
                tensor.copy_(torch.from_numpy(
                    values.first_value(key, prefix + name, tuple(tensor.shape), lift)))


def array(tensor):
    return tensor.detach().double().numpy().copy()


def tensors_of(module, prefix=""):
    """(name, tensor, is a statistic)"""
    for name, tensor in module.named_parameters():
        yield prefix + name, tensor, False
    for name, tensor in module.named_buffers():
        if not name.endswith("num_batches_tracked"):
            yield prefix + name, tensor, True


def gradient(tensor):
    return array(tensor.grad) if tensor.grad is not None else np.zeros(tuple(tensor.shape))


def least_margin(seen):
    margin = np.inf
    for kind, x in seen:
        x = x.double()
        scale = float(x.std())
        distance = x.abs()
        distance = distance[distance > 0]  # a zero of a dropped or absent edge is exact
        if scale > 0 and distance.numel():
            margin = min(margin, float(distance.min()) / scale)
    return margin


def run_piece(module, key, prefix, inputs, call, dtype, coarse=False):
    """An operation or a cell: rows by name. inputs: (name, shape). coarse: of -1, 0 and 1."""
    fill(module, key, prefix)
    module.to(dtype).train()
    start = {name: array(tensor) for name, tensor, _ in tensors_of(module, prefix)}
    given = [values.uniform(key + name, shape) for name, shape in inputs]
    if coarse:
        given = [np.floor(1.5 * x + 1.5) - 1 for x in given]
    leaves = [torch.from_numpy(x).to(dtype).requires_grad_() for x in given]
    models.Kinks.seen = []
    y = call(*leaves)
    dy = torch.from_numpy(values.uniform(key + "dy", tuple(y.shape))).to(dtype)
    (y * dy).sum().backward()
    rows = {"y": [array(y)]}
    for (name, _), leaf in zip(inputs, leaves):
        rows["d" + name] = [array(leaf.grad)]
    for name, tensor, statistic in tensors_of(module, prefix):
        if np.any(array(tensor) != start[name]) if statistic else tensor.grad is not None:
            rows[name] = [array(tensor) if statistic else gradient(tensor)]
    seen, models.Kinks.seen = models.Kinks.seen, None
    return rows, seen


def run_op(case, salt, dtype):
    name, space, supernet, op, stride, size, channels = case
    module = models.operation(op, channels, stride, not supernet, space, bool(supernet))
    key = "%s/%d/" % (name, salt)
    return run_piece(module, key, "", [("x", (OP_IMAGES, channels) + size)], module, dtype,
                     name.endswith(".ties"))


def build(config):
    genotype = None if config["supernet"] else config["genotypes"][0]
    if config["space"] == "nas201":
        return models.Nas201(genotype, config["channels"], config["layers"], CLASSES)
    return models.Darts(genotype, config["channels"], config["layers"], CLASSES,
                        config["auxiliary"] > 0)


def cell_shapes(config, index):
    """Shapes of a cell's inputs (name, shape)."""
    images, side, c = config["images"], config["side"], config["channels"]
    if config["space"] == "nas201":
        stage = index // (config["layers"] + 1)
        return [("x", (images, c << stage, side >> stage, side >> stage))]
    reductions = [config["layers"] // 3, 2 * config["layers"] // 3]

    def out(cell):
        if cell < 0:
            return (images, 3 * c, side, side)
        halved = sum(r <= cell for r in reductions)
        return (images, (c << halved) * 4, side >> halved, side >> halved)
    # The first cell has the stem's output twice.
    return ([("s0", out(index - 2))] if index > 0 else []) + [("s1", out(index - 1))]


def run_cell(network, config, index, salt, dtype):
    module = build(config).cells[index]
    path = models.Path(config["genotypes"][0])
    prefix = "cells.%d." % index
    key = "%s.%s/%d/" % (network, prefix[:-1], salt)

    def call(*inputs):
        if config["space"] == "darts" and len(inputs) == 1:
            inputs = inputs * 2
        return module(*inputs, path)
    return run_piece(module, key, prefix, cell_shapes(config, index), call, dtype)


class Training:
    """One network: a pass, scores, and the steps of SGD. `backwards` runs each batch from its last
    picture to its first, which changes the order of sums and nothing else."""

    def __init__(self, name, config, dtype, salts=None, backwards=False):
        self.order = list(range(config["images"]))[::-1 if backwards else 1]
        self.config, self.dtype, self.key = config, dtype, name + "/"
        self.model = build(config)
        fill(self.model, self.key, lift=config["lift"])
        self.model.to(dtype)
        self.salts = salts or []  # of each step's pictures

    def batch(self, step):
        images, side = self.config["images"], self.config["side"]
        pictures = values.uniform(self.key + "pictures.%d.%d" % (step, self.salts[step]),
                                  (images, 3, side, side), 2.0)
        labels = values.labels(self.key + "labels.%d" % step, images, CLASSES)
        return (torch.from_numpy(pictures[self.order]).to(self.dtype),
                torch.from_numpy(labels[self.order]))

    def path(self, step):
        genotypes, probability = self.config["genotypes"], self.config["drop_path"]
        masks = None
        if probability > 0:
            edges = genotypes[0]
            rows = sum(name not in ("none", "skip_connect") or
                       (name == "skip_connect" and cell.reduction and source < 2)
                       for cell in self.model.cells
                       for name, source in edges["reduce" if cell.reduction else "normal"])
            masks = torch.from_numpy(values.drop_path_masks(
                values.fnv1a(self.key), step, rows, self.config["images"],
                probability)[:, self.order])
        return models.Path(genotypes[step % len(genotypes)], masks)

    def backward(self, step):
        """Loss with the auxiliary head's, its gradients; logits."""
        pictures, labels = self.batch(step)
        path = self.path(step)
        self.model.train()
        self.model.zero_grad(set_to_none=True)
        logits, auxiliary = self.model(pictures, path)
        assert path.masks is None or path.row == len(path.masks)
        loss = F.cross_entropy(logits, labels)
        if auxiliary is not None:
            loss = loss + self.config["auxiliary"] * F.cross_entropy(auxiliary, labels)
        loss.backward()
        return float(loss.detach()), array(logits)[self.order]

    def infer(self):
        self.model.eval()
        with torch.no_grad():
            path = models.Path(self.config["genotypes"][0])
            return array(self.model(self.batch(0)[0], path)[0])[self.order]

    def watched(self, step):
        """What a forward pass meets, without a trace."""
        buffers = [(buffer, buffer.clone()) for buffer in self.model.buffers()]
        self.model.train()
        models.Kinks.seen = []
        with torch.no_grad():
            self.model(self.batch(step)[0], self.path(step))
            for buffer, before in buffers:
                buffer.copy_(before)
        seen, models.Kinks.seen = models.Kinks.seen, None
        return seen

    def one_pass(self):
        """Without gradients."""
        logits = [self.infer()]
        loss, scores = self.backward(0)
        rows = {name: [array(tensor)] for name, tensor, statistic in tensors_of(self.model)
                if statistic}
        rows["logits"] = logits + [scores]
        rows["losses"] = [np.array([loss])]
        return rows

    def begin(self):
        config = self.config
        self.rows = {name: [] for name, _, _ in tensors_of(self.model)}
        self.start = {name: array(tensor) for name, tensor, _ in tensors_of(self.model)}
        self.touched = set()
        self.logits, self.losses, self.norms = [self.infer()], [], []
        self.optimiser = torch.optim.SGD(self.model.parameters(), config["rate"],
                                         momentum=config["momentum"],
                                         weight_decay=config["decay"],
                                         nesterov=bool(config["nesterov"]))
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
            self.optimiser, config["steps"], eta_min=config["rate_end"])

    def step(self, step):
        loss, scores = self.backward(step)
        if step == 0:
            self.logits.append(scores)
            for name, tensor, statistic in tensors_of(self.model):
                self.rows[name].append(array(tensor) if statistic else gradient(tensor))
        self.touched.update(name for name, tensor, statistic in tensors_of(self.model)
                            if not statistic and tensor.grad is not None)
        clip = self.config["clip"] or float("inf")
        self.norms.append(float(torch.nn.utils.clip_grad_norm_(self.model.parameters(), clip)))
        self.losses.append(loss)
        self.optimiser.step()
        self.schedule.step()

    def finish(self):
        self.logits.append(self.infer())
        rows = self.rows
        for name, tensor, statistic in tensors_of(self.model):
            moved = array(tensor) - (0 if statistic else self.start[name])
            rows[name].append(moved)
            if not (name in self.touched or (statistic and np.any(moved != self.start[name]))):
                del rows[name]  # of the supernet, what no genotype has used
        rows.update(logits=self.logits, losses=[np.array(self.losses)],
                    norms=[np.array(self.norms)])
        return rows

    def run(self):
        if self.config["steps"] == 0:
            return self.one_pass()
        self.begin()
        for step in range(self.config["steps"]):
            self.step(step)
        return self.finish()


def least_lead(seen, seen_single):
    """How much further from its kink everything is than float32 is from float64 in its tensor."""
    lead = np.inf
    for (_, exact), (_, single) in zip(seen, seen_single):
        distance = exact.abs()
        distance = distance[distance > 0]
        error = float((single.double() - exact).abs().max())
        if error > 0 and distance.numel():
            lead = min(lead, float(distance.min()) / error)
    return lead


def choose_pictures(exact, single, step):
    """Of several batches the one that keeps furthest from kinks."""
    best = (-1.0, 0)
    for salt in range(exact.config["tries"]):
        exact.salts[step:] = single.salts[step:] = [salt]
        best = max(best, (least_lead(exact.watched(step), single.watched(step)), -salt))
    exact.salts[step:] = single.salts[step:] = [-best[1]]
    return best[0]


def run_both(exact, single, salts):
    """Rows of either. salts None: chosen here."""
    leads = []
    for step in range(max(exact.config["steps"], 1)):
        if salts is None:
            leads.append(choose_pictures(exact, single, step))
        else:
            exact.salts[step:] = single.salts[step:] = [salts[step]]
        for run in (exact, single):
            if exact.config["steps"] == 0:
                continue
            if step == 0:
                run.begin()
            run.step(step)
    if leads:
        print("  lead over kinks: least %.1f, median %.1f" % (min(leads), np.median(leads)),
              file=sys.stderr)
    return [run.finish() if exact.config["steps"] else run.one_pass() for run in (exact, single)]


# ---- Files --------------------------------------------------------------------------------------


def digests(exact, singles, prefix=""):
    assert all(exact.keys() == single.keys() for single in singles)
    return {prefix + name: np.stack([values.digest(row, [single[name][i] for single in singles])
                                     for i, row in enumerate(exact[name])])
            for name in exact}


def salted(what, threshold, run):
    """The first salt with which nothing comes near a kink."""
    for salt in range(1000):
        margin = least_margin(run(salt))
        if margin >= threshold:
            print("%s: salt %d, margin %.1e" % (what, salt, margin), file=sys.stderr)
            return salt
    raise RuntimeError(what + ": no salt")


def kink_report(name, exact, single):
    flips = sum(int(((a > 0) != (b > 0)).sum()) for (kind, a), (_, b) in zip(exact, single)
                if kind == "relu")  # of maxima only the lead is known
    count = sum(a.numel() for _, a in exact)
    print("%s: %d of %d signs differ in float32" % (name, flips, count), file=sys.stderr)


def make_ops():
    tensors, metadata = {}, {}
    for case in op_cases():
        margin = 0 if case[0].endswith(".ties") else OP_MARGIN
        salt = salted(case[0], margin, lambda s: run_op(case, s, torch.float64)[1])
        exact, seen = run_op(case, salt, torch.float64)
        single, seen32 = run_op(case, salt, torch.float32)
        kink_report(case[0], seen, seen32)
        tensors.update(digests(exact, [single], case[0] + "/"))
        metadata["salt." + case[0]] = str(salt)
    return tensors, metadata


def make_cells():
    tensors, metadata = {}, {}
    for network, config in CELL_NETWORKS.items():
        metadata["genotype." + network] = genotype_text(config["genotypes"][0])
        for index in range(4 if config["space"] == "darts" else 2):
            name = "%s.cells.%d" % (network, index)
            salt = salted(name, CELL_MARGIN,
                          lambda s: run_cell(network, config, index, s, torch.float64)[1])
            exact, seen = run_cell(network, config, index, salt, torch.float64)
            single, seen32 = run_cell(network, config, index, salt, torch.float32)
            kink_report(name, seen, seen32)
            tensors.update(digests(exact, [single], name + "/"))
            metadata["salt." + name] = str(salt)
    return tensors, metadata


def make_network(name, salts):
    config = NETWORKS[name]
    exact, single = (Training(name, config, dtype) for dtype in (torch.float64, torch.float32))
    rows, *singles = run_both(exact, single, salts)
    with torch.backends.mkldnn.flags(enabled=False):
        singles.append(Training(name, config, torch.float32, exact.salts, backwards=True).run())
    kink_report(name, *(Training(name, config, dtype, exact.salts).watched(0)
                        for dtype in (torch.float64, torch.float32)))
    metadata = {key: repr(value) for key, value in config.items()
                if key not in ("genotypes", "tries", "space")}
    metadata.update(space=config["space"], salts=" ".join(map(str, exact.salts)),
                    genotypes="\n".join(genotype_text(g) for g in config["genotypes"]))
    return digests(rows, singles), metadata


def make(name, again):
    """again: with the batches that the fixture has."""
    if name == "ops":
        tensors, metadata = make_ops()
    elif name == "cells":
        tensors, metadata = make_cells()
    else:
        salts = None
        if again and NETWORKS[name]["tries"] > 1:
            salts = [int(salt) for salt in values.load(fixture(name))[1]["salts"].split()]
        tensors, metadata = make_network(name, salts)
    metadata["torch"] = torch.__version__.split("+")[0]
    return tensors, metadata


def fixture(name):
    return os.path.join(FOLDER, name + ".safetensors")


def summary(tensors):
    """Errors of PyTorch in float32: median and largest of each row."""
    for row in range(3):
        errors = [t[row, 1] / t[row, 0] for t in tensors.values() if len(t) > row and t[row, 0] > 0]
        if errors:
            print("  row %d: float32 median %.1e, largest %.1e" % (row, np.median(errors),
                                                                   max(errors)), file=sys.stderr)


def check(name, tensors):
    """Another PyTorch must come to the same truth; float32 may round otherwise."""
    stored, _ = values.load(fixture(name))
    worst = 0.0
    if stored.keys() != tensors.keys():
        sys.exit("%s: the tensors differ" % name)
    for key, now in tensors.items():
        norm = np.maximum(stored[key][:, :1], 1e-6)
        difference = np.abs(stored[key][:, 2:] - now[:, 2:]).max(initial=0, axis=1, keepdims=True)
        worst = max(worst, float((difference / norm).max()))
    print("%s: differs from the fixture by %.1e" % (name, worst))
    if worst > 1e-6:
        sys.exit("%s: the fixture does not hold" % name)


def main():
    files = ["ops", "cells"] + list(NETWORKS)
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    parser.add_argument("files", nargs="*", metavar="FILE", help=", ".join(files))
    options = parser.parse_args()
    unknown = set(options.files) - set(files)
    if unknown:
        parser.error("no such fixture: " + ", ".join(sorted(unknown)))
    warnings.filterwarnings("ignore", message="TF32 acceleration")
    torch.set_num_threads(1)  # the order of sums is then the same on every run
    torch.use_deterministic_algorithms(True)
    for name in options.files or files:
        tensors, metadata = make(name, options.check)
        print(name, file=sys.stderr)
        summary(tensors)
        if options.check:
            check(name, tensors)
        else:
            values.save(fixture(name), tensors, metadata)


if __name__ == "__main__":
    main()
