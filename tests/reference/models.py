"""The networks of DARTS (Liu, Simonyan, Yang 2019) and NAS-Bench-201 (Dong, Yang 2020) in PyTorch.

Written from the papers and the structure that the published code gives its `state_dict`s
(github.com/quark0/darts cnn/operations.py, model.py, model_search.py; github.com/D-X-Y/AutoDL-Projects
cell_operations.py, tiny_network.py), so that the names of tensors are those of published weights. It
knows nothing of seki.

Two departures, both in NAS-Bench-201's supernet: its convolutions have no bias (there, one stands
before a BN without shift, which takes it away again), and its BN keeps running statistics.
"""
import torch
from torch import nn
from torch.nn import functional as F

DARTS_OPS = ["none", "max_pool_3x3", "avg_pool_3x3", "skip_connect", "sep_conv_3x3", "sep_conv_5x5",
             "dil_conv_3x3", "dil_conv_5x5"]
NAS201_OPS = ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"]


class Kinks:
    """Where the function is not smooth: what went into each ReLU, and the lead of each maximum."""
    seen = None  # a list while watching

    @classmethod
    def relu(cls, x):
        if cls.seen is not None:
            cls.seen.append(("relu", x.detach()))

    @classmethod
    def max_pool(cls, x, stride):
        if cls.seen is not None:
            padded = F.pad(x.detach(), (1, 1, 1, 1), value=-1e9)
            n, c, h, w = padded.shape
            windows = F.unfold(padded.reshape(n * c, 1, h, w), 3, stride=stride)
            two = windows.topk(2, dim=1).values
            cls.seen.append(("max", two[:, 0] - two[:, 1]))


class ReLU(nn.Module):
    def forward(self, x):
        Kinks.relu(x)
        return F.relu(x)


class MaxPool(nn.Module):
    def __init__(self, stride):
        super().__init__()
        self.stride = stride

    def forward(self, x):
        Kinks.max_pool(x, self.stride)
        return F.max_pool2d(x, 3, self.stride, 1)


def avg_pool(kernel, stride, padding):
    return nn.AvgPool2d(kernel, stride=stride, padding=padding, count_include_pad=False)


def conv(c_in, c_out, kernel, stride=1, padding=0, dilation=1, groups=1):
    return nn.Conv2d(c_in, c_out, kernel, stride, padding, dilation, groups, bias=False)


def norm(channels, affine):
    return nn.BatchNorm2d(channels, affine=affine)


# ---- Operations ---------------------------------------------------------------------------------


class Identity(nn.Module):
    def forward(self, x):
        return x


class Zero(nn.Module):
    def __init__(self, stride):
        super().__init__()
        self.stride = stride

    def forward(self, x):
        return x[:, :, ::self.stride, ::self.stride] * 0.0


class ReLUConvBN(nn.Module):
    def __init__(self, c_in, c_out, kernel, stride, padding, affine):
        super().__init__()
        self.op = nn.Sequential(ReLU(), conv(c_in, c_out, kernel, stride, padding),
                                norm(c_out, affine))

    def forward(self, x):
        return self.op(x)


class FactorizedReduce(nn.Module):
    def __init__(self, c_in, c_out, affine):
        super().__init__()
        self.relu = ReLU()
        self.conv_1 = conv(c_in, c_out // 2, 1, 2)
        self.conv_2 = conv(c_in, c_out - c_out // 2, 1, 2)
        self.bn = norm(c_out, affine)

    def forward(self, x):
        x = self.relu(x)
        # Odd pictures: zeros after the last row and column, as NAS-Bench-201 has it.
        shifted = F.pad(x, (0, 1, 0, 1))[:, :, 1:, 1:]
        return self.bn(torch.cat([self.conv_1(x), self.conv_2(shifted)], dim=1))


class Separable(nn.Module):
    """`repeats` times ReLU, depthwise, pointwise, BN: twice is sep_conv, once with dilation 2 is
    dil_conv. The stride is in the first."""

    def __init__(self, c, kernel, stride, dilation, repeats, affine):
        super().__init__()
        padding = dilation * (kernel - 1) // 2
        layers = []
        for repeat in range(repeats):
            layers += [ReLU(), conv(c, c, kernel, 1 if repeat else stride, padding, dilation, c),
                       conv(c, c, 1), norm(c, affine)]
        self.op = nn.Sequential(*layers)

    def forward(self, x):
        return self.op(x)


def operation(name, c, stride, affine, space, supernet):
    if name == "none":
        return Zero(stride)
    if name == "skip_connect":
        return Identity() if stride == 1 else FactorizedReduce(c, c, affine)
    if name in ("max_pool_3x3", "avg_pool_3x3"):
        pool = MaxPool(stride) if name == "max_pool_3x3" else avg_pool(3, stride, 1)
        return nn.Sequential(pool, norm(c, False)) if supernet and space == "darts" else pool
    if name == "conv_7x1_1x7":
        return nn.Sequential(ReLU(), conv(c, c, (1, 7), (1, stride), (0, 3)),
                             conv(c, c, (7, 1), (stride, 1), (3, 0)), norm(c, affine))
    kind, kernel = name.rsplit("_", 1)
    kernel = int(kernel[0])
    if kind == "sep_conv":
        return Separable(c, kernel, stride, 1, 2, affine)
    if kind == "dil_conv":
        return Separable(c, kernel, stride, 2, 1, affine)
    assert kind == "nor_conv", name
    return ReLUConvBN(c, c, kernel, stride, kernel // 2, affine)


# ---- DARTS --------------------------------------------------------------------------------------


class Path:
    """What goes along with a forward pass: the genotype, and drop path's masks, a row for each edge
    that is no identity, in the order in which they come."""

    def __init__(self, genotype=None, masks=None):
        self.genotype, self.masks, self.row = genotype, masks, 0

    def drop(self, module, y):
        if self.masks is None or isinstance(module, Identity):
            return y
        keep = self.masks[self.row].to(y.dtype)
        self.row += 1
        return y * keep.reshape(-1, 1, 1, 1)


class DartsCell(nn.Module):
    """edges None: the supernet's cell, with every operation on every edge."""

    def __init__(self, edges, concat, c_pp, c_p, c, reduction, reduction_prev):
        super().__init__()
        supernet = edges is None
        affine = not supernet
        self.edges, self.concat, self.reduction = edges, concat, reduction
        self.preprocess0 = (FactorizedReduce(c_pp, c, affine) if reduction_prev
                            else ReLUConvBN(c_pp, c, 1, 1, 0, affine))
        self.preprocess1 = ReLUConvBN(c_p, c, 1, 1, 0, affine)
        self._ops = nn.ModuleList()

        def stride(source):
            return 2 if reduction and source < 2 else 1

        if not supernet:
            for name, source in edges:
                self._ops.append(operation(name, c, stride(source), True, "darts", False))
            return
        for node in range(4):
            for source in range(2 + node):
                mixed = nn.Module()
                mixed._ops = nn.ModuleList(operation(name, c, stride(source), False, "darts", True)
                                           for name in DARTS_OPS)
                self._ops.append(mixed)

    def forward(self, s0, s1, path):
        states = [self.preprocess0(s0), self.preprocess1(s1)]
        edges, concat = self.edges, self.concat
        if edges is None:
            edges = path.genotype["reduce" if self.reduction else "normal"]
            concat = [2, 3, 4, 5]
        for node in range(len(edges) // 2):
            total = 0
            for number in (2 * node, 2 * node + 1):
                name, source = edges[number]
                if self.edges is None:
                    offset = sum(2 + earlier for earlier in range(node))
                    module = self._ops[offset + source]._ops[DARTS_OPS.index(name)]
                else:
                    module = self._ops[number]
                y = module(states[source])
                total = total + (path.drop(module, y) if name != "none" else y)
            states.append(total)
        return torch.cat([states[i] for i in concat], dim=1)


class AuxiliaryHead(nn.Module):
    def __init__(self, c, classes):
        super().__init__()
        self.features = nn.Sequential(
            ReLU(), avg_pool(5, 3, 0), conv(c, 128, 1), norm(128, True), ReLU(),
            conv(128, 768, 2), norm(768, True), ReLU())
        self.classifier = nn.Linear(768, classes)

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


class Darts(nn.Module):
    """genotype None: the supernet."""

    def __init__(self, genotype, c, layers, classes, auxiliary):
        super().__init__()
        self.stem = nn.Sequential(conv(3, 3 * c, 3, padding=1), norm(3 * c, True))
        self.auxiliary_at = 2 * layers // 3 if auxiliary else None
        self.cells = nn.ModuleList()
        c_pp = c_p = 3 * c
        reduction_prev = False
        for i in range(layers):
            reduction = i in (layers // 3, 2 * layers // 3)
            c *= 2 if reduction else 1
            kind = "reduce" if reduction else "normal"
            edges = genotype[kind] if genotype else None
            concat = genotype[kind + "_concat"] if genotype else [2, 3, 4, 5]
            self.cells.append(DartsCell(edges, concat, c_pp, c_p, c, reduction, reduction_prev))
            c_pp, c_p, reduction_prev = c_p, c * len(concat), reduction
            if i == self.auxiliary_at:
                self.auxiliary_head = AuxiliaryHead(c_p, classes)
        self.classifier = nn.Linear(c_p, classes)

    def forward(self, x, path):
        s0 = s1 = self.stem(x)
        auxiliary = None
        for i, cell in enumerate(self.cells):
            s0, s1 = s1, cell(s0, s1, path)
            if i == self.auxiliary_at and self.training:
                auxiliary = self.auxiliary_head(s1)
        return self.classifier(s1.mean(dim=(2, 3))), auxiliary


# ---- NAS-Bench-201 ------------------------------------------------------------------------------

NAS201_EDGES = [(1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2)]  # (node, source)


class SearchCell(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.edges = nn.ModuleDict()
        for node, source in NAS201_EDGES:
            self.edges["%d<-%d" % (node, source)] = nn.ModuleList(
                operation(name, c, 1, False, "nas201", True) for name in NAS201_OPS)

    def forward(self, x, path):
        states = [x, 0, 0, 0]
        for (node, source), name in zip(NAS201_EDGES, path.genotype):
            module = self.edges["%d<-%d" % (node, source)][NAS201_OPS.index(name)]
            states[node] = states[node] + module(states[source])
        return states[3]


class InferCell(nn.Module):
    def __init__(self, genotype, c):
        super().__init__()
        self.layers = nn.ModuleList(operation(name, c, 1, True, "nas201", False)
                                    for name in genotype)

    def forward(self, x, path):
        states = [x, 0, 0, 0]
        for (node, source), module in zip(NAS201_EDGES, self.layers):
            states[node] = states[node] + module(states[source])
        return states[3]


class ResidualBlock(nn.Module):
    def __init__(self, c_in, c_out):
        super().__init__()
        self.conv_a = ReLUConvBN(c_in, c_out, 3, 2, 1, True)
        self.conv_b = ReLUConvBN(c_out, c_out, 3, 1, 1, True)
        self.downsample = nn.Sequential(nn.AvgPool2d(2, stride=2), conv(c_in, c_out, 1))

    def forward(self, x, path):
        return self.downsample(x) + self.conv_b(self.conv_a(x))


class Nas201(nn.Module):
    """genotype None: the supernet. `layers` cells a stage."""

    def __init__(self, genotype, c, layers, classes):
        super().__init__()
        self.stem = nn.Sequential(conv(3, c, 3, padding=1), norm(c, True))
        self.cells = nn.ModuleList()
        for stage in range(3):
            if stage > 0:
                self.cells.append(ResidualBlock(c, 2 * c))
                c *= 2
            for _ in range(layers):
                self.cells.append(InferCell(genotype, c) if genotype else SearchCell(c))
        self.lastact = nn.Sequential(norm(c, True), ReLU())
        self.classifier = nn.Linear(c, classes)

    def forward(self, x, path):
        x = self.stem(x)
        for cell in self.cells:
            x = cell(x, path)
        return self.classifier(self.lastact(x).mean(dim=(2, 3))), None
