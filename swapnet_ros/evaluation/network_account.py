"""What the core knows of a network after a run, as JSON: its newest inference, and its profile.

A profile is data: from it alone, plans and latencies follow for any budget. So nobody has to build
a network again to predict what another budget would give.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from swapnet_core import SwappedModel
from swapnet_core.specs import (
    CellSpec,
    DeviceProfile,
    NetworkProfile,
)
from swapnet_core.trace_json import trace_from_json


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkAccount:
    """One network at one moment.

    Attributes:
        timeline: when which block of the newest inference was read and used, of JSON types; empty
            before the first inference, and where a new budget changed the plan in the middle of it.
        profile: at the speeds at which it runs of late.
        device: storage and machine, likewise.
        inferences: how many there were.
    """

    timeline: Mapping[str, Any]
    profile: NetworkProfile
    device: DeviceProfile
    inferences: int

    @classmethod
    def of(cls, model: SwappedModel, device: DeviceProfile) -> NetworkAccount:
        """Take the account of a loaded network.

        Raises:
            SwapNetError: it has no plan.
        """
        return cls(
            timeline=_timeline_json(model),
            profile=model.profile,
            device=device,
            inferences=model.stats().inferences,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the account as plain lists, numbers and strings."""
        return {**asdict(self), "timeline": dict(self.timeline)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> NetworkAccount:
        """Rebuild an account.

        Raises:
            KeyError, TypeError: `data` is not what `to_json` made.
        """
        return cls(
            timeline=data["timeline"],
            profile=profile_from_json(data["profile"]),
            device=DeviceProfile(**data["device"]),
            inferences=data["inferences"],
        )


def profile_from_json(data: Mapping[str, Any]) -> NetworkProfile:
    """Rebuild a profile from `dataclasses.asdict` of it.

    Raises:
        KeyError, TypeError: `data` is not that.
    """
    return NetworkProfile(
        digest=data["digest"],
        trace=trace_from_json(data["trace"]),
        cells=tuple(
            CellSpec(**{**cell, "layers": tuple(cell["layers"])}) for cell in data["cells"]
        ),
        weight_offsets_bytes=tuple(data["weight_offsets_bytes"]),
    )


def held_profiles(accounts: Mapping[str, NetworkAccount]) -> dict[str, NetworkProfile]:
    """Return every network's profile; those that the core holds once have one.

    Networks that differ in nothing but times are one set of weights with one plan. The core plans
    it at the speed of the one that ran most, and so it is here.

    Args:
        accounts: by name.
    """
    most: dict[NetworkProfile, NetworkAccount] = {}
    for account in accounts.values():
        what = _without_times(account.profile)
        if what not in most or most[what].inferences < account.inferences:
            most[what] = account
    return {name: most[_without_times(each.profile)].profile for name, each in accounts.items()}


def _without_times(profile: NetworkProfile) -> NetworkProfile:
    return replace(profile, trace=replace(profile.trace, step_compute_s=(), head_compute_s=0.0))


def _timeline_json(model: SwappedModel) -> dict[str, Any]:
    timeline, plan = model.timeline, model.plan
    if timeline is None:
        return {}
    return {
        **asdict(timeline),
        "resident_bytes": sum(block.size_bytes for block in plan.blocks if block.is_resident),
        "block_bytes": [block.size_bytes for block in plan.blocks],
    }
