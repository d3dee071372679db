"""Where the tasks' networks run: in the core within a budget, or plainly with all the memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from swapnet_core import ModelStats, SwappedModel, SwapRuntime
from swapnet_core.thread_priority import LOWEST
from swapnet_ros.evaluation.direct.direct_task import DirectTask
from swapnet_ros.evaluation.network_account import NetworkAccount
from swapnet_ros.perception.models.in_memory import build_with_weights


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceCost:
    """What a task's inferences took; the figures of several add up.

    Attributes:
        inferences: how many.
        compute_s: time that they computed.
        stall_s: time that compute waited for blocks.
        read_bytes: weights read from storage for this network, ahead of time or not.
    """

    inferences: int = 0
    compute_s: float = 0.0
    stall_s: float = 0.0
    read_bytes: int = 0

    def since(self, before: InferenceCost) -> InferenceCost:
        """What was added to an earlier sum."""
        return InferenceCost(
            inferences=self.inferences - before.inferences,
            compute_s=self.compute_s - before.compute_s,
            stall_s=self.stall_s - before.stall_s,
            read_bytes=self.read_bytes - before.read_bytes,
        )


class Engine(Protocol):
    """Runs networks, one inference at a time. Any thread may ask; who opened it closes it."""

    def infer(self, task: str, inputs: tuple[Any, ...]) -> Any:
        """Run a task's network and wait for what it returns."""

    def cost(self, task: str) -> InferenceCost:
        """What a task's inferences have taken since it was loaded."""

    def figures(self) -> dict[str, Any]:
        """The engine's own figures of this moment, of JSON types; the tasks' under `tasks`."""

    def accounts(self) -> dict[str, NetworkAccount]:
        """By task, its newest inference and its network's profile."""

    def close(self) -> None:
        """Give all memory back; may be called again."""


class SwappedEngine:
    """All tasks' networks in one core, as in the nodes' process."""

    def __init__(
        self,
        tasks: Sequence[DirectTask],
        *,
        budget: str,
        device: str = "auto",
        host_budget: str = "",
        read_priority: int = LOWEST,
        cache_dir: Path | None = None,
        progress: Callable[[str], None],
    ) -> None:
        """Load the networks; at their first time they are traced, which takes a while.

        Args:
            tasks: whose networks are loaded, in this order.
            budget: as `SwapRuntime` takes it.
            device: likewise.
            host_budget: likewise; empty: none.
            read_priority: likewise.
            cache_dir: likewise.
            progress: told of each task before its network is loaded.

        Raises:
            SwapNetError: a network cannot be loaded, or the budget is too small.
        """
        self._models: dict[str, SwappedModel] = {}
        with ExitStack() as undo:
            self._runtime = SwapRuntime(
                budget,
                device=device,
                host_budget=host_budget or 0,
                read_priority=read_priority,
                cache_dir=cache_dir,
            )
            undo.callback(self._runtime.close)
            for task in tasks:
                progress(task.name)
                self._models[task.name] = self._runtime.load(
                    task.name,
                    task.network.build,
                    task.network.example_inputs,
                    weights=task.network.weights,
                    rate_hz=task.rate_hz,
                    cuda_graphs=task.cuda_graphs,
                )
            undo.pop_all()

    def __repr__(self) -> str:
        return f"<SwappedEngine {self._runtime!r}>"

    def infer(self, task: str, inputs: tuple[Any, ...]) -> Any:
        """Run a task's network and wait for what it returns.

        Raises:
            SwapNetError: the inference failed.
        """
        return self._models[task](*inputs)

    def cost(self, task: str) -> InferenceCost:
        """What a task's inferences have taken since it was loaded."""
        stats = self._models[task].stats()
        return InferenceCost(
            inferences=stats.inferences,
            compute_s=stats.compute_s,
            stall_s=stats.stall_s,
            read_bytes=stats.bytes_read,
        )

    def figures(self) -> dict[str, Any]:
        """The core's figures of this moment."""
        report = self._runtime.report()
        return {
            "budget_bytes": report.budget_bytes,
            "demand_bytes": report.demand_bytes,
            "core_peak_bytes": report.peak_bytes,
            "storage": {
                "read_bandwidth_bytes_per_s": report.read_bandwidth_bytes_per_s,
                "direct_io": report.direct_io,
                "read_priority": report.read_priority,
                "profile": asdict(self._runtime.device_profile),
            },
            "tasks": {name: self._plan(name, report.models[name]) for name in self._models},
        }

    def accounts(self) -> dict[str, NetworkAccount]:
        """By task, its newest inference and its network's profile."""
        device = self._runtime.device_profile
        return {name: NetworkAccount.of(model, device) for name, model in self._models.items()}

    def close(self) -> None:
        """Give all memory back; may be called again."""
        self._runtime.close()

    def _plan(self, name: str, stats: ModelStats) -> dict[str, Any]:
        return {
            "demand_bytes": stats.demand_bytes,
            "weight_bytes": stats.weight_bytes,
            "activation_bytes": stats.activation_bytes,
            "resident_bytes": stats.resident_bytes,
            "streamed_bytes": stats.streamed_bytes,
            "planned_peak_bytes": stats.planned_peak_bytes,
            "predicted_latency_s": stats.predicted_latency_s,
            "faults": stats.faults,
            "is_exact": self._models[name].plan.is_exact,
        }


class PlainEngine:
    """All tasks' networks in memory, run by PyTorch alone: what a budget is compared with."""

    def __init__(self, tasks: Sequence[DirectTask], *, progress: Callable[[str], None]) -> None:
        """Build the networks and fill them with their weights.

        Args:
            tasks: whose networks are built, in this order.
            progress: told of each task before its network is built.

        Raises:
            SwapNetError: a network or its weights cannot be used.
        """
        self._networks: dict[str, torch.nn.Module] = {}
        self._costs = {task.name: InferenceCost() for task in tasks}
        for task in tasks:
            progress(task.name)
            network = task.network
            self._networks[task.name] = build_with_weights(
                network.name, network.build, network.weights
            ).eval()
        # one thread, as in the core: the compute threads of a second one would come on top
        self._thread = ThreadPoolExecutor(1, "plain-infer")

    def __repr__(self) -> str:
        return f"<PlainEngine {', '.join(self._networks)}>"

    def infer(self, task: str, inputs: tuple[Any, ...]) -> Any:
        """Run a task's network and wait for what it returns."""
        return self._thread.submit(self._run, task, inputs).result()

    def cost(self, task: str) -> InferenceCost:
        """What a task's inferences have taken since it was built."""
        return self._costs[task]

    def figures(self) -> dict[str, Any]:
        """The weights' sizes; there is no budget."""
        return {
            "budget_bytes": None,
            "tasks": {
                name: {"weight_bytes": _weight_bytes(network), "is_exact": True}
                for name, network in self._networks.items()
            },
        }

    def accounts(self) -> dict[str, NetworkAccount]:
        """None: nothing is read, and PyTorch says nothing of the layers' times."""
        return {}

    def close(self) -> None:
        """Give all memory back; may be called again."""
        self._thread.shutdown()
        self._networks = {}

    def _run(self, task: str, inputs: tuple[Any, ...]) -> Any:
        begin_s = time.perf_counter()
        with torch.inference_mode():
            outputs = self._networks[task](*inputs)
        before = self._costs[task]
        self._costs[task] = InferenceCost(
            inferences=before.inferences + 1,
            compute_s=before.compute_s + time.perf_counter() - begin_s,
        )
        return outputs


def _weight_bytes(network: torch.nn.Module) -> int:
    state: Mapping[str, torch.Tensor] = network.state_dict()
    return sum(tensor.numel() * tensor.element_size() for tensor in state.values())
