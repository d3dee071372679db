"""One inference at a time: the network computes, and its accesses are answered by a plan."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.utils._pytree import tree_map_only

from swapnet_core.assembly import Assembly
from swapnet_core.planned_access import PlannedAccess, StoredAccess
from swapnet_core.recording import Inference, retimed
from swapnet_core.tiled_weight import TiledWeight

Compute = Callable[[Sequence[Any], Mapping[str, Any]], Any]
"""Computes a network's output from its inputs; both are on the device."""


class Runner:
    """Runs a network by a plan. `run` is for one thread at a time."""

    def __init__(self, assembly: Assembly, access: PlannedAccess, idle: StoredAccess) -> None:
        self.access = access
        self._assembly = assembly
        self._idle = idle

    def run(
        self, inputs: Sequence[Any], kwargs: Mapping[str, Any], caller: object | None = None
    ) -> tuple[Any, Inference]:
        """Run one inference.

        Args:
            inputs: positional arguments of the network.
            kwargs: keyword arguments.
            caller: who made them, as `ComputeQueue.caller` noted.

        Returns:
            What the network returns, and what it took.

        Raises:
            StorageError: a block could not be read.
            Exception: whatever the network raises; the next inference is not affected.
        """
        return self.run_by(self.compute, inputs, kwargs, caller)

    def run_by(
        self,
        compute: Compute,
        inputs: Sequence[Any],
        kwargs: Mapping[str, Any],
        caller: object | None = None,
    ) -> tuple[Any, Inference]:
        """Run one inference whose output comes from `compute`. See `run`."""
        access = self.access
        queue = access.queue
        begin_s = time.perf_counter()
        with queue.running():
            inputs, kwargs = queue.bring((inputs, kwargs), caller)
            access.start()
            queue.begin()
            output = compute(inputs, kwargs)
            access.finish()
            queue.finish(output, caller)
        latency_s = time.perf_counter() - begin_s
        entries = retimed(access.entries, queue.waits())
        return output, Inference(
            begin_s=begin_s,
            latency_s=latency_s,
            stall_s=access.moved_s + sum(entry.waited_s for entry in entries),
            faults=access.faults,
            entries=entries,
            reads=access.reads,
        )

    def compute(self, inputs: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Let the network compute, between `start` and `finish` of its accesses."""
        self._assembly.source = self.access
        try:
            with torch.inference_mode():
                output = self._assembly.network(*inputs, **kwargs)
                return tree_map_only(torch.Tensor, self._keep, output)
        except BaseException:
            self.access.abort()
            raise
        finally:
            self._assembly.source = self._idle

    def _keep(self, tensor: torch.Tensor) -> torch.Tensor:
        """Copy an output that is a weight itself: its slot will be overwritten."""
        if isinstance(tensor, TiledWeight):
            return tensor.read_whole()
        return tensor.clone() if self.access.holds(tensor) else tensor
