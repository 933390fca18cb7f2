"""programs.py - where what the bench runs was built, and what libseki's side is to be run with."""
import os

import work

TOP = os.path.dirname(os.path.dirname(work.HERE))
BUILD = os.path.abspath(os.environ.get("SEKI_BENCH_BUILD") or os.path.join(TOP, "build", "bench"))
ENGINE = os.path.join(BUILD, "engine")


def libraries():
    """Of the environment, for libseki's programs alone: SEKI_BENCH_LIBRARIES, folders of libraries that Python and
    PyTorch, which have their own, are not to see."""
    folders = [os.environ.get(name) for name in ("SEKI_BENCH_LIBRARIES", "LD_LIBRARY_PATH")]
    return {"LD_LIBRARY_PATH": ":".join(filter(None, folders))} if folders[0] else {}
