"""models.py - the networks in PyTorch, for bench/engine/peer.py: DARTS's supernet and final network (Liu et al. 2019) and
the skeleton of NAS-Bench-201 (Dong, Yang 2020), written from their descriptions."""
import torch
from torch import nn
from torch.nn import functional

import work


def convolution(inputs, outputs, kernel, stride=1, affine=True):
    return nn.Sequential(nn.ReLU(), nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
                         nn.BatchNorm2d(outputs, affine=affine))


def separable(channels, kernel, stride, dilation, repeats, affine):
    layers = []
    for repeat in range(repeats):
        layers += [nn.ReLU(),
                   nn.Conv2d(channels, channels, kernel, 1 if repeat else stride, dilation * (kernel // 2), dilation,
                             groups=channels, bias=False),
                   nn.Conv2d(channels, channels, 1, bias=False),
                   nn.BatchNorm2d(channels, affine=affine)]
    return nn.Sequential(*layers)


class FactorizedReduce(nn.Module):
    def __init__(self, inputs, outputs, affine):
        super().__init__()
        self.even = nn.Conv2d(inputs, outputs // 2, 1, 2, bias=False)
        self.odd = nn.Conv2d(inputs, outputs // 2, 1, 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs, affine=affine)

    def forward(self, x):
        x = functional.relu(x)
        return self.norm(torch.cat([self.even(x), self.odd(x[:, :, 1:, 1:])], 1))


def operation(name, channels, stride, affine, pool_norm):
    kernel = int(name[-1]) if "x" in name else 0
    if name.startswith("sep_conv"):
        return separable(channels, kernel, stride, 1, 2, affine)
    if name.startswith("dil_conv"):
        return separable(channels, kernel, stride, 2, 1, affine)
    if name.startswith("nor_conv"):
        return convolution(channels, channels, kernel, stride, affine)
    if name == "skip_connect":
        return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels, affine)
    pool = nn.MaxPool2d(3, stride, 1) if name.startswith("max") else nn.AvgPool2d(3, stride, 1, count_include_pad=False)
    return nn.Sequential(pool, nn.BatchNorm2d(channels, affine=False)) if pool_norm else pool


def drop_path(x, probability):
    keep = torch.empty(x.size(0), 1, 1, 1, dtype=x.dtype, device=x.device).bernoulli_(1 - probability)
    return x * keep.div_(1 - probability)


class DartsCell(nn.Module):
    """The cell of every genotype: an operation at one place is one module, whoever uses it."""

    def __init__(self, genotypes, before, inputs, channels, reduction, after, supernet):
        super().__init__()
        affine = not supernet
        self.before = (FactorizedReduce(before, channels, affine) if after
                       else convolution(before, channels, 1, affine=affine))
        self.last = convolution(inputs, channels, 1, affine=affine)
        self.modules_by_place = nn.ModuleDict()
        self.paths, self.concat = [], None
        for genotype in genotypes:
            edges, self.concat = genotype["reduce" if reduction else "normal"]
            path = []
            for index, (name, state) in enumerate(edges):
                stride = 2 if reduction and state < 2 else 1
                key = f"{index // 2 if supernet else index}_{state}_{name}"
                if key not in self.modules_by_place:
                    self.modules_by_place[key] = operation(name, channels, stride, affine, supernet)
                path.append((state, self.modules_by_place[key]))
            self.paths.append(path)

    def forward(self, before, last, which, probability):
        states = [self.before(before), self.last(last)]
        path = self.paths[which]
        for node in range(0, len(path), 2):
            addends = []
            for state, module in path[node:node + 2]:
                value = module(states[state])
                if probability > 0 and not isinstance(module, nn.Identity):
                    value = drop_path(value, probability)
                addends.append(value)
            states.append(addends[0] + addends[1])
        return torch.cat([states[node] for node in self.concat], 1)


class Darts(nn.Module):
    """The supernet as far as the genotypes given use it, or the final network of one."""

    def __init__(self, texts, channels, layers, supernet, auxiliary, probability):
        super().__init__()
        genotypes = [work.parse_darts(text) for text in texts]
        self.probability = probability
        before = inputs = 3 * channels
        self.stem = nn.Sequential(nn.Conv2d(3, inputs, 3, padding=1, bias=False), nn.BatchNorm2d(inputs))
        self.cells = nn.ModuleList()
        for reduction, after, width in work.darts_cells(channels, layers):
            cell = DartsCell(genotypes, before, inputs, width, reduction, after, supernet)
            self.cells.append(cell)
            before, inputs = inputs, len(cell.concat) * width
        self.auxiliary_after = 2 * layers // 3
        self.auxiliary = nn.Sequential(
            nn.ReLU(), nn.AvgPool2d(5, 3, count_include_pad=False),
            nn.Conv2d(len(self.cells[self.auxiliary_after].concat) * 4 * channels, 128, 1, bias=False),
            nn.BatchNorm2d(128), nn.ReLU(), nn.Conv2d(128, 768, 2, bias=False), nn.BatchNorm2d(768), nn.ReLU(),
            nn.Flatten(), nn.Linear(768, 10)) if auxiliary else None
        self.classifier = nn.Linear(inputs, 10)

    def forward(self, x, which=0):
        """Logits, and those of the auxiliary head while training."""
        before = last = self.stem(x)
        auxiliary = None
        probability = self.probability if self.training else 0.0
        for index, cell in enumerate(self.cells):
            before, last = last, cell(before, last, which, probability)
            if self.auxiliary is not None and self.training and index == self.auxiliary_after:
                auxiliary = self.auxiliary(last)
        logits = self.classifier(functional.adaptive_avg_pool2d(last, 1).flatten(1))
        return logits if auxiliary is None else (logits, auxiliary)


class Nas201Cell(nn.Module):
    def __init__(self, nodes, channels):
        super().__init__()
        self.nodes = nn.ModuleList(
            nn.ModuleList(operation(name, channels, 1, True, False) for name, _ in node) for node in nodes)
        self.inputs = [[state for _, state in node] for node in nodes]

    def forward(self, x):
        states = [x]
        for modules, inputs in zip(self.nodes, self.inputs):
            states.append(sum(module(states[state]) for module, state in zip(modules, inputs)))
        return states[-1]


class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.first = convolution(channels, 2 * channels, 3, 2)
        self.second = convolution(2 * channels, 2 * channels, 3)
        self.beside = nn.Sequential(nn.AvgPool2d(2, 2), nn.Conv2d(channels, 2 * channels, 1, bias=False))

    def forward(self, x):
        return self.beside(x) + self.second(self.first(x))


class Nas201(nn.Module):
    def __init__(self, text, channels, layers):
        super().__init__()
        nodes = work.parse_nas201(text)
        body = [nn.Conv2d(3, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)]
        for stage in range(3):
            body += [Residual(channels << (stage - 1))] if stage else []
            body += [Nas201Cell(nodes, channels << stage) for _ in range(layers)]
        self.body = nn.Sequential(*body, nn.BatchNorm2d(4 * channels), nn.ReLU())
        self.classifier = nn.Linear(4 * channels, 10)

    def forward(self, x, which=0):
        del which  # there is one genotype
        return self.classifier(functional.adaptive_avg_pool2d(self.body(x), 1).flatten(1))
