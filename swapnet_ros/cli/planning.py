"""What `swapnet plan` knows: plans, admission and latency over budget, from profiles alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from swapnet_core import device_profile
from swapnet_core.cache import default_cache_dir
from swapnet_core.hardware import Hardware
from swapnet_core.host_tier import host_share, plan_beside_host
from swapnet_core.loading import Example
from swapnet_core.policy import Load, admit, assess, load_of
from swapnet_core.profiling import profile_on
from swapnet_core.reports import Admission
from swapnet_core.shares import SharedNetwork, plan_together, smallest_shared_budget_bytes
from swapnet_core.specs import DeviceProfile, NetworkProfile, SwapPlan, round_up
from swapnet_ros.cli.networks import PlannableNetwork

CURVE_POINTS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfiledNetwork:
    """A network as far as planning needs it.

    Attributes:
        name: of the task, or of the network where it stands alone.
        network: its own name.
        rate_hz: inferences per second; None: as often as there is time.
    """

    name: str
    network: str
    rate_hz: float | None
    profile: NetworkProfile


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """What one budget would give.

    Attributes:
        latencies_s: predicted, one per network.
        admission: whether the declared rates fit then; without a budget that would do.
    """

    budget_bytes: int
    latencies_s: tuple[float, ...]
    admission: Admission


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedSet:
    """The answer for one budget.

    Attributes:
        device: what was measured here once.
        device_kind: `cpu`, `cuda` or `unified`.
        demand_bytes: with everything in memory: weights and buffers, and the largest activation
            peak, since one inference runs at a time. Equal networks count once.
        least_bytes: the smallest budget at which the networks run at all.
        networks: in the order given.
        plans: one per network; empty where the budget is below `least_bytes`.
        admission: for this budget, or where that is too small, for the least one.
        curve: by budget, from the least to the one with everything resident.
    """

    device: DeviceProfile
    device_kind: str
    budget_bytes: int
    demand_bytes: int
    least_bytes: int
    networks: tuple[ProfiledNetwork, ...]
    plans: tuple[SwapPlan, ...]
    admission: Admission
    curve: tuple[CurvePoint, ...]

    @property
    def fits(self) -> bool:
        """Whether the networks run within the budget, at their rates."""
        return bool(self.plans) and self.admission.fits


class NetworkSet:
    """Networks that share one device; remembers the plans that it made. For one thread.

    Networks with equal profiles are one, with one plan, as in a runtime: it holds them once.
    """

    def __init__(
        self,
        networks: Sequence[ProfiledNetwork],
        device: DeviceProfile,
        *,
        host_budget_bytes: int = 0,
    ) -> None:
        """Take the networks.

        Args:
            networks: with their profiles.
            device: that they share.
            host_budget_bytes: for pinned host memory beside a GPU's; see `host_tier.py`.
        """
        self.networks = tuple(networks)
        self.device = device
        self._host_budget_bytes = host_budget_bytes
        self._profiles: list[NetworkProfile] = []
        for network in networks:
            if network.profile not in self._profiles:
                self._profiles.append(network.profile)
        self._numbers = [self._profiles.index(network.profile) for network in networks]
        self._plans: dict[int, tuple[SwapPlan, ...]] = {}

    @property
    def demand_bytes(self) -> int:
        """What the networks need with everything in memory, one inference at a time."""
        weights = sum(weight.size_bytes for each in self._profiles for weight in each.trace.weights)
        return weights + self._fixed_bytes

    @property
    def least_bytes(self) -> int:
        """The smallest budget that can be planned for."""
        return smallest_shared_budget_bytes(self._shared)

    @property
    def full_bytes(self) -> int:
        """With this budget everything is resident."""
        weights = sum(profile.weight_bytes for profile in self._profiles)
        return max(self.least_bytes, self._fixed_bytes + weights)

    def plans_at(self, budget_bytes: int) -> tuple[SwapPlan, ...]:
        """Plan all networks for a budget; gives one plan per network.

        Raises:
            BudgetTooSmallError: it is below `least_bytes`.
        """
        budget_bytes = min(budget_bytes, self.full_bytes)
        if budget_bytes not in self._plans:
            plans = plan_beside_host(
                lambda device: plan_together(self._shared, device, budget_bytes=budget_bytes),
                self.device,
                self._host_budget_bytes,
            )
            self._plans[budget_bytes] = tuple(plans[number] for number in self._numbers)
        return self._plans[budget_bytes]

    def loads_at(self, budget_bytes: int) -> list[Load]:
        """Say what the networks cost under their plans for a budget."""
        return [
            load_of(network.name, network.rate_hz, network.profile, plan)
            for network, plan in zip(self.networks, self.plans_at(budget_bytes), strict=True)
        ]

    def device_at(self, budget_bytes: int) -> DeviceProfile:
        """Return the device as blocks see it by the plans for a budget."""
        plans = dict(zip(self._numbers, self.plans_at(budget_bytes), strict=True))
        return self.device.with_host_share(host_share(list(plans.values())))

    @property
    def _shared(self) -> list[SharedNetwork]:
        return [self._as_one(number) for number in range(len(self._profiles))]

    def _as_one(self, number: int) -> SharedNetwork:
        """The networks of one profile as the one that they are; their rates add up."""
        pairs = zip(self._numbers, self.networks, strict=True)
        equal = [network for its, network in pairs if its == number]
        rates = [network.rate_hz for network in equal if network.rate_hz is not None]
        return SharedNetwork(
            name=", ".join(network.name for network in equal),
            profile=self._profiles[number],
            rate_hz=sum(rates) if rates else None,
            users=len(equal),
        )

    @property
    def _fixed_bytes(self) -> int:
        buffers = sum(shared.buffer_bytes for shared in self._shared)
        traces = [profile.trace for profile in self._profiles]
        return buffers + max((trace.activation_bytes for trace in traces), default=0)


def profile_all(
    networks: Sequence[PlannableNetwork],
    *,
    hardware: Hardware,
    host_budget_bytes: int,
    cache_dir: Path | None,
    progress: Callable[[str], None],
) -> NetworkSet:
    """Find the profiles of networks and device in the cache; trace and measure what is missing.

    Args:
        networks: to plan for.
        hardware: that they run on.
        host_budget_bytes: for pinned host memory beside a GPU's.
        cache_dir: for profiles and block files; None for the user's cache folder.
        progress: told what is done next.

    Raises:
        SwapNetError: a network cannot be traced, or the cache directory cannot be used.
    """
    root = cache_dir if cache_dir is not None else default_cache_dir()
    profiled = []
    for network in networks:
        progress(f"{network.name}: profile (traced once where the cache has none)")
        example = Example.of(network.inputs, None)
        profile = profile_on(hardware, root, network.build, example, network.weights)
        profiled.append(
            ProfiledNetwork(
                name=network.name,
                network=network.network,
                rate_hz=network.rate_hz,
                profile=profile,
            )
        )
    progress("storage: profile (measured once)")
    device = device_profile.load_or_measure(root, hardware)
    return NetworkSet(profiled, device, host_budget_bytes=host_budget_bytes)


def plan_set(
    networks: NetworkSet, budget_bytes: int, *, device_kind: str, progress: Callable[[str], None]
) -> PlannedSet:
    """Plan for a budget, find the smallest that would do, and sweep budgets for the curve.

    Args:
        networks: with their profiles.
        budget_bytes: may be too small.
        device_kind: of the hardware that was profiled.
        progress: told what is done next.
    """
    progress("admission")
    is_enough = budget_bytes >= networks.least_bytes
    planned_bytes = max(budget_bytes, networks.least_bytes)
    admission = admit(
        networks.loads_at,
        networks.device_at(planned_bytes),
        budget_bytes=planned_bytes,
        least_bytes=networks.least_bytes,
        full_bytes=networks.full_bytes,
    )
    return PlannedSet(
        device=networks.device,
        device_kind=device_kind,
        budget_bytes=budget_bytes,
        demand_bytes=networks.demand_bytes,
        least_bytes=networks.least_bytes,
        networks=networks.networks,
        plans=networks.plans_at(budget_bytes) if is_enough else (),
        admission=admission,
        curve=tuple(sweep(networks, progress)),
    )


def sweep(networks: NetworkSet, progress: Callable[[str], None]) -> list[CurvePoint]:
    """Predict latencies from the least budget to the one with everything resident.

    Args:
        networks: with their profiles.
        progress: told what is done next.
    """
    points = []
    budgets = curve_budgets(networks.least_bytes, networks.full_bytes)
    for number, budget_bytes in enumerate(budgets, start=1):
        progress(f"latency over budget: {number} of {len(budgets)}")
        loads = networks.loads_at(budget_bytes)
        points.append(
            CurvePoint(
                budget_bytes=budget_bytes,
                latencies_s=tuple(load.latency_s for load in loads),
                admission=assess(loads, networks.device_at(budget_bytes)),
            )
        )
    return points


def curve_budgets(least_bytes: int, full_bytes: int) -> list[int]:
    """Space budgets by equal factors: small ones differ most; whole pages, ends included."""
    factor = full_bytes / least_bytes
    shares = [number / (CURVE_POINTS - 1) for number in range(1, CURVE_POINTS - 1)]
    inner = [round_up(int(least_bytes * factor**share)) for share in shares]
    return sorted({least_bytes, *(b for b in inner if b < full_bytes), full_bytes})
