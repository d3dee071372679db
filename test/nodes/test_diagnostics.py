"""Admission in diagnostics and status: a report's figures, and a warning for rates too high."""

from __future__ import annotations

from dataclasses import replace

import pytest
from diagnostic_msgs.msg import DiagnosticStatus

from swapnet_core import ModelStats, RuntimeReport
from swapnet_core.policy import Load, assess
from swapnet_core.reports import GraphStats
from swapnet_core.testing import SIMULATED_DEVICE
from swapnet_ros.nodes.diagnostics import TaskHealth, core_status, task_status
from swapnet_ros.nodes.frames import FrameCounts
from swapnet_ros.nodes.swapnet_node import to_status

_MIB = 2**20


def _report(rate_hz: float | None) -> RuntimeReport:
    load = Load(
        name="/lanes", rate_hz=rate_hz, compute_s=0.1, streamed_bytes=10**7, latency_s=0.125
    )
    return RuntimeReport(
        budget_bytes=100 * _MIB,
        leased_bytes=50 * _MIB,
        peak_bytes=50 * _MIB,
        demand_bytes=0,
        models={},
        read_bandwidth_bytes_per_s=1e9,
        direct_io=True,
        admission=assess([load], SIMULATED_DEVICE),
    )


def _values(status: DiagnosticStatus) -> dict[str, str]:
    return {pair.key: pair.value for pair in status.values}


def test_rates_that_fit():
    report = _report(rate_hz=4.0)
    status = core_status("/swapnet", report, report)
    assert status.level == DiagnosticStatus.OK
    values = _values(status)
    assert values["read_priority"] == "0"
    assert values["rates_fit"] == "True"
    assert values["compute_share"] == "0.400"
    assert values["read_share"] == "0.040"
    assert values["busy_share"] == "0.500"
    assert values["/lanes reachable_rate_hz"] == values["/lanes rate_hz"] == "4.00"


def test_rates_that_do_not_fit_are_a_warning_with_the_remedy():
    report = _report(rate_hz=16.0)
    status = core_status("/swapnet", report, report)
    assert status.level == DiagnosticStatus.WARN
    assert "compute 160%" in status.message
    assert "ask for at most 50 % of the rates" in status.message
    assert _values(status)["/lanes reachable_rate_hz"] == "8.00"


def test_a_network_without_a_rate():
    report = _report(rate_hz=None)
    status = core_status("/swapnet", report, report)
    assert status.level == DiagnosticStatus.OK
    assert _values(status)["/lanes rate_hz"] == "none"


def test_the_status_message_has_the_figures():
    report = _report(rate_hz=16.0)
    message = to_status(report, "cpu")
    assert message.rates_fit is False
    assert message.busy_share == report.admission.busy_share == 2.0
    assert message.enough_budget_bytes == 0
    assert message.admission == report.admission.reason


def _health(
    *, in_hand_s: float, predicted_latency_s: float, graphs: GraphStats | None = None
) -> TaskHealth:
    others = ("name", "latency_s", "cuda_graphs")
    figures = {name: 0 for name in ModelStats.__dataclass_fields__ if name not in others}
    figures["predicted_latency_s"] = predicted_latency_s
    return TaskHealth(
        node="/lanes",
        state="active",
        network="ufld_resnet34",
        is_random=True,
        counts=FrameCounts(),
        counts_before=FrameCounts(),
        input_ages_s={"/image": 0.1},
        in_hand_s=in_hand_s,
        last_problem="",
        failed_transition="",
        model=ModelStats(name="/lanes", latency_s=None, cuda_graphs=graphs, **figures),
    )


@pytest.mark.parametrize(
    ("in_hand_s", "predicted_latency_s", "level"),
    [
        (0.0, 0.1, DiagnosticStatus.OK),
        (9.0, 0.1, DiagnosticStatus.OK),
        (11.0, 0.1, DiagnosticStatus.WARN),
        (19.0, 1.0, DiagnosticStatus.OK),
        (21.0, 1.0, DiagnosticStatus.WARN),
    ],
)
def test_an_image_that_never_gets_its_turn_is_a_warning(in_hand_s, predicted_latency_s, level):
    health = _health(in_hand_s=in_hand_s, predicted_latency_s=predicted_latency_s)
    status = task_status(health)
    assert status.level == level
    if level == DiagnosticStatus.WARN:
        assert f"in work for {in_hand_s:.0f} s" in status.message
        assert "give those a max_rate_hz" in status.message


def test_a_node_without_a_network_tells_of_no_weights():
    health = _health(in_hand_s=0.0, predicted_latency_s=0.1)
    assert _values(task_status(health))["weights"] == "random"
    unloaded = replace(health, network="", is_random=False, model=None, state="unconfigured")
    assert _values(task_status(unloaded))["weights"] == ""


@pytest.mark.parametrize(
    ("reason", "told"),
    [("", "7 replays"), ("the device has no graphs", "the device has no graphs")],
)
def test_graphs_are_told_where_they_were_asked_for(reason, told):
    graphs = GraphStats(is_used=not reason, reason=reason, replays=7, graphs=1, size_bytes=1)
    health = _health(in_hand_s=0.0, predicted_latency_s=0.1, graphs=graphs)
    assert _values(task_status(health))["cuda_graphs"] == told
    health = replace(health, model=replace(health.model, cuda_graphs=None))
    assert "cuda_graphs" not in _values(task_status(health))
