"""What `swapnet plan` was asked about: networks, and a budget in one of its forms."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from swapnet_core.errors import InputError
from swapnet_core.hardware import Hardware, choose_hardware
from swapnet_core.margin import start_position
from swapnet_core.sizes import parse_size
from swapnet_core.system_memory import MemoryBound
from swapnet_ros.cli.networks import PlannableNetwork, named_network, parse_shape
from swapnet_ros.cli.paired import choose_budget
from swapnet_ros.cli.scenario import Scenario, is_scenario, read_scenario

_AUTO = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to plan.

    Attributes:
        networks: that are to share the budget.
        budget_bytes: from the networks' demand in bytes to the budget in bytes.
        hardware: that they run on; whoever has this closes its backend.
        host_budget_bytes: for pinned host memory beside a GPU's.
        cache_dir: as the scenario has it; None for the user's cache folder.
        remarks: what a user should know of the scenario's file.
    """

    networks: tuple[PlannableNetwork, ...]
    budget_bytes: Callable[[int], int]
    hardware: Hardware
    host_budget_bytes: int
    cache_dir: Path | None
    remarks: tuple[str, ...]


def find_wanted(
    target: str,
    *,
    shape: str | None,
    rate_hz: float | None,
    budget: str | None,
    ratio: float | None,
    device: str | None,
) -> Wanted:
    """Read the command line's words.

    Args:
        target: network, or scenario file.
        shape: of a network's input, as `parse_shape` reads it; None for the network's own.
        rate_hz: wanted of a network; None or 0 for as often as there is time.
        budget: a size, or `auto` for what this system has free now.
        ratio: demand over budget; one of the two, or for scenarios none.
        device: as for `SwapRuntime`; None for the scenario's, or the one that is found.

    Raises:
        InputError: there is no such network or device, or the words do not go together.
        ValueError: `budget` is not a size, or `device` is not known.
        NodeError: the scenario file has mistakes.
    """
    if is_scenario(target):
        if shape is not None or rate_hz is not None:
            raise InputError("--input and --rate are for a network; a scenario has its own")
        scenario = read_scenario(Path(target))
        if not scenario.networks:
            raise InputError(f"{target}: the parameter `nodes` names no task to plan for")
        networks, cache_dir, remarks = scenario.networks, scenario.cache_dir, scenario.remarks
        if budget is None and ratio is None:
            budget = scenario.budget
        hardware, host_budget_bytes = _hardware_of(target, scenario, device)
    else:
        networks, cache_dir, remarks = (_named(target, shape, rate_hz),), None, ()
        hardware, host_budget_bytes = choose_hardware(device or _AUTO), 0
    budget_bytes = None if budget is None else _read_budget(budget, hardware.read_bounds)
    # Now, and not after minutes of tracing:
    choose_budget(1, budget_bytes, ratio)
    return Wanted(
        networks=networks,
        budget_bytes=lambda demand_bytes: choose_budget(demand_bytes, budget_bytes, ratio),
        hardware=hardware,
        host_budget_bytes=host_budget_bytes,
        cache_dir=cache_dir,
        remarks=remarks,
    )


def _named(name: str, shape: str | None, rate_hz: float | None) -> PlannableNetwork:
    if rate_hz is not None and not 0.0 <= rate_hz < math.inf:
        raise InputError(f"a rate of {rate_hz} Hz is not possible; 0 means as often as it can")
    found = named_network(name, None if shape is None else parse_shape(shape))
    return PlannableNetwork(
        name=found.name,
        network=found.name,
        rate_hz=rate_hz or None,
        build=found.build,
        inputs=found.inputs,
        weights=None,
    )


def _hardware_of(target: str, scenario: Scenario, device: str | None) -> tuple[Hardware, int]:
    """Find a scenario's hardware, and its bytes of pinned host memory."""
    try:
        hardware = choose_hardware(device or scenario.device, scenario.read_priority)
        return hardware, hardware.parse_host_budget(scenario.host_budget)
    except (InputError, ValueError) as error:
        if device is not None:
            raise  # the file has not said so
        raise InputError(f"{target}: the node swapnet's device: {error}") from error


def _read_budget(budget: str, read_bounds: Callable[[], Sequence[MemoryBound]]) -> int:
    if budget == _AUTO:
        return start_position(read_bounds()).budget_bytes
    return parse_size(budget)
