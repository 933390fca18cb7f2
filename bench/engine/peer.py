"""peer.py - PyTorch's side of bench/engine/run, with the options and the protocol of engine.c."""
import argparse
import contextlib
import json
import re
import resource
import sys
import time

import torch
from torch.nn import functional

import models

ITEM_SECONDS, MAX_REPEATS = 0.03, 2000  # as engine.c


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", required=True)
    parser.add_argument("--items", required=True)
    parser.add_argument("--supernet", action="store_true")
    parser.add_argument("--space", default="darts")
    for name, default in (("channels", 16), ("layers", 8), ("batch", 64), ("threads", 2)):
        parser.add_argument("--" + name, type=int, default=default)
    for name, default in (("auxiliary", 0), ("drop-path", 0), ("clip", 5), ("rate", 0.025), ("weight-decay", 3e-4)):
        parser.add_argument("--" + name, type=float, default=default)
    parser.add_argument("--nesterov", action="store_true")
    parser.add_argument("--precision", choices=("fp32", "tf32", "bf16"), default="fp32")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--item-seconds", type=float, default=0)
    parser.add_argument("--format", choices=("contiguous", "channels-last"), default="contiguous")
    parser.add_argument("--how", choices=("eager", "compiled", "graphed", "frozen"), default="eager")
    options = parser.parse_args()
    options.format = torch.channels_last if options.format == "channels-last" else torch.contiguous_format
    return options


def precision(options):
    if options.precision == "bf16":
        return torch.autocast(options.device, dtype=torch.bfloat16)
    return contextlib.nullcontext()


class NetworkWork:
    settles = False  # an item is run once, and what ran before it does not matter

    def __init__(self, options, items):
        self.options, self.count = options, len(items)
        if options.space == "darts":
            self.model = models.Darts(items, options.channels, options.layers, options.supernet, options.auxiliary > 0,
                                      options.drop_path)
        else:
            self.model = models.Nas201(items[0], options.channels, options.layers)
        self.model.to(options.device, memory_format=options.format).train(options.work != "infer")
        self.x = torch.randn(options.batch, 3, 32, 32).to(options.device, memory_format=options.format)
        self.labels = (torch.arange(options.batch) % 10).to(options.device)
        self.parameters = list(self.model.parameters())
        self.optimiser = self.open_optimiser()
        self.call = self.model
        if options.how == "compiled":
            self.call = torch.compile(self.model)
        elif options.how == "graphed":
            self.call = torch.compile(self.model, mode="reduce-overhead")
        elif options.how == "frozen":
            with torch.no_grad():
                frozen = torch.jit.freeze(torch.jit.trace(self.model, self.x))
            self.call = torch.jit.optimize_for_inference(frozen)

    def open_optimiser(self):
        settings = {"lr": self.options.rate, "momentum": 0.9, "weight_decay": self.options.weight_decay,
                    "nesterov": self.options.nesterov}
        optimiser = None
        for faster in ({"fused": True}, {"foreach": True}, {}):  # what this version has for the processor
            with contextlib.suppress(TypeError, RuntimeError):
                optimiser = torch.optim.SGD(self.parameters, **settings, **faster)
                break
        # A momentum of zero gives the same first step; the fused optimiser wants all or none of them to be there.
        for parameter in self.parameters:
            optimiser.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        return optimiser

    def logits(self, item):
        return self.call(self.x, item) if self.options.supernet else self.call(self.x)

    def run(self, item):
        if self.options.work != "train":
            with torch.no_grad(), precision(self.options):
                self.logits(item).argmax(1)
            return
        self.optimiser.zero_grad(set_to_none=True)
        with precision(self.options):
            logits = self.logits(item)
            if isinstance(logits, tuple):
                loss = (functional.cross_entropy(logits[0], self.labels)
                        + self.options.auxiliary * functional.cross_entropy(logits[1], self.labels))
            else:
                loss = functional.cross_entropy(logits, self.labels)
        loss.backward()
        if self.options.clip > 0:
            torch.nn.utils.clip_grad_norm_(self.parameters, self.options.clip)
        self.optimiser.step()
        self.loss = loss.detach()
        if self.options.device == "cpu":
            self.check()

    def check(self):
        if self.options.work == "train" and not torch.isfinite(self.loss):
            sys.exit("peer.py: the loss is not finite")


class OperationsWork:
    settles = True

    def __init__(self, options, items):
        self.options, self.count = options, len(items)
        self.tensors, self.items = {}, []
        for item in items:
            name, channels, side, direction = item.split()
            channels, side, stride = int(channels), int(side), 1
            plain = name.startswith("plain_")
            if name == "skip_connect_2":
                name, stride = "skip_connect", 2
            module = models.operation(name.replace("plain_", ""), channels, stride, False, not plain)
            module.to(options.device, memory_format=options.format).train()
            self.items.append((module, self.tensor(channels, side), self.tensor(channels, side // stride),
                               direction == "both"))

    def tensor(self, channels, side):
        if (channels, side) not in self.tensors:
            value = torch.randn(self.options.batch, channels, side, side)
            self.tensors[channels, side] = value.to(self.options.device, memory_format=self.options.format)
        return self.tensors[channels, side]

    def run(self, item):
        module, x, dy, both = self.items[item]
        if not both:
            with torch.no_grad(), precision(self.options):
                module(x)
            return
        x = x.detach().requires_grad_()
        with precision(self.options):
            y = module(x)
        y.backward(dy.to(y.dtype))
        for parameter in module.parameters():
            parameter.grad = None

    def check(self):
        pass


def faults():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_minflt + usage.ru_majflt


def wait(work):
    if work.options.device == "cuda":
        torch.cuda.synchronize()


def warm(work):
    repeats = [1] * work.count
    item_seconds = work.options.item_seconds or (ITEM_SECONDS if work.settles else 0)
    for _ in range(2):
        for item in range(work.count):
            began = time.perf_counter()
            work.run(item)
            wait(work)
            seconds = time.perf_counter() - began
            repeats[item] = max(1, min(MAX_REPEATS, int(item_seconds / seconds)))
    return repeats


def run_round(work, repeats):
    seconds, missed = [], []
    for item in range(work.count):
        if work.settles:
            work.run(item)
            wait(work)
        before, began = faults(), time.perf_counter()
        for _ in range(repeats[item]):
            work.run(item)
        wait(work)
        seconds.append((time.perf_counter() - began) / repeats[item])
        missed.append((faults() - before) / repeats[item])
    work.check()
    return {"seconds": seconds, "faults": missed, "peak_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}


def main():
    options = parse()
    torch.set_num_threads(options.threads)
    torch.set_num_interop_threads(1)
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = options.precision != "fp32"
    torch.backends.cudnn.benchmark = True
    with open(options.items, encoding="utf-8") as file:
        items = file.read().splitlines()
    work = (OperationsWork if options.work == "operations" else NetworkWork)(options, items)
    repeats = warm(work)
    onednn = re.search(r"(?:MKL-DNN|oneDNN) v([\d.]+)", torch.__config__.show())
    print(json.dumps({"version": torch.__version__, "onednn": onednn.group(1) if onednn else None}), flush=True)
    for _ in sys.stdin:
        print(json.dumps(run_round(work, repeats)), flush=True)


main()
