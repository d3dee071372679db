"""How `swapnet bench` shows its result."""

from __future__ import annotations

from rich.table import Table

from swapnet_core.sizes import format_size
from swapnet_ros.cli.bench_result import PairedResult, PlanFigures


def bench_table(result: PairedResult) -> Table:
    """Return a row per figure."""
    swapped = result.swapped
    rows = {
        "demand": format_size(result.demand_bytes),
        "budget": f"{format_size(result.budget_bytes)} "
        f"(demand / {result.demand_bytes / result.budget_bytes:.2f})",
        "planned peak": format_size(result.peak_bytes),
        "resident": format_size(swapped.resident_bytes),
        "tiles": ", ".join(f"{name} in {count}" for name, count in swapped.tiles.items()) or "none",
        "read per inference": f"{format_size(swapped.read_bytes)} (weights less residents: "
        f"{format_size(swapped.used_bytes - swapped.resident_bytes)})",
        "read bandwidth": f"{format_size(result.bandwidth_bytes_per_s)}/s "
        f"({format_size(result.beside_bytes_per_s)}/s beside the plain network)",
        "plain, in memory": _ms(result.plain_s),
        "swapped": _ms(swapped.swapped_s),
        "predicted": _prediction(swapped.predicted_s, swapped),
        "predicted at the run's own speeds": _prediction(swapped.predicted_at_speed_s, swapped),
        "stall": _ms(swapped.stall_s),
        "bound max(compute, read)": f"{_ms(result.bound_s)} (read {_ms(result.read_s)})",
        "ratio to plain": _ratios(swapped),
        "ratio to bound": f"{result.ratio_to_bound:.3f}",
        "bound within the budget": f"{_ms(result.bound_in_budget_s)} (stretches and layers larger "
        f"than it cost {_ms(result.least_delay_s)})",
        "ratio to that bound": f"{result.ratio_to_bound_in_budget:.3f}",
        "plain, with such reads beside it": f"{_ms(result.beside_reads_s)} (both done after "
        f"{_ms(result.with_reads_s)})",
        "ratio to the bound beside reads": f"{result.ratio_to_bound_beside_reads:.3f} "
        f"(bound {_ms(result.bound_beside_reads_s)})",
        "outputs": _outputs(swapped),
    }
    if result.rival is not None:
        rival = result.rival
        rows["two blocks in turn"] = (
            f"{_ms(rival.swapped_s)}, ratio to plain {_ratios(rival)}, read "
            f"{format_size(rival.read_bytes)}, outputs {_outputs(rival)}"
        )
    elif result.rival_reason:
        rows["two blocks in turn"] = result.rival_reason
    caption = (
        f"{result.machine}, {result.threads} compute threads, reads at real-time priority "
        f"{result.read_priority or 'none'}, load {result.load_average:.1f}"
    )
    table = Table("", result.network, caption=caption)
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def _ratios(figures: PlanFigures) -> str:
    return f"{figures.ratio:.3f} (pairs {min(figures.ratios):.3f} to {max(figures.ratios):.3f})"


def _prediction(predicted_s: float, figures: PlanFigures) -> str:
    return f"{_ms(predicted_s)} ({predicted_s / figures.swapped_s - 1:+.1%} of measured)"


def _outputs(figures: PlanFigures) -> str:
    if figures.difference == 0.0:
        return "equal bit for bit"
    verdict = "within 1e-6" if figures.is_right else "DIFFERENT"
    return f"{verdict}: {figures.difference:.1e} of the largest value"


def _ms(duration_s: float) -> str:
    return f"{duration_s * 1e3:.1f} ms"
