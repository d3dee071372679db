"""All loaded networks under one budget: what they hold, and the plans in force."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from swapnet_core import memory
from swapnet_core.arena import Arena
from swapnet_core.dispatch import Dispatcher
from swapnet_core.errors import NetworkError
from swapnet_core.graphs import GraphWish
from swapnet_core.heap_watch import HeapWatch
from swapnet_core.holding import Holding
from swapnet_core.host_tier import plan_beside_host
from swapnet_core.ledger import Lease, MemoryLedger
from swapnet_core.loading import Example, Prepared
from swapnet_core.model import LoadedModel
from swapnet_core.placement import Placement, Plans
from swapnet_core.shares import SharedNetwork, plan_together, smallest_shared_budget_bytes
from swapnet_core.specs import DeviceProfile

Models = Mapping[str, LoadedModel]
Wishes = Mapping[str, tuple[LoadedModel, float | None]]
"""Who is loaded, and at which rate: what plans are made for."""


class Planned(NamedTuple):
    """Plans, and what they were made for."""

    wishes: Wishes
    budget_bytes: int
    plans: Plans


class Fleet:
    """Loads, unloads and replans.

    `models`, `plan`, `smallest_bytes` and `reserved` are for any thread; the rest for the inference
    thread, between blocks (`move`) or between jobs.
    """

    def __init__(
        self, ledger: MemoryLedger, arena: Arena, placement: Placement, dispatcher: Dispatcher
    ) -> None:
        self._ledger = ledger
        self._arena = arena
        self._placement = placement
        self._dispatcher = dispatcher
        self._lock = threading.Lock()
        self._models: dict[str, LoadedModel] = {}
        self._coming: dict[str, LoadedModel | None] = {}
        self._fixed: Lease | None = None
        self._heap = HeapWatch()

    @property
    def models(self) -> dict[str, LoadedModel]:
        """The networks of this moment, by name, in the order in which they were loaded."""
        with self._lock:
            return dict(self._models)

    def plan(self, models: Models, device: DeviceProfile, budget_bytes: int) -> Planned:
        """Plan networks, at least one, for a budget. Pure: nothing changes.

        Raises:
            BudgetTooSmallError: they do not fit together; names what they need.
        """
        wishes = wishes_of(models)  # first: a rate that is set meanwhile must not count as met
        networks = describe(models)
        plans = plan_beside_host(
            lambda device: plan_together(networks, device, budget_bytes=budget_bytes),
            device,
            self._arena.host_ledger.budget_bytes,
        )
        return Planned(wishes, budget_bytes, dict(zip(_holdings(models), plans, strict=True)))

    def smallest_bytes(self) -> int:
        """Return the smallest budget that the networks accept; 0 where there are none."""
        networks = describe(self.models)
        return smallest_shared_budget_bytes(networks) if networks else 0

    @contextlib.contextmanager
    def reserved(self, name: str) -> Iterator[None]:
        """Keep a name for a network that is being loaded.

        Raises:
            NetworkError: the name is taken.
        """
        with self._lock:
            if name in self._models:
                raise NetworkError(f"a network named {name!r} is loaded already; close it first")
            if name in self._coming:
                raise NetworkError(f"a network named {name!r} is being loaded; take another name")
            self._coming[name] = None
        try:
            yield
        finally:
            with self._lock:
                del self._coming[name]

    def enroll(
        self,
        name: str,
        prepared: Prepared,
        rate_hz: float | None,
        captured: Example | None = None,
    ) -> LoadedModel:
        """Make a model under a reserved name; it holds no slots yet. `admit` or `discard` it.

        Args:
            name: reserved.
            prepared: the network.
            rate_hz: see `SwapRuntime.load`.
            captured: inputs for which CUDA graphs are wanted.

        Raises:
            StorageError: its block file cannot be opened.
        """
        boundary = self._dispatcher.scheduler
        graphs = None
        if captured is not None:
            activation_bytes = prepared.profile.trace.activation_bytes
            graphs = GraphWish.of(captured.inputs, captured.kwargs, activation_bytes)
        holding = self._holding_of(prepared)
        model = LoadedModel(
            name,
            prepared.assembly,
            holding,
            boundary,
            rate_hz=rate_hz,
            heap=self._heap,
            graphs=graphs,
        )
        with self._lock:
            self._coming[name] = model
        return model

    def admit(self, model: LoadedModel, plans: Plans) -> None:
        """Put a prepared network among the others.

        Args:
            model: from `enroll`.
            plans: for it and all others.

        Raises:
            SwapNetError: the plans cannot be adopted; the network is unloaded again, and as it was.
        """
        with self._lock:
            self._models[model.name] = model
        try:
            self._adopt(plans)
        except BaseException:
            self.remove(model)
            raise
        # Only now: until here a failure leaves the network as it was.
        model.take_weights()
        self._heap.expect_holes()

    def remove(self, model: LoadedModel) -> bool:
        """Unload a network, the others keep their plans; False where it is not loaded."""
        with self._lock:
            if self._models.get(model.name) is not model:
                return False
            del self._models[model.name]
        self.discard(model)
        return True

    def discard(self, model: LoadedModel) -> None:
        """Close a model, and its weights where no other one shares them. Idempotent."""
        model.close()
        holding = model.holding
        if any(other.holding is holding for other in self.models.values()):
            return
        self._dispatcher.forget(holding)
        if any(other.holding is holding for other in self._enrolled() if other is not model):
            holding.suspend()  # until that one is admitted
        else:
            holding.close()

    def move(self, plans: Plans, budget_bytes: int, on_complied: Callable[[], None]) -> None:
        """Bring all networks under another budget.

        Args:
            plans: of all networks, for that budget.
            budget_bytes: the new ceiling.
            on_complied: called when no more than that is held.

        Raises:
            SwapNetError: see `Placement.move`; the budget holds all the same.
        """

        def make_room() -> None:
            self._void_graphs()
            self._lease_fixed(0)
            self._ledger.set_budget(budget_bytes)
            on_complied()
            self._lease_fixed(_fixed_bytes(self._models, plans))
            self._heap.allow(_passing_bytes(plans))

        self._placement.move(plans, make_room)

    def replan(self, device: DeviceProfile) -> Planned:
        """Share the budget anew, e.g. what became free; return the plans in force then.

        Raises:
            SwapNetError: see `Placement.move`.
        """
        budget_bytes = self._ledger.budget_bytes
        if self._models:
            self._adopt(self.plan(self._models, device, budget_bytes).plans)
        else:
            self._placement.close()
            self._lease_fixed(0)
        memory.return_free_memory()
        plans = {holding: holding.plan for holding in _holdings(self._models)}
        in_force = {holding: plan for holding, plan in plans.items() if plan is not None}
        return Planned(wishes_of(self._models), budget_bytes, in_force)

    def close(self) -> None:
        """Unload everything. Idempotent."""
        for model in self.models.values():
            self.remove(model)
        self._placement.close()
        self._lease_fixed(0)
        self._heap.close()

    def _adopt(self, plans: Plans) -> None:
        fixed_bytes = _fixed_bytes(self._models, plans)

        def make_room() -> None:
            self._void_graphs()
            self._lease_fixed(fixed_bytes)
            self._heap.allow(_passing_bytes(plans))

        self._placement.move(plans, make_room)

    def _void_graphs(self) -> None:
        """Give back what was captured with slots that are no more; see [Note: graphs]."""
        for model in self.models.values():
            model.void_graphs()

    def _holding_of(self, prepared: Prepared) -> Holding:
        """Find equal weights that are loaded already, or open the block file."""
        for model in (*self.models.values(), *self._enrolled()):
            if model.profile == prepared.profile:
                return model.holding
        return Holding(prepared.profile, prepared.block_file, self._arena)

    def _enrolled(self) -> list[LoadedModel]:
        with self._lock:
            return [model for model in self._coming.values() if model is not None]

    def _lease_fixed(self, size_bytes: int) -> None:
        """Hold buffers and graphs of all networks, and the largest activation peak.

        One network computes at a time.
        """
        if self._fixed is not None:
            self._fixed.release()
            self._fixed = None
        if size_bytes:
            self._fixed = self._ledger.lease("activations, buffers and graphs", size_bytes)

    def __repr__(self) -> str:
        return f"<Fleet {', '.join(self.models)}>"


def wishes_of(models: Models) -> Wishes:
    """Return what plans for these networks are made for."""
    return {name: (model, model.rate_hz) for name, model in models.items()}


def describe(models: Models) -> list[SharedNetwork]:
    """Return what planning needs to know of networks; those with equal weights are one."""
    return [_share_of(holding, models) for holding in _holdings(models)]


def demand_of(models: Models) -> int:
    """Return what networks need together with everything in memory; equal weights count once."""
    weights = (weight for held in _holdings(models) for weight in held.profile.trace.weights)
    activations = (model.profile.trace.activation_bytes for model in models.values())
    return (
        sum(weight.size_bytes for weight in weights)
        + _buffer_bytes(models)
        + max(activations, default=0)
    )


def _holdings(models: Models) -> list[Holding]:
    return list(dict.fromkeys(model.holding for model in models.values()))


def _share_of(holding: Holding, models: Models) -> SharedNetwork:
    users = [model for model in models.values() if model.holding is holding]
    rates = [model.rate_hz for model in users if model.rate_hz is not None]
    return SharedNetwork(
        name=", ".join(model.name for model in users),
        profile=max(users, key=lambda model: model.inferences).measured_profile,
        rate_hz=sum(rates) if rates else None,
        users=len(users),
        graph_bytes=max(model.graph_bytes for model in users),
    )


def _fixed_bytes(models: Models, plans: Plans) -> int:
    activations = max((plan.activation_bytes for plan in plans.values()), default=0)
    graphs = sum(plans[m.holding].graph_bytes for m in models.values() if m.holding in plans)
    return _buffer_bytes(models) + activations + graphs


def _passing_bytes(plans: Plans) -> int:
    """Return what is leased for activations, without what stays of them between inferences."""
    passing = (
        plan.activation_bytes - holding.profile.trace.kept_bytes for holding, plan in plans.items()
    )
    return max(passing, default=0)


def _buffer_bytes(models: Models) -> int:
    return sum(model.profile.trace.buffer_bytes for model in models.values())
