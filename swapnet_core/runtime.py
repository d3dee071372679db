"""The facade: networks in, results out, one budget. Concrete classes are chosen here alone."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from swapnet_core import device_profile, memory, thread_priority
from swapnet_core.admission import AdmissionDesk
from swapnet_core.arena import Arena
from swapnet_core.auto_budget import AutoBudget
from swapnet_core.cache import default_cache_dir
from swapnet_core.dispatch import Dispatcher
from swapnet_core.errors import BudgetTooSmallError, InputError, RuntimeClosedError, SwapNetError
from swapnet_core.fleet import Fleet, Models, Planned, demand_of, describe, wishes_of
from swapnet_core.hardware import choose_hardware
from swapnet_core.host_tier import host_share
from swapnet_core.ledger import MemoryLedger
from swapnet_core.loading import Example, prepare
from swapnet_core.model import LoadedModel
from swapnet_core.placement import Placement
from swapnet_core.reports import RuntimeReport
from swapnet_core.sizes import parse_size
from swapnet_core.sources import Weights
from swapnet_core.specs import DeviceProfile
from swapnet_core.swapped import Changes, SwappedModel, require_rate
from swapnet_core.swapper import FetchPool

T = TypeVar("T")
_AUTO = "auto"


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
        *,
        host_budget: str | int = 0,
        read_priority: int = thread_priority.LOWEST,
    ) -> None:
        """Open a runtime. Nothing is allocated until a network is loaded.

        Args:
            budget: ceiling in bytes for everything that the core holds: `96MiB`, or a number;
                `auto` follows the memory that the machine or its control group has free.
            device: `cpu`; `cuda` for a GPU with memory of its own, of which the budget then is;
                `unified` for one that shares the host's; `cuda:1` for another one than the first;
                `auto` for what there is.
            cache_dir: for block files and profiles; by default `$XDG_CACHE_HOME/swapnet`, or
                `~/.cache/swapnet`. Needs as much room as the networks' weights, on a local disk.
            host_budget: with `cuda`, ceiling for pinned host memory in which weights stay, too.
            read_priority: in real time, of reading threads, where torch uses all CPUs; 0: none.

        Raises:
            ValueError: `budget` or `host_budget` is not a size, or `device` is not known.
            InputError: there is no such device here, or it has no memory for a `host_budget`; the
                system does not tell what is free for `auto`; or `read_priority` is not 0 to 99.
        """
        self._hardware = choose_hardware(device, read_priority)
        self._ledger = MemoryLedger(0)
        self._auto = self._follow_system() if budget == _AUTO else None
        self._ledger.set_budget(self._auto.budget_bytes if self._auto else parse_size(budget))
        memory.keep_activations_in_heap()
        self._root = Path(cache_dir) if cache_dir is not None else default_cache_dir()
        self._host_ledger = MemoryLedger(self._hardware.parse_host_budget(host_budget))
        self._arena = Arena(self._hardware.backend, self._ledger, self._host_ledger)
        self._pool = FetchPool(self._hardware.backend.queue, priority=self._hardware.read_priority)
        placement = Placement(self._pool, self._arena)
        self._dispatcher = Dispatcher(placement)
        self._scheduler = self._dispatcher.scheduler
        self._fleet = Fleet(self._ledger, self._arena, placement, self._dispatcher)
        self._desk = AdmissionDesk()
        self._lock = threading.Lock()
        self._budget_lock = threading.Lock()
        self._load_lock = threading.RLock()  # a callable that builds a network may load another
        self._comply_s: float | None = None
        self._device: DeviceProfile | None = None
        self._is_open = True
        if self._auto is not None:
            self._auto.start()

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
        cuda_graphs: bool = False,
    ) -> SwappedModel:
        """Take a network over: its weights move to the block file and leave memory.

        Jobs go on meanwhile, also between the inferences of the trace. Loads take turns.

        Args:
            name: for reports and errors; unique in the runtime.
            network: a module in eval mode, or a callable that builds one. Buffers go to the device.
            example_inputs: positional inputs of the size to be used, to measure activations with.
            weights: with a callable: a `.safetensors` or `.pth` file, or a mapping from
                state-dict names to tensors. The network is then never whole in memory.
            rate_hz: wanted inferences per second: for shares of memory, and what is fetched ahead.
            priority: jobs with a higher one run first.
            deadline_s: default of `submit`.
            example_kwargs: keyword inputs of the example.
            cuda_graphs: on a GPU, capture the kernels once per plan and replay them for inputs of
                the example's kind, where the network can be captured (`stats().cuda_graphs` tells).
                For networks that are functions of their inputs: Python's part is not run again.

        Returns:
            A callable that gives what `network` gives under `torch.inference_mode()` on the
            device: bit for bit (on a GPU with deterministic algorithms), or, where the budget
            forces layers to run by tiles (`plan.is_exact` tells), at least within the last bits of
            every such layer. Weights that are outputs themselves are copied where torch's pytrees
            reach them (tuples, lists, dicts), not inside objects of other classes.

        Raises:
            BudgetTooSmallError: the network does not fit beside those already loaded.
            NetworkError: it cannot be traced, or the name is taken.
            InputError: `example_inputs` is no tuple, or `rate_hz` is not above 0.
            StorageError: the cache directory cannot be used.
            WeightsMismatchError: weights and network do not belong together.
        """
        example = Example.of(example_inputs, example_kwargs)
        require_rate(name, rate_hz)
        # A job would wait for itself where the load whose turn it is waits for the job's end.
        turn = contextlib.nullcontext() if self._scheduler.is_in_job else self._load_lock
        with self._fleet.reserved(name), turn:
            model = self._load(name, network, example, weights, rate_hz, cuda_graphs)
        changes = Changes(unload=self._unload, set_rate=self._set_rate)
        return SwappedModel(
            model, self._dispatcher, changes, example, priority=priority, deadline_s=deadline_s
        )

    def call(self, function: Callable[[], T]) -> T:
        """Run something between inferences, on their thread, and wait for it.

        For networks that are small enough to stay outside: one thing computes at a time, on one
        set of compute threads.

        Raises:
            RuntimeClosedError: the runtime is closed.
            Exception: whatever the function raises.
        """
        return self._scheduler.run(memory.large_tensors_in_heap()(function))

    def set_budget(self, budget: str | int) -> None:
        """Move the ceiling: plans are made anew, results stay the same.

        Takes effect at the next boundary of two blocks, also within an inference, and returns
        when no more than the new budget is held; `report().comply_s` tells how long that took.

        Args:
            budget: a size, as for `SwapRuntime`; `auto` follows the system from now on, until a
                size is set.

        Raises:
            BudgetTooSmallError: the loaded networks do not fit; nothing has changed.
            ValueError: `budget` is not a size.
            InputError: the system does not tell what is free for `auto`; a job starts or ends it.
        """
        budget_bytes = None if budget == _AUTO else parse_size(budget)
        if self._scheduler.is_in_job:
            self._set_budget_in_job(budget_bytes)
            return
        with self._budget_lock:
            if budget_bytes is None:
                self._keep_following()
                return
            was_auto = self._stop_following()
            try:
                self._set_budget(budget_bytes)
            except BudgetTooSmallError:
                if was_auto:
                    self._keep_following()
                raise

    def report(self) -> RuntimeReport:
        """Return what runs and what it holds, at this moment."""
        models = self._fleet.models
        self._desk.refresh(describe(models))
        ledger, host = self._ledger.snapshot(), self._host_ledger.snapshot()
        return RuntimeReport(
            budget_bytes=ledger.budget_bytes,
            leased_bytes=ledger.leased_bytes,
            peak_bytes=ledger.peak_bytes,
            demand_bytes=demand_of(models),
            models={name: model.stats() for name, model in models.items()},
            read_bandwidth_bytes_per_s=self._pool.snapshot().bandwidth_bytes_per_s,
            direct_io=all(model.is_direct for model in models.values()),
            comply_s=self._comply_s,
            admission=self._desk.answer,
            staging_bytes=self._hardware.backend.staging_bytes,
            host_budget_bytes=host.budget_bytes,
            host_bytes=host.leased_bytes,
            read_priority=self._hardware.read_priority,
        )

    @property
    def device(self) -> str:
        """The kind of device that was chosen: `cpu`, `cuda` or `unified`."""
        return self._hardware.backend.kind

    @property
    def device_profile(self) -> DeviceProfile:
        """The storage and machine as measured, with the bandwidth that reads have of late.

        Measured now where that was not done yet.

        Raises:
            StorageError: the cache directory cannot be used.
        """
        if self._device is None:
            self._device = device_profile.load_or_measure(self._root, self._hardware)
        bandwidth = self._pool.bandwidth_of_late(self._device.read_latency_s)
        return self._device if bandwidth is None else self._device.with_bandwidth(bandwidth)

    def close(self) -> None:
        """Finish the present job, drop the queued ones, give everything back. Idempotent.

        Raises:
            InputError: called by a job, or by a callback of its future: it would wait for itself.
        """
        if self._scheduler.is_in_job:
            raise InputError("close() waits for the present job, so no job can call it")
        with self._lock:
            if not self._is_open:
                return
            self._is_open = False
        with self._budget_lock:
            self._stop_following()
        self._dispatcher.close()
        with self._load_lock:  # who was loading gives up now
            self._desk.close()
            self._fleet.close()
        self._pool.close()
        self._hardware.backend.close()

    def __enter__(self) -> SwapRuntime:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<SwapRuntime {self._ledger!r}, {self._fleet!r}>"

    def _set_budget(self, budget_bytes: int) -> None:
        begin_s = time.monotonic()
        planned = self._plan(self._fleet.models, budget_bytes)

        def note() -> None:
            self._comply_s = time.monotonic() - begin_s

        self._dispatcher.interrupt(lambda: self._move(planned, note))

    def _set_rate(self, model: LoadedModel, rate_hz: float | None) -> None:
        model.rate_hz = rate_hz
        planned = self._plan(self._fleet.models, self._ledger.budget_bytes)

        def move() -> None:
            if planned.budget_bytes == self._ledger.budget_bytes:
                self._move(planned, lambda: None)
            else:  # since it was planned
                self._replan()

        self._dispatcher.interrupt(move)

    def _set_budget_in_job(self, budget_bytes: int | None) -> None:
        """Without the lock, whose holder may wait for the end of this very job."""
        if budget_bytes is None or self._auto is not None:
            raise InputError("a job cannot start or end 'auto'; set the budget from outside")
        self._set_budget(budget_bytes)

    def _keep_following(self) -> None:
        """Start to follow the system, unless that is done already."""
        if self._auto is not None:
            return
        follower = self._follow_system()
        self._set_budget(follower.budget_bytes)
        follower.start()
        self._auto = follower

    def _stop_following(self) -> bool:
        """Stop to follow the system; tells whether that was done until now."""
        follower, self._auto = self._auto, None
        if follower is not None:
            follower.close()
        return follower is not None

    def _follow_system(self) -> AutoBudget:
        return AutoBudget(
            read=self._hardware.read_bounds,
            held_bytes=lambda: self._hardware.held_bytes(self._ledger.snapshot().leased_bytes),
            smallest_bytes=lambda: self._fleet.smallest_bytes(),  # there is none yet
            apply=self._set_budget,
        )

    def _load(
        self,
        name: str,
        network: nn.Module | Callable[[], nn.Module],
        example: Example,
        weights: str | Path | Weights | None,
        rate_hz: float | None,
        cuda_graphs: bool,
    ) -> LoadedModel:
        """In the caller's thread; what computes or changes the others, between jobs."""
        between_jobs = self._dispatcher.run_exclusive
        between_jobs(lambda: self.device_profile)  # measured while nothing computes
        prepared = prepare(self._root, network, example, weights, between_jobs, self._hardware)
        try:
            captured = example if cuda_graphs else None
            model = between_jobs(lambda: self._fleet.enroll(name, prepared, rate_hz, captured))
        except BaseException:
            prepared.assembly.detach()
            raise
        try:
            planned = self._plan({**self._fleet.models, name: model}, self._ledger.budget_bytes)
            between_jobs(lambda: self._admit(model, planned))
        except BaseException:
            self._undo_load(model)
            raise
        return model

    def _plan(self, models: Models, budget_bytes: int) -> Planned:
        """Best in a caller's thread: not at the expense of an inference."""
        if not models:
            return Planned({}, budget_bytes, {})
        return self._fleet.plan(models, self.device_profile, budget_bytes)

    def _admit(self, model: LoadedModel, planned: Planned) -> None:
        """On the inference thread, between jobs."""
        present = {**self._fleet.models, model.name: model}
        budget_bytes = self._ledger.budget_bytes
        if planned.wishes != wishes_of(present) or planned.budget_bytes != budget_bytes:
            planned = self._plan(present, budget_bytes)
        self._review(planned)
        try:
            self._fleet.admit(model, planned.plans)
        except BaseException:
            # Whose weights cannot be read says so when it is to run: this error goes first.
            with contextlib.suppress(SwapNetError):
                self._replan()
            raise

    def _undo_load(self, model: LoadedModel) -> None:
        """In the caller's thread."""

        def undo() -> None:
            self._unload(model)
            self._fleet.discard(model)

        try:
            self._dispatcher.run_exclusive(undo)
        except RuntimeClosedError:
            self._dispatcher.close()  # returns when the inference thread has ended
            self._fleet.discard(model)

    def _unload(self, model: LoadedModel) -> None:
        """On the inference thread, between jobs."""
        if self._fleet.remove(model):
            self._replan()

    def _replan(self) -> None:
        """On the inference thread, between blocks."""
        self._review(self._fleet.replan(self.device_profile))

    def _move(self, planned: Planned, on_complied: Callable[[], None]) -> None:
        """On the inference thread, between blocks."""
        present = self._fleet.models
        if planned.wishes != wishes_of(present):  # since the plans were made
            planned = self._plan(present, planned.budget_bytes)
        self._fleet.move(planned.plans, planned.budget_bytes, on_complied)
        self._review(planned)

    def _review(self, planned: Planned) -> None:
        networks = describe({name: model for name, (model, _) in planned.wishes.items()})
        if len(networks) == len(planned.plans):  # else one of them is in trouble, and has no plan
            known = list(planned.plans.values())
            device = self.device_profile.with_host_share(host_share(known))
            self._desk.review(networks, known, device, planned.budget_bytes)
