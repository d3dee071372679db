"""What malloc keeps beside a network's live activations: glibc's defaults, ours, and no caches.

    python benchmarks/malloc.py resnet101 retinanet_resnet50_fpn

Each figure comes from a process of its own: private memory after the weights were built, and its
growth, time and page faults over some inferences on a second thread. *ours* is what the core sets
while it runs, *uncached* also what our programs set in the environment that they begin with.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from swapnet_core.memory import NO_THREAD_CACHES

_INFERENCES = 5


def main() -> None:
    """Print one line per network and setting."""
    names = sys.argv[1:] or ["resnet101"]
    figures = f"{'peak MiB':>9} {'kept MiB':>9} {'CPU ms':>8} {'ms':>8} {'faults':>8}"
    print(f"{'network':28} {'malloc':9} {figures}")
    for name in names:
        for setting in ("defaults", "ours", "uncached"):
            command = [sys.executable, __file__, "--child", setting, name]
            environment = dict(os.environ)
            if setting == "uncached":
                environment["GLIBC_TUNABLES"] = NO_THREAD_CACHES
            done = subprocess.run(
                command, check=True, capture_output=True, text=True, env=environment
            )
            row = json.loads(done.stdout)
            print(
                f"{name:28} {setting:9} {row['peak_mib']:9.1f} {row['kept_mib']:9.1f} "
                f"{row['cpu_ms']:8.1f} {row['ms']:8.1f} {row['faults']:8.0f}"
            )


def _child(setting: str, name: str) -> None:
    import torch
    import torchvision

    from swapnet_core import memory

    way: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext
    if setting != "defaults":
        memory.keep_activations_in_heap()
        way = memory.large_tensors_in_heap
    is_detection = name in torchvision.models.list_models(torchvision.models.detection)
    options: dict[str, Any] = {"weights_backbone": None} if is_detection else {}
    network = torchvision.models.get_model(name, weights=None, **options).eval()
    image = [torch.rand(3, 480, 640)] if is_detection else torch.rand(1, 3, 224, 224)
    row: dict[str, float] = {}

    def measure() -> None:
        with torch.inference_mode():
            torch.nn.Conv2d(3, 8, 3)(torch.rand(1, 3, 64, 64))
            gc.collect()
            memory.return_free_memory()
            base = memory.anonymous_bytes()
            peaks, costs, times, faults = [], [], [], []
            for _ in range(_INFERENCES):
                memory.reset_peak()
                before = resource.getrusage(resource.RUSAGE_SELF)
                begin_s = time.perf_counter()
                with way():
                    network(image)
                times.append(time.perf_counter() - begin_s)
                after = resource.getrusage(resource.RUSAGE_SELF)
                peaks.append(memory.peak_anonymous_bytes() - base)
                costs.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
                faults.append(after.ru_minflt - before.ru_minflt)
        row["peak_mib"] = max(peaks) / 2**20
        row["kept_mib"] = (memory.anonymous_bytes() - base) / 2**20
        row["cpu_ms"] = statistics.median(costs) * 1e3
        row["ms"] = statistics.median(times) * 1e3
        row["faults"] = statistics.median(faults)

    thread = threading.Thread(target=measure)
    thread.start()
    thread.join()
    print(json.dumps(row))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        _child(*sys.argv[2:4])
    else:
        main()
