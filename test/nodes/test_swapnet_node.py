"""The status of the core, and the budget that can be changed while it works."""

from __future__ import annotations

import logging
import re

import pytest
from rcl_interfaces.msg import Log

pytestmark = pytest.mark.ros

MIB = 2**20


def test_the_status_tells_budget_memory_and_models(robot, start_host, street_message, wait_until):
    start_host()
    robot.wait_for_state("active")
    robot.show(street_message)
    status = wait_until(
        lambda: next((s for s in robot.statuses if s.models and s.models[0].inferences), None),
        "a status after an inference",
    )
    (model,) = status.models
    assert model.name == "/object_detection"
    assert status.device == "cpu"
    assert status.budget_bytes == 64 * MIB
    assert 0 < status.leased_bytes <= status.budget_bytes
    assert 0 < status.peak_bytes <= status.budget_bytes
    # stored weights have padding between them, the demand has buffers
    assert model.demand_bytes == pytest.approx(
        model.weight_bytes + model.activation_bytes, rel=0.01
    )
    assert model.resident_bytes + model.streamed_bytes >= model.weight_bytes
    assert model.latency_count == 1
    assert model.latency_mean_s == model.latency_p50_s == model.latency_max_s > 0
    assert model.predicted_latency_s > 0
    assert status.header.stamp.sec > 0


def test_the_status_comes_once_per_second(robot, start_host, wait_until):
    start_host(object_detection={"autostart": False})
    wait_until(lambda: len(robot.statuses) >= 3, "three statuses")
    stamps = [s.header.stamp.sec + s.header.stamp.nanosec * 1e-9 for s in robot.statuses[:3]]
    assert stamps[2] - stamps[0] > 1.5


def test_the_budget_is_live_and_a_refusal_names_the_bytes_needed(
    robot, start_host, street_message, wait_until
):
    start_host()
    robot.wait_for_state("active")
    wanted = robot.show(street_message).detections
    (answer,) = robot.set("swapnet", budget="64KiB")
    assert not answer.successful
    needed = re.search(r"need .*\((\d+) bytes\)", answer.reason)
    assert needed, answer.reason
    assert robot.show(street_message).detections == wanted

    (answer,) = robot.set("swapnet", budget=needed[1])
    assert answer.successful, answer.reason
    assert robot.show(street_message).detections == wanted
    robot.statuses.clear()
    status = wait_until(lambda: robot.statuses, "a status")[0]
    assert status.budget_bytes == int(needed[1])
    assert status.leased_bytes <= status.budget_bytes
    assert status.models[0].streamed_bytes > 0


@pytest.mark.parametrize("budget", ["plenty", "-3MiB", 64])
def test_a_budget_that_is_no_size_is_refused(robot, start_host, budget):
    start_host(object_detection={"autostart": False})
    (answer,) = robot.set("swapnet", budget=budget)
    assert not answer.successful
    assert "budget" in answer.reason


def test_device_and_cache_are_fixed(robot, start_host):
    start_host(object_detection={"autostart": False})
    for answer in robot.set("swapnet", device="cuda", cache_dir="/tmp", nodes=["x"]):
        assert not answer.successful
        assert "read-only" in answer.reason


def test_a_parameter_that_there_is_none_of_is_named(robot, start_host):
    start_host(object_detection={"autostart": False})
    (answer,) = robot.set("swapnet", bugdet="1GiB")
    assert answer.reason == "/swapnet has no parameter 'bugdet'; did you mean 'budget'?"
    answer, other = robot.set("object_detection", sonar=1, score_threshold=0.5)
    assert answer.reason == "/object_detection has no parameter 'sonar'"
    assert (answer.successful, other.successful) == (False, True)


def test_warnings_of_the_core_reach_the_log_of_ros(robot, start_host, wait_until):
    lines = []
    robot.node.create_subscription(Log, "/rosout", lambda m: lines.append((m.name, m.msg)), 100)
    start_host(object_detection={"autostart": False})
    wait_until(lambda: robot.statuses, "a status")
    logging.getLogger("swapnet_core.reader").warning("%s has no direct reads", "/slow")
    logging.getLogger("swapnet_core.reader").error("nor any other")
    wait_until(lambda: ("swapnet", "/slow has no direct reads") in lines, "the warning")
    wait_until(lambda: ("swapnet", "nor any other") in lines, "the error")
