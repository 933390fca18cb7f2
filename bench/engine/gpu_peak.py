"""gpu_peak.py - what the GPU can do, measured with PyTorch: products of large matrices in each precision, and copies of
more than its caches hold. One JSON object, with the names that peak.c has."""
import json
import time

import torch

SECONDS = 0.3


def rate(run, amount):
    """Of the amount, a second: the best of five times."""
    run()
    torch.cuda.synchronize()
    began = time.perf_counter()
    run()
    torch.cuda.synchronize()
    times = max(1, int(SECONDS / 5 / (time.perf_counter() - began)))
    best = 0.0
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(times):
            run()
        torch.cuda.synchronize()
        best = max(best, amount * times / (time.perf_counter() - began))
    return best


def product(kind, tf32):
    torch.backends.cuda.matmul.allow_tf32 = tf32
    side = 8192
    a, b = (torch.randn(side, side, device="cuda", dtype=kind) for _ in range(2))
    return rate(lambda: torch.mm(a, b), 2.0 * side ** 3) / 1e9


def main():
    numbers = torch.empty(1 << 28, device="cuda")
    copy = torch.empty_like(numbers)
    print(json.dumps({"instructions": torch.cuda.get_device_name(), "threads": 1,
                      "fp32_gflops": product(torch.float32, False), "tf32_gflops": product(torch.float32, True),
                      "bf16_gflops": product(torch.bfloat16, False),
                      "triad_gbs": rate(lambda: copy.copy_(numbers), 2.0 * 4 * (1 << 28)) / 1e9}))


main()
