"""The compute queue of a CUDA device; see [Note: the host runs ahead] in `base.py`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch.utils._pytree import tree_leaves, tree_map_only

from swapnet_core.backends.base import GraphPool, Mark, Wait
from swapnet_core.backends.cuda_calls import CudaCalls, Queue


class DeviceQueue:
    """Lets compute and copies wait for each other on the device. See `ComputeQueue`.

    Networks that compute in streams of their own inside a forward are not followed there.
    """

    def __init__(self, calls: CudaCalls) -> None:
        self._calls = calls
        self._released: Mark | None = None
        self._began: Mark | None = None
        self._began_s = 0.0
        self._admissions: list[tuple[Mark, Mark]] = []

    @property
    def released(self) -> Mark | None:
        """See `ComputeQueue`."""
        return self._released

    def release(self) -> None:
        """See `ComputeQueue`."""
        self._released = self._calls.record(Queue.COMPUTE)

    def admit(self, arrivals: Sequence[Mark]) -> None:
        """See `ComputeQueue`."""
        for arrival in arrivals:
            self._calls.let_wait(Queue.COMPUTE, arrival)
        if self._released is not None:
            self._admissions.append((self._released, self._calls.record(Queue.COMPUTE)))

    def join(self) -> None:
        """See `ComputeQueue`."""
        self._calls.let_wait(Queue.COMPUTE, self._calls.record(Queue.COPY))

    def caller(self) -> object | None:
        """See `ComputeQueue`."""
        return self._calls.caller()

    def running(self) -> AbstractContextManager[None]:
        """See `ComputeQueue`."""
        return self._calls.running()

    def bring(self, inputs: Any, caller: object | None) -> Any:
        """See `ComputeQueue`."""
        if caller is not None:
            self._calls.let_wait_for_caller(caller)
        device = self._calls.device
        return tree_map_only(
            torch.Tensor, lambda tensor: tensor.to(device, non_blocking=True), inputs
        )

    def issue(self, run: Callable[[], None]) -> None:
        """See `ComputeQueue`."""
        self._calls.compute(run)

    def open_graphs(self) -> GraphPool:
        """See `ComputeQueue`."""
        return self._calls.open_graphs()

    def begin(self) -> None:
        """See `ComputeQueue`."""
        self._admissions = []
        self._began, self._began_s = self._calls.record(Queue.COMPUTE), time.perf_counter()

    def finish(self, output: Any, caller: object | None) -> None:
        """See `ComputeQueue`."""
        if caller is not None:
            for leaf in tree_leaves(output):
                if isinstance(leaf, torch.Tensor):
                    self._calls.hand_to_caller(caller, leaf)
        self._calls.wait_for(Queue.COMPUTE)

    def waits(self) -> Sequence[Wait] | None:
        """See `ComputeQueue`."""
        began = self._began
        if began is None:
            return None
        between = self._calls.seconds_between
        return [
            Wait(waited_s=between(wanted, there), time_s=self._began_s + between(began, there))
            for wanted, there in self._admissions
        ]

    def wait_until_idle(self) -> None:
        """Block the calling thread until nothing that was issued is under way."""
        self._calls.wait_for(Queue.COPY)
        self._calls.wait_for(Queue.COMPUTE)

    def __repr__(self) -> str:
        return f"<DeviceQueue of {self._calls.device}>"
