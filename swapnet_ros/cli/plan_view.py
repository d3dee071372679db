"""How `swapnet plan` shows its answer: tables, JSON and a picture."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Table

from swapnet_core.errors import StorageError
from swapnet_core.sizes import MIB, format_size
from swapnet_core.specs import BlockSpec, NetworkProfile, SwapPlan
from swapnet_ros.cli.planning import CurvePoint, PlannedSet, ProfiledNetwork

_LAYERS_SHOWN = 3


def plan_tables(answer: PlannedSet) -> Group:
    """Return the answer in words, a row per network, and a row per budget."""
    parts = [_answer_table(answer)]
    if answer.plans:
        parts.append(_network_table(answer))
    parts.append(_curve_table(answer))
    return Group(*parts)


def plan_json(answer: PlannedSet) -> dict[str, Any]:
    """Return the answer as plain numbers and strings; sizes are bytes, times seconds."""
    return {
        "fits": answer.fits,
        "budget_bytes": answer.budget_bytes,
        "demand_bytes": answer.demand_bytes,
        "least_budget_bytes": answer.least_bytes,
        "enough_budget_bytes": answer.admission.enough_budget_bytes,
        "admission": asdict(answer.admission),
        "device_kind": answer.device_kind,
        "device": asdict(answer.device),
        "networks": [
            {
                "name": network.name,
                "network": network.network,
                "demand_bytes": network.profile.demand_bytes,
                "weight_bytes": network.profile.weight_bytes,
                "compute_s": network.profile.trace.compute_s,
                "plan": None if plan is None else _plan_json(network.profile, plan),
            }
            for network, plan in _planned(answer)
        ],
        "curve": [_point_json(answer, point) for point in answer.curve],
    }


def write_picture(answer: PlannedSet, path: Path) -> None:
    """Draw latency over budget, one line per network, as a PNG file.

    Raises:
        StorageError: the file cannot be written.
    """
    # Not at the top: it takes half a second, which only this needs. No display is opened.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    budgets = [point.budget_bytes / MIB for point in answer.curve]
    for index, network in enumerate(answer.networks):
        latencies = [point.latencies_s[index] * 1e3 for point in answer.curve]
        (line,) = axes.plot(budgets, latencies, marker="o", label=network.name)
        compute_ms = network.profile.trace.compute_s * 1e3
        axes.axhline(compute_ms, color=line.get_color(), linestyle=":", linewidth=1)
    axes.axvline(
        answer.budget_bytes / MIB,
        color="black",
        linestyle="--",
        label=f"budget {format_size(answer.budget_bytes)}",
    )
    axes.set_xlabel("budget, MiB")
    axes.set_ylabel("predicted latency, ms (dotted: compute alone)")
    axes.set_ylim(bottom=0)
    axes.legend()
    try:
        figure.savefig(path, format="png", dpi=120)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error}", path=path) from error


def _answer_table(answer: PlannedSet) -> Table:
    enough = answer.admission.enough_budget_bytes
    fit = "fits" if answer.fits else "does not fit"
    if not answer.plans:
        fit += f": below {format_size(answer.least_bytes)}, which the networks need to run at all"
    table = Table("", fit)
    table.add_row("demand", format_size(answer.demand_bytes))
    ratio = f"(demand / {_ratio(answer, answer.budget_bytes)})"
    table.add_row("budget", f"{format_size(answer.budget_bytes)} {ratio}")
    if answer.plans:
        table.add_row("admission", answer.admission.reason)
    table.add_row(
        "smallest budget that would do", "none" if enough is None else format_size(enough)
    )
    table.add_row("least to run at all", format_size(answer.least_bytes))
    bandwidth = format_size(answer.device.read_bandwidth_bytes_per_s)
    table.add_row("read bandwidth", f"{bandwidth}/s, device {answer.device_kind}")
    return table


def _network_table(answer: PlannedSet) -> Table:
    table = Table(
        "network",
        "rate",
        "predicted",
        "reachable",
        "held",
        "resident",
        "read",
        "tiles",
        caption="held: at most, with activations; read: per inference; activations and the "
        "streaming region are used in turn, so they count once in the budget",
    )
    rows = zip(answer.networks, answer.plans, answer.admission.networks, strict=True)
    for network, plan, load in rows:
        table.add_row(
            network.name,
            "-" if load.rate_hz is None else f"{load.rate_hz:.1f} Hz",
            _ms(plan.predicted_latency_s),
            f"{load.reachable_rate_hz:.1f} Hz",
            format_size(plan.peak_bytes),
            format_size(plan.resident_bytes),
            format_size(plan.streamed_bytes),
            _tiles_text(network.profile, plan),
        )
    return table


def _tiles_text(profile: NetworkProfile, plan: SwapPlan) -> str:
    tiles = _tiles(profile, plan)
    if not tiles:
        return "none: exact"
    shown = tiles.most_common(_LAYERS_SHOWN)
    layers = ", ".join(f"{weight} in {count}" for weight, count in shown)
    if len(tiles) > len(shown):
        layers += f", {len(tiles) - len(shown)} more (--json names them)"
    return layers if plan.is_exact else f"{layers}; may change the last bits"


def _tiles(profile: NetworkProfile, plan: SwapPlan) -> Counter[str]:
    """Count the tiles of every weight that is larger than its room."""
    weights = profile.trace.weights
    tiles = (block.tile for block in plan.blocks if block.tile is not None)
    return Counter(weights[tile.weight].name for tile in tiles)


def _curve_table(answer: PlannedSet) -> Table:
    names = [network.name for network in answer.networks]
    has_rates = any(network.rate_hz for network in answer.networks)
    shares = ("busy", "fits") if has_rates else ()
    table = Table(
        "budget", "demand / budget", *names, *shares, title="predicted latency over budget"
    )
    for point in answer.curve:
        table.add_row(
            format_size(point.budget_bytes),
            _ratio(answer, point.budget_bytes),
            *(_ms(latency_s) for latency_s in point.latencies_s),
            *((_busy(point), "yes" if point.admission.fits else "no") if has_rates else ()),
        )
    return table


def _busy(point: CurvePoint) -> str:
    return f"{point.admission.busy_share:.0%}"


def _ratio(answer: PlannedSet, budget_bytes: int) -> str:
    return f"{answer.demand_bytes / budget_bytes:.2f}"


def _planned(answer: PlannedSet) -> list[tuple[ProfiledNetwork, SwapPlan | None]]:
    plans = answer.plans or (None,) * len(answer.networks)
    return list(zip(answer.networks, plans, strict=True))


def _plan_json(profile: NetworkProfile, plan: SwapPlan) -> dict[str, Any]:
    return {
        "share_bytes": plan.budget_bytes,
        "peak_bytes": plan.peak_bytes,
        "fixed_bytes": plan.fixed_bytes,
        "stream_bytes": plan.stream_bytes,
        "resident_bytes": plan.resident_bytes,
        "streamed_bytes": plan.streamed_bytes,
        "host_bytes": plan.host_bytes,
        "predicted_latency_s": plan.predicted_latency_s,
        "predicted_stall_s": plan.predicted_stall_s,
        "bound_s": plan.bound_s,
        "is_exact": plan.is_exact,
        "tiles": dict(_tiles(profile, plan)),
        "residents": [
            name for block in plan.blocks if block.is_resident for name in _names(profile, block)
        ],
    }


def _names(profile: NetworkProfile, block: BlockSpec) -> list[str]:
    """Name the weights of a block, or the rows of a weight that it holds."""
    if block.tile is not None:
        begin, end = block.tile.rows
        return [f"{profile.trace.weights[block.tile.weight].name}[{begin}:{end}]"]
    return [profile.trace.weights[weight].name for weight in block.weights]


def _point_json(answer: PlannedSet, point: CurvePoint) -> dict[str, Any]:
    names = [network.name for network in answer.networks]
    return {
        "budget_bytes": point.budget_bytes,
        "fits": point.admission.fits,
        "compute_share": point.admission.compute_share,
        "read_share": point.admission.read_share,
        "busy_share": point.admission.busy_share,
        "latency_s": dict(zip(names, point.latencies_s, strict=True)),
    }


def _ms(duration_s: float) -> str:
    return f"{duration_s * 1e3:.1f} ms"
