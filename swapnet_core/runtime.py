"""The facade: networks in, results out, one budget. Concrete classes are chosen here alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from swapnet_core import device_profile, memory
from swapnet_core.arena import Arena
from swapnet_core.backends.base import Backend
from swapnet_core.backends.cpu import CpuBackend
from swapnet_core.cache import default_cache_dir
from swapnet_core.dispatch import Dispatcher
from swapnet_core.errors import InputError, NetworkError
from swapnet_core.holding import Holding
from swapnet_core.ledger import Lease, MemoryLedger
from swapnet_core.loading import Example, Prepared, prepare
from swapnet_core.model import LoadedModel
from swapnet_core.placement import Placement, Plans
from swapnet_core.reports import RuntimeReport
from swapnet_core.shares import SharedNetwork, plan_together
from swapnet_core.sizes import parse_size
from swapnet_core.sources import Weights
from swapnet_core.specs import DeviceProfile
from swapnet_core.swapped import SwappedModel
from swapnet_core.swapper import FetchPool

T = TypeVar("T")


class SwapRuntime:
    """Runs any number of networks inside one memory budget. Any thread may call any method.

    >>> with SwapRuntime(budget="96MiB") as runtime:
    ...     detector = runtime.load("detector", network, example_inputs=(image,))
    ...     output = detector(image)
    """

    def __init__(
        self,
        budget: str | int,
        device: str = "auto",
        cache_dir: str | Path | None = None,
    ) -> None:
        """Open a runtime. Nothing is allocated until a network is loaded.

        Args:
            budget: ceiling in bytes for everything that the core holds: `96MiB`, or a number.
            device: `auto` or `cpu`.
            cache_dir: for block files and profiles; by default `$XDG_CACHE_HOME/swapnet`, or
                `~/.cache/swapnet`. Needs as much room as the networks' weights, on a local disk.

        Raises:
            ValueError: `budget` is not a size, or `device` is not known.
        """
        budget_bytes = parse_size(budget)
        backend = _choose_backend(device)
        memory.keep_activations_in_heap()
        self._root = Path(cache_dir) if cache_dir is not None else default_cache_dir()
        self._ledger = MemoryLedger(budget_bytes)
        self._backend = backend
        self._arena = Arena(backend, self._ledger)
        self._pool = FetchPool()
        self._placement = Placement(self._pool, self._arena)
        self._dispatcher = Dispatcher(self._placement)
        self._scheduler = self._dispatcher.scheduler
        self._lock = threading.Lock()
        self._models: dict[str, LoadedModel] = {}
        self._rates_hz: dict[str, float] = {}
        self._comply_s: float | None = None
        self._fixed: Lease | None = None
        self._device: DeviceProfile | None = None
        self._is_open = True

    def load(
        self,
        name: str,
        network: nn.Module | Callable[[], nn.Module],
        example_inputs: tuple[Any, ...],
        *,
        weights: str | Path | Weights | None = None,
        rate_hz: float | None = None,
        priority: int = 0,
        deadline_s: float | None = None,
        example_kwargs: Mapping[str, Any] | None = None,
    ) -> SwappedModel:
        """Take a network over: its weights move to the block file and leave memory.

        Args:
            name: for reports and errors; unique in the runtime.
            network: a module in eval mode on the CPU, or a callable that builds one.
            example_inputs: positional inputs of the size that will be used; the activation peak
                is measured with them.
            weights: with a callable: a `.safetensors` or `.pth` file, or a mapping from
                state-dict names to tensors. The network is then never whole in memory.
            rate_hz: inferences per second that will be wanted: decides about the share of memory,
                and what is fetched ahead.
            priority: jobs with a higher one run first.
            deadline_s: default of `submit`.
            example_kwargs: keyword inputs of the example.

        Returns:
            A callable that gives what `network` gives under `torch.inference_mode()`, bit for
            bit on the CPU. Weights that are outputs themselves are copied where torch's pytrees
            reach them (tuples, lists, dicts), not inside objects of other classes.

        Raises:
            BudgetTooSmallError: the network does not fit beside those already loaded.
            NetworkError: it cannot be traced, or the name is taken.
            StorageError: the cache directory cannot be used.
            WeightsMismatchError: weights and network do not belong together.
        """
        if not isinstance(example_inputs, tuple):
            raise InputError(
                f"example_inputs is a {type(example_inputs).__name__}; it must be the tuple of "
                "positional inputs, e.g. (image,)"
            )
        example = Example(inputs=example_inputs, kwargs=dict(example_kwargs or {}))
        model = self._scheduler.run_exclusive(
            lambda: self._load(name, network, example, weights, rate_hz)
        )
        return SwappedModel(
            model,
            self._dispatcher,
            self._unload,
            example,
            priority=priority,
            deadline_s=deadline_s,
            rate_hz=rate_hz,
        )

    def call(self, function: Callable[[], T]) -> T:
        """Run something between inferences, on their thread, and wait for it.

        For networks that are small enough to stay outside: one thing computes at a time, on one
        set of compute threads.

        Raises:
            RuntimeClosedError: the runtime is closed.
            Exception: whatever the function raises.
        """
        return self._scheduler.run(function)

    def set_budget(self, budget: str | int) -> None:
        """Move the ceiling: plans are made anew, results stay the same.

        Takes effect at the next boundary of two blocks, also within an inference, and returns
        when no more than the new budget is held; `report().comply_s` tells how long that took.

        Raises:
            BudgetTooSmallError: the loaded networks do not fit; nothing has changed.
            ValueError: `budget` is not a size.
        """
        budget_bytes = parse_size(budget)
        begin_s = time.monotonic()
        with self._lock:
            models = dict(self._models)
        plans = self._plan_all(budget_bytes, models)  # here: not at an inference's expense
        self._scheduler.interrupt(
            lambda: self._set_budget(
                budget_bytes,
                plans if models == self._models else self._plan_all(budget_bytes, self._models),
                begin_s,
            )
        )

    def report(self) -> RuntimeReport:
        """Return what runs and what it holds, at this moment."""
        with self._lock:
            models = dict(self._models)
        ledger = self._ledger.snapshot()
        pool = self._pool.snapshot()
        bandwidth = pool.bytes_read / pool.reading_s if pool.reading_s > 0 else 0.0
        return RuntimeReport(
            budget_bytes=ledger.budget_bytes,
            leased_bytes=ledger.leased_bytes,
            peak_bytes=ledger.peak_bytes,
            models={name: model.stats() for name, model in models.items()},
            read_bandwidth_bytes_per_s=bandwidth,
            direct_io=all(model.is_direct for model in models.values()),
            comply_s=self._comply_s,
        )

    @property
    def device(self) -> str:
        """The kind of device that was chosen: `cpu`."""
        return self._backend.device.type

    @property
    def device_profile(self) -> DeviceProfile:
        """The storage and machine as measured; measured now where that was not done yet.

        Raises:
            StorageError: the cache directory cannot be used.
        """
        if self._device is None:
            self._device = device_profile.load_or_measure(self._root)
        return self._device

    def close(self) -> None:
        """Finish the present job, drop the queued ones, give everything back. Idempotent."""
        with self._lock:
            if not self._is_open:
                return
            self._is_open = False
        self._dispatcher.close()
        for model in list(self._models.values()):
            model.close()
            model.holding.close()
        self._models.clear()
        self._placement.close()
        self._lease_fixed(0)
        self._pool.close()

    def __enter__(self) -> SwapRuntime:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<SwapRuntime {self._ledger!r}, {len(self._models)} networks>"

    # Below: on the inference thread, between jobs.

    def _load(
        self,
        name: str,
        network: nn.Module | Callable[[], nn.Module],
        example: Example,
        weights: str | Path | Weights | None,
        rate_hz: float | None,
    ) -> LoadedModel:
        if name in self._models:
            raise NetworkError(f"a network named {name!r} is loaded already; close it first")
        prepared = prepare(self._root, network, example, weights)
        try:
            model = self._model_of(name, prepared)
        except BaseException:
            prepared.assembly.detach()
            raise
        models = {**self._models, name: model}
        try:
            plans = self._plan_all(self._ledger.budget_bytes, models)
        except BaseException:
            self._discard(model)
            raise
        with self._lock:
            self._models[name] = model
            self._rates_hz.update({name: rate_hz} if rate_hz is not None else {})
        try:
            self._adopt(plans)
        except BaseException:
            self._unload(model)
            raise
        # Only now: until here a failure leaves the network as it was.
        model.take_weights()
        return model

    def _model_of(self, name: str, prepared: Prepared) -> LoadedModel:
        holding = self._holding_of(prepared)
        return LoadedModel(name, prepared.assembly, holding, self._scheduler)

    def _holding_of(self, prepared: Prepared) -> Holding:
        """Find equal weights that are loaded already, or open the block file."""
        for model in self._models.values():
            if model.profile == prepared.profile:
                return model.holding
        return Holding(prepared.profile, prepared.block_file, self._arena)

    def _discard(self, model: LoadedModel) -> None:
        """Close a model, and its weights where no other one shares them."""
        model.close()
        if not any(other.holding is model.holding for other in self._models.values()):
            self._dispatcher.forget(model.holding)
            model.holding.close()

    def _unload(self, model: LoadedModel) -> None:
        with self._lock:
            if self._models.get(model.name) is not model:
                return
            del self._models[model.name]
            self._rates_hz.pop(model.name, None)
        self._discard(model)
        if self._models:
            self._adopt(self._plan_all(self._ledger.budget_bytes, self._models))
        else:
            self._placement.close()
            self._lease_fixed(0)
        memory.return_free_memory()

    def _set_budget(self, budget_bytes: int, plans: Plans, begin_s: float) -> None:
        def make_room() -> None:
            self._lease_fixed(0)
            self._ledger.set_budget(budget_bytes)
            self._comply_s = time.monotonic() - begin_s
            self._lease_fixed(_fixed_bytes(self._models))

        self._placement.move(plans, make_room)

    def _adopt(self, plans: Plans) -> None:
        self._placement.move(plans, lambda: self._lease_fixed(_fixed_bytes(self._models)))

    def _plan_all(self, budget_bytes: int, models: Mapping[str, LoadedModel]) -> Plans:
        """Plan every set of weights.

        Raises:
            BudgetTooSmallError: they do not fit together; names what they need.
        """
        if not models:
            return {}
        holdings = list(dict.fromkeys(model.holding for model in models.values()))
        networks = [self._describe(holding, models) for holding in holdings]
        plans = plan_together(networks, self.device_profile, budget_bytes=budget_bytes)
        return dict(zip(holdings, plans, strict=True))

    def _describe(self, holding: Holding, models: Mapping[str, LoadedModel]) -> SharedNetwork:
        users = [name for name, model in models.items() if model.holding is holding]
        rates = [self._rates_hz[name] for name in users if name in self._rates_hz]
        return SharedNetwork(
            name=", ".join(users), profile=holding.profile, rate_hz=sum(rates) if rates else None
        )

    def _lease_fixed(self, size_bytes: int) -> None:
        """Hold buffers of all networks, and the largest activation peak: one computes at a time."""
        if self._fixed is not None:
            self._fixed.release()
            self._fixed = None
        if size_bytes:
            self._fixed = self._ledger.lease("activations and buffers", size_bytes)


def _choose_backend(device: str) -> Backend:
    if device in ("auto", "cpu"):
        return CpuBackend()
    raise ValueError(f"there is no device {device!r}; use 'auto' or 'cpu'")


def _fixed_bytes(models: Mapping[str, LoadedModel]) -> int:
    traces = [model.profile.trace for model in models.values()]
    buffers = sum(trace.buffer_bytes for trace in traces)
    return buffers + max((trace.activation_bytes for trace in traces), default=0)
