"""CUDA graphs: what is issued to a stream is captured, and issued again as a whole.

[Note: captures]
The rules for capturing a stream, and what keeps them here:

- *Stream* (torch, CUDAGraph.capture_begin): the default stream, in which networks compute, cannot
  be captured. So captures have a stream of their own; it does not wait for the default one (torch's
  streams are made with cudaStreamNonBlocking), so what others issue there meanwhile is not touched.
  A graph may be replayed in any stream: it is in the default one, in order with all else.
- *Threads* (CUDA Runtime API, cudaStreamBeginCapture): by default a capture makes calls that are
  not safe beside it, such as cudaEventSynchronize, fail in every thread of the process. Reading
  threads make them all the time. So the mode is `thread_local`: they fail in the capturing thread
  only, which makes none.
- *Joins* (CUDA C++ Programming Guide, "Cross-stream Dependencies and Events"): who waits for an
  event of a captured stream is captured, too, and must be joined before the end. The core records
  no event and issues no wait inside of a capture: they stand between two graphs.
- *Memory* (torch's notes on CUDA, "Graph memory management"): what is allocated while capturing
  lies in a pool of its own, whose addresses stay. Graphs may share a pool where they are replayed
  in the order in which they were captured: a later one has the bytes that an earlier one let go.
- *cuBLAS* keeps a workspace per stream, which would lie in the pool of the first capture and stay
  there in use. It is dropped before and after: each pool then has one, which counts in it.
- *A capture that fails*: torch's `capture_end` raises before it tells its allocators that the
  capture is over (2.11: ATen/cuda/CUDAGraph.cpp). So we tell them; and since their filter for the
  capture's allocations refers to the graph object, that one stays for good.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import warnings
from collections.abc import Iterator
from typing import Any

import torch

CAPTURE_MODE = "thread_local"
"""See [Note: captures], "Threads"."""

_failed: list[torch.cuda.CUDAGraph] = []


class TorchGraph:
    """See `Graph`."""

    def __init__(self, graph: torch.cuda.CUDAGraph) -> None:
        self._graph = graph

    def replay(self) -> None:
        """See `Graph`. torch issues it to the thread's present stream, as it does networks."""
        self._graph.replay()


class TorchGraphPool:
    """See `GraphPool`, and [Note: captures]."""

    def __init__(self, device: torch.device) -> None:
        """Make an empty one.

        Args:
            device: with its index.
        """
        self._device = device
        self._pool = torch.cuda.graph_pool_handle()
        self._graphs: list[torch.cuda.CUDAGraph] = []
        self._open: torch.cuda.CUDAGraph | None = None
        self._is_empty = True

    @property
    def size_bytes(self) -> int:
        """All segments of the pool, in use or not: nobody else may have them."""
        segments = torch.cuda.memory_snapshot()  # type: ignore[no-untyped-call]  # torch's own gap
        return sum(
            segment["total_size"]
            for segment in segments
            if tuple(segment["segment_pool_id"]) == tuple(self._pool)
        )

    @contextlib.contextmanager
    def capturing(self) -> Iterator[None]:
        """See `GraphPool`."""
        gc.collect()  # or what dies meanwhile would call into CUDA
        torch._C._cuda_clearCublasWorkspaces()
        try:
            with torch.cuda.device(self._device), torch.cuda.stream(_capture_stream(self._device)):
                try:
                    yield
                finally:
                    self._give_up()
        finally:
            torch._C._cuda_clearCublasWorkspaces()

    def begin(self) -> None:
        """See `GraphPool`."""
        self._is_empty = False
        self._open = torch.cuda.CUDAGraph()
        self._open.capture_begin(pool=self._pool, capture_error_mode=CAPTURE_MODE)

    def end(self) -> TorchGraph:
        """See `GraphPool`."""
        graph, self._open = self._open, None
        if graph is None:
            raise RuntimeError("no graph was begun")
        with warnings.catch_warnings():
            # So it is where a network only looks at a block's weights.
            warnings.filterwarnings("ignore", message="The CUDA Graph is empty")
            try:
                graph.capture_end()
            except BaseException:
                self._end_for_allocators(graph)
                raise
        self._graphs.append(graph)
        return TorchGraph(graph)

    def close(self) -> None:
        """See `GraphPool`."""
        if self._is_empty:
            return
        torch.cuda.default_stream(self._device).synchronize()  # where they are replayed
        for graph in self._graphs:
            graph.reset()
        self._graphs, self._is_empty = [], True
        with torch.cuda.device(self._device):
            torch.cuda.empty_cache()

    def _give_up(self) -> None:
        """End what is begun, for nothing."""
        if self._open is not None:
            with contextlib.suppress(RuntimeError):  # who broke it has raised already
                self.end()

    def _end_for_allocators(self, graph: torch.cuda.CUDAGraph) -> None:
        """See [Note: captures], "A capture that fails"."""
        torch_c: Any = torch._C  # torch before 2.8 has the other name
        names = ("_cuda_endAllocateToPool", "_cuda_endAllocateCurrentStreamToPool")
        end = next(getattr(torch_c, name) for name in names if hasattr(torch_c, name))
        try:
            end(self._device.index, self._pool)
        except RuntimeError:
            graph.reset()  # they know: the capture was over, and what came after it failed
            return
        _failed.append(graph)
        torch._C._cuda_releasePool(self._device.index, self._pool)

    def __repr__(self) -> str:
        return f"<TorchGraphPool {len(self._graphs)} graphs on {self._device}>"


@functools.cache
def _capture_stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch's own gap
