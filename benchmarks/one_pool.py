"""What a second pool of compute threads costs a small operator, and what giving it back helps.

    python benchmarks/one_pool.py

A convolution is timed on a thread of its own: while no other thread has ever computed in parallel,
after the main thread has, and after that one has given its pool back. The last two take turns.
"""

from __future__ import annotations

import statistics
import threading
import time

import torch

from swapnet_core.openmp import release_pool

_TURNS = 5
_WARM, _TIMED = 30, 300


def main() -> None:
    """Print medians in milliseconds, and the median of the ratios of turns."""
    alone_s = _time_on_a_thread()
    second_s, released_s = [], []
    for _ in range(_TURNS):
        torch.rand(4_000_000).add_(1.0)  # in parallel: the main thread has a pool now
        second_s.append(_time_on_a_thread())
        release_pool()
        released_s.append(_time_on_a_thread())
    ratio = statistics.median(a / b for a, b in zip(second_s, released_s, strict=True))
    print(f"no other pool {alone_s * 1e3:.3f}")
    print(f"a second pool {statistics.median(second_s) * 1e3:.3f}")
    print(f"given back    {statistics.median(released_s) * 1e3:.3f}")
    print(f"ratio         {ratio:.2f}")


def _time_on_a_thread() -> float:
    found: list[float] = []
    thread = threading.Thread(target=lambda: found.append(_time()))
    thread.start()
    thread.join()
    return found[0]


def _time() -> float:
    convolution = torch.nn.Conv2d(512, 32, 3, padding=1)
    image = torch.rand(1, 512, 13, 13)
    times_s = []
    with torch.inference_mode():
        for number in range(_WARM + _TIMED):
            begin_s = time.perf_counter()
            convolution(image)
            if number >= _WARM:
                times_s.append(time.perf_counter() - begin_s)
    return statistics.median(times_s)


if __name__ == "__main__":
    main()
