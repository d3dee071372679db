"""What the nodes tell `/diagnostics`: plain `diagnostic_msgs`, built from frozen facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node
from rclpy.publisher import Publisher

from swapnet_core import Admission, ModelStats, RuntimeReport
from swapnet_core.sizes import format_size
from swapnet_ros.nodes.frames import FrameCounts

DIAGNOSTICS_PERIOD_S = 1.0
SILENCE_WARNING_S = 5.0
WAITING_WARNING_S = 10.0
WAITING_WARNING_INFERENCES = 20
TOPIC = "/diagnostics"
HARDWARE_ID = "swapnet"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskHealth:
    """Everything that a task node's diagnostics are made from.

    Attributes:
        node: fully qualified name.
        state: label of the lifecycle state, such as `active`.
        network: name of the network, empty while none is loaded.
        is_random: its weights are random numbers.
        counts: frames so far.
        counts_before: frames at the time of the diagnostics before.
        input_ages_s: time since the last message on each topic that the node needs, or since the
            activation; empty while not active.
        in_hand_s: for how long the frame in hand has been worked on; 0 where there is none.
        last_problem: why the last frame or transition failed; empty where none did.
        failed_transition: name of the transition that failed last, empty where it succeeded.
        model: the core's figures, None while no network is loaded.
    """

    node: str
    state: str
    network: str
    is_random: bool
    counts: FrameCounts
    counts_before: FrameCounts
    input_ages_s: Mapping[str, float]
    in_hand_s: float
    last_problem: str
    failed_transition: str
    model: ModelStats | None


def task_status(health: TaskHealth) -> DiagnosticStatus:
    """Describe a task node: WARN for bad or missing images, ERROR for failures."""
    level, message = _judge(health)
    values: dict[str, object] = {
        "state": health.state,
        "network": health.network,
        "weights": _kind_of_weights(health),
        **asdict(health.counts),
        "last_problem": health.last_problem,
    }
    for topic, age_s in health.input_ages_s.items():
        values[f"{topic} age_s"] = f"{age_s:.3f}"
    if health.model is not None:
        values.update(_model_values(health.model))
    return _status(health.node, level, message, values)


def core_status(node: str, report: RuntimeReport, before: RuntimeReport) -> DiagnosticStatus:
    """Describe the core over the time between two reports; WARN where memory or reads are amiss."""
    values: dict[str, object] = {
        "budget_bytes": report.budget_bytes,
        "leased_bytes": report.leased_bytes,
        "peak_bytes": report.peak_bytes,
        "demand_bytes": report.demand_bytes,
        "read_bandwidth_bytes_per_s": f"{report.read_bandwidth_bytes_per_s:.0f}",
        "direct_io": report.direct_io,
        "read_priority": report.read_priority,
        "stall_share": f"{_stall_share(report, before):.3f}",
        "networks": len(report.models),
    }
    if report.admission is not None:
        values.update(_admission_values(report.admission))
    level, message = (
        DiagnosticStatus.OK,
        (f"{format_size(report.leased_bytes)} of {format_size(report.budget_bytes)} held"),
    )
    if report.models and not report.direct_io:
        level = DiagnosticStatus.WARN
        message += "; the cache's file system has no direct reads, so the page cache is used too"
    if report.leased_bytes > report.budget_bytes:
        level, message = DiagnosticStatus.WARN, f"{message}: going down to a smaller budget"
    if report.admission is not None and not report.admission.fits:
        level, message = DiagnosticStatus.WARN, f"{message}; {report.admission.reason}"
    return _status(node, level, message, values)


def publish_status(node: Node, publisher: Publisher, *statuses: DiagnosticStatus) -> None:
    """Publish statuses with the node's time."""
    array = DiagnosticArray(status=list(statuses))
    array.header.stamp = node.get_clock().now().to_msg()
    publisher.publish(array)


def _judge(health: TaskHealth) -> tuple[bytes, str]:
    now, before = health.counts, health.counts_before
    if health.failed_transition:
        return DiagnosticStatus.ERROR, f"cannot {health.failed_transition}: {health.last_problem}"
    if now.failed > before.failed:
        return DiagnosticStatus.ERROR, f"a frame failed: {health.last_problem}"
    if now.refused > before.refused:
        return DiagnosticStatus.WARN, f"a frame was refused: {health.last_problem}"
    if now.late > before.late:
        return DiagnosticStatus.WARN, f"a frame missed its deadline: {health.last_problem}"
    if now.stale > before.stale:
        return DiagnosticStatus.WARN, f"a frame was stale: {health.last_problem}"
    silent = {t: age_s for t, age_s in health.input_ages_s.items() if age_s > SILENCE_WARNING_S}
    if silent:
        named = ", ".join(f"{topic} for {age_s:.0f} s" for topic, age_s in silent.items())
        return DiagnosticStatus.WARN, f"no message on {named}"
    if health.model is not None and health.in_hand_s > _long_s(health.model):
        return DiagnosticStatus.WARN, (
            f"an image has been in work for {health.in_hand_s:.0f} s: nodes of a higher priority, "
            "or with deadlines, may leave it no time; give those a max_rate_hz"
        )
    return DiagnosticStatus.OK, health.state


def _kind_of_weights(health: TaskHealth) -> str:
    if not health.network:
        return ""
    return "random" if health.is_random else "trained"


def _long_s(model: ModelStats) -> float:
    """How long no frame should take, however many others have their turn before it."""
    return max(WAITING_WARNING_S, WAITING_WARNING_INFERENCES * model.predicted_latency_s)


def _model_values(stats: ModelStats) -> dict[str, object]:
    values: dict[str, object] = {
        "demand_bytes": stats.demand_bytes,
        "resident_bytes": stats.resident_bytes,
        "streamed_bytes": stats.streamed_bytes,
        "inferences": stats.inferences,
        "faults": stats.faults,
        "deadline_misses": stats.deadline_misses,
        "bytes_read": stats.bytes_read,
        "stall_s": f"{stats.stall_s:.6f}",
        "compute_s": f"{stats.compute_s:.6f}",
        "predicted_latency_s": f"{stats.predicted_latency_s:.6f}",
    }
    if stats.latency_s is not None:
        values["latency_p50_s"] = f"{stats.latency_s.p50:.6f}"
        values["latency_p99_s"] = f"{stats.latency_s.p99:.6f}"
        if stats.predicted_latency_s > 0:
            ratio = stats.latency_s.p50 / stats.predicted_latency_s
            values["measured_over_predicted"] = f"{ratio:.3f}"
    if stats.cuda_graphs is not None:
        values["cuda_graphs"] = stats.cuda_graphs.reason or f"{stats.cuda_graphs.replays} replays"
    return values


def _admission_values(admission: Admission) -> dict[str, object]:
    values: dict[str, object] = {
        "rates_fit": admission.fits,
        "compute_share": f"{admission.compute_share:.3f}",
        "read_share": f"{admission.read_share:.3f}",
        "busy_share": f"{admission.busy_share:.3f}",
        "enough_budget_bytes": admission.enough_budget_bytes or "none",
        "admission": admission.reason,
    }
    for network in admission.networks:
        declared = "none" if network.rate_hz is None else f"{network.rate_hz:.2f}"
        values[f"{network.name} rate_hz"] = declared
        values[f"{network.name} reachable_rate_hz"] = f"{network.reachable_rate_hz:.2f}"
        values[f"{network.name} busy_share"] = f"{network.busy_share:.3f}"
    return values


def _stall_share(report: RuntimeReport, before: RuntimeReport) -> float:
    """Part of the networks' running time in which they waited for blocks."""
    stall_s = _total(report, "stall_s") - _total(before, "stall_s")
    compute_s = _total(report, "compute_s") - _total(before, "compute_s")
    running_s = stall_s + compute_s
    return stall_s / running_s if running_s > 0 else 0.0


def _total(report: RuntimeReport, figure: str) -> float:
    return sum(getattr(stats, figure) for stats in report.models.values())


def _status(
    name: str, level: bytes, message: str, values: Mapping[str, object]
) -> DiagnosticStatus:
    return DiagnosticStatus(
        level=level,
        name=name,
        message=message,
        hardware_id=HARDWARE_ID,
        values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
    )
