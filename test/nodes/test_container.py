"""Which nodes a process hosts, and how it starts and ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from swapnet_core import SwapRuntime
from swapnet_core.errors import InputError
from swapnet_ros.nodes.container import TASK_NODES
from swapnet_ros.nodes.errors import ParameterSourceError, ParameterValueError
from swapnet_ros.nodes.hosted_nodes import HostedNode, parse_nodes
from swapnet_ros.nodes.parameter_tables import TASKS
from swapnet_ros.nodes.task_networks import TASK_NETWORKS

PERCEPTION = Path(__file__).parents[2] / "scripts" / "perception"


def test_nodes_are_named_after_their_task_or_as_wanted():
    assert parse_nodes(["object_detection", "north=object_detection"]) == (
        HostedNode(name="object_detection", task="object_detection"),
        HostedNode(name="north", task="object_detection"),
    )
    assert parse_nodes([]) == ()


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        (["objekt_detection"], "no task 'objekt_detection'; did you mean 'object_detection'?"),
        (["north=sonar"], "no task 'sonar'; known are object_detection, lane_detection"),
        (["2north=object_detection"], "'2north' cannot be the name of a node"),
        (["=object_detection"], "'' cannot be the name of a node"),
        (["object_detection", "object_detection"], "two nodes would be called"),
        (["swapnet=object_detection"], "two nodes would be called 'swapnet'"),
    ],
)
def test_impossible_nodes_are_refused(entries, reason):
    with pytest.raises(ParameterValueError, match=reason.replace("?", r"\?")):
        parse_nodes(entries)


def test_every_task_has_a_node_and_a_table():
    assert TASK_NODES.keys() == TASKS.keys() == TASK_NETWORKS.keys()
    for name, kind in TASK_NODES.items():
        assert kind.SPECS is TASKS[name]


@pytest.mark.ros
def test_mistakes_in_parameters_stop_the_start(start_host):
    with pytest.raises(ParameterSourceError) as caught:
        start_host(object_detection={"score_treshold": 0.5, "max_rate_hz": 10})
    assert len(caught.value.problems) == 2
    for changes, reason in (
        ({"nodes": ["sonar"]}, "no task 'sonar'"),
        (
            {"device": "abacus"},
            r"parameters\.yaml:\d+: /\*\*/swapnet: device: .* no device 'abacus'",
        ),
    ):
        with pytest.raises(ParameterValueError, match=reason):
            start_host(swapnet=changes)
    for name in ("budget", "host_budget"):
        with pytest.raises(ParameterSourceError, match=f"swapnet: {name}: not a size: 'lots'"):
            start_host(swapnet={name: "lots"})
    with pytest.raises(InputError, match="host_budget is for device='cuda'"):
        start_host(swapnet={"host_budget": "1GiB"})
    with pytest.raises(ParameterSourceError) as caught:
        start_host(object_detection={"network": "yolov33"})
    (problem,) = caught.value.problems
    assert "object_detection: network: there is no detection network 'yolov33'" in problem
    assert "parameters.yaml:" in problem


@pytest.mark.ros
def test_closing_accounts_for_every_frame_and_plans_no_more(
    robot, start_host, detector_parameters, street_message, monkeypatch
):
    nodes = ["object_detection", "second=object_detection"]
    second = {**detector_parameters, "cuda_graphs": True}
    host = start_host(swapnet={"nodes": nodes}, second=second)
    for name in ("object_detection", "second"):
        robot.wait_for_state("active", name)
    robot.show(street_message)
    assert robot.values("/second")["cuda_graphs"] == "the device has no graphs"
    tasks, planned = host.tasks, []
    monkeypatch.setattr(SwapRuntime, "_replan", lambda runtime: planned.append(runtime))
    for _ in range(5):
        robot.camera().publish(street_message)
    host.close()
    assert not planned
    assert host.tasks == ()
    for task in tasks:
        counts = asdict(task.counts)
        assert counts.pop("received") == sum(counts.values()) > 0
        assert counts["failed"] == 0


class Process:
    """The executable, as an operating system starts it."""

    def __init__(self, folder: Path, parameters: dict, domain_id: int) -> None:
        path = folder / "process.yaml"
        sections = {f"/{node}": {"ros__parameters": p} for node, p in parameters.items()}
        path.write_text(yaml.safe_dump(sections))
        self.process = subprocess.Popen(
            [sys.executable, str(PERCEPTION), "--ros-args", "--params-file", str(path)],
            env={**os.environ, "ROS_DOMAIN_ID": str(domain_id)},
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self) -> str:
        """Wait for the end and give what was written to stderr."""
        return self.process.communicate(timeout=60)[1]


@pytest.fixture
def start_process(tmp_path, domain_id):
    started = []

    def start(parameters: dict) -> Process:
        started.append(Process(tmp_path, parameters, domain_id))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
        each.process.communicate()


@pytest.mark.ros
@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_a_signal_ends_the_process_cleanly_with_frames_in_flight(
    start_process, robot, cache_dir, detector_parameters, street_message, number
):
    swapnet = {"budget": "64MiB", "device": "cpu", "cache_dir": str(cache_dir)}
    started = start_process({"swapnet": swapnet, "object_detection": detector_parameters})
    robot.wait_for_state("active")
    robot.show(street_message)
    for _ in range(20):
        robot.camera().publish(street_message)
    started.process.send_signal(number)
    errors = started.finish()
    assert started.process.returncode == 0, errors
    assert "Traceback" not in errors


@pytest.mark.ros
def test_a_process_that_cannot_start_says_why(start_process):
    started = start_process({"swapnet": {"budgt": "64MiB"}})
    errors = started.finish()
    assert started.process.returncode == 2
    assert "no parameter 'budgt'; did you mean 'budget'?" in errors
    assert "Traceback" not in errors


@pytest.mark.ros
def test_a_signal_while_a_network_loads_ends_the_process_cleanly(start_process, tmp_path):
    swapnet = {"budget": "1GiB", "device": "cpu", "cache_dir": str(tmp_path)}
    started = start_process({"swapnet": swapnet, "object_detection": {"network": "yolov3-tiny"}})
    assert "budget 1GiB" in started.process.stderr.readline()
    started.process.send_signal(signal.SIGTERM)
    errors = started.finish()
    assert started.process.returncode == 0, errors
    assert "Traceback" not in errors


def catches(process: subprocess.Popen, number: signal.Signals) -> bool:
    """Whether the process has a handler for a signal."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    caught = next(line.split()[1] for line in lines if line.startswith("SigCgt"))
    return bool(int(caught, 16) >> (number - 1) & 1)


@pytest.mark.ros
def test_a_signal_during_the_imports_ends_the_process_cleanly(start_process, wait_until):
    started = start_process({})
    wait_until(lambda: catches(started.process, signal.SIGTERM), "a handler for SIGTERM")
    started.process.send_signal(signal.SIGTERM)
    errors = started.finish()
    assert started.process.returncode == 0, errors
    assert not errors
