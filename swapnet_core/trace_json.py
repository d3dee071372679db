"""Traces as plain data, for the cache and for who hears of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from swapnet_core.specs import LayerSpec, NetworkTrace, WeightSpec


def trace_to_json(trace: NetworkTrace) -> dict[str, Any]:
    """Return the trace as plain lists, numbers and strings."""
    return asdict(trace)


def trace_from_json(data: Mapping[str, Any]) -> NetworkTrace:
    """Rebuild a trace.

    Raises:
        KeyError, TypeError: `data` is not what `trace_to_json` wrote.
    """
    weights = tuple(
        WeightSpec(
            name=entry["name"],
            aliases=tuple(entry["aliases"]),
            dtype=entry["dtype"],
            shape=tuple(entry["shape"]),
            stride=tuple(entry["stride"]),
            size_bytes=entry["size_bytes"],
            requires_grad=entry["requires_grad"],
        )
        for entry in data["weights"]
    )
    layers = tuple(
        LayerSpec(
            name=entry["name"],
            weights=tuple(entry["weights"]),
            is_pinned=entry["is_pinned"],
            tile_unit_rows=entry["tile_unit_rows"],
        )
        for entry in data["layers"]
    )
    return NetworkTrace(
        weights=weights,
        layers=layers,
        accesses=tuple(data["accesses"]),
        access_steps=tuple(data["access_steps"]),
        steps=tuple(data["steps"]),
        step_compute_s=tuple(data["step_compute_s"]),
        step_tile_s=tuple(data["step_tile_s"]),
        head_compute_s=data["head_compute_s"],
        head_activation_bytes=data["head_activation_bytes"],
        step_activation_bytes=tuple(data["step_activation_bytes"]),
        step_tile_activation_bytes=tuple(data["step_tile_activation_bytes"]),
        step_live_bytes=tuple(data["step_live_bytes"]),
        step_growth_bytes=tuple(data["step_growth_bytes"]),
        step_tile_growth_bytes=tuple(data["step_tile_growth_bytes"]),
        kept_bytes=data["kept_bytes"],
        buffer_bytes=data["buffer_bytes"],
    )
