"""`swapnet evaluate --mode replay` over real DDS: the real nodes, with small networks."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from swapnet_ros.evaluation.bags.writer import BagWriter

pytestmark = pytest.mark.ros

_IMAGES, _LIMIT_S = 8, 240.0
_BEGIN_NS, _STEP_NS = 1_700_000_000_000_000_000, 250_000_000
_NETWORKS = Path(__file__).parents[1] / "nodes"  # has small_networks.py
_SCENARIO = """
/**/swapnet:
  ros__parameters: {budget: 8MiB, nodes: [lights=traffic_light_classification, lane_detection]}
/**/lights: {ros__parameters: {network: "small_networks:Brightness"}}
/**/lane_detection:
  ros__parameters: {network: "small_networks:BrightLines", outputs: area_mask}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A bag of dark and bright images in turn, labels of the first six, and a scenario."""
    folder = tmp_path_factory.mktemp("site")
    with BagWriter(folder / "bag") as writer:
        for number in range(_IMAGES):
            image = np.full((32, 48, 3), 235 if number % 2 else 20, np.uint8)
            image[10:, 4 * number : 4 * number + 8] = 255
            facts = {"stamp_ns": _BEGIN_NS + number * _STEP_NS, "frame_id": "camera"}
            writer.write_image("/camera/image_raw", image, **facts)
    (folder / "scenario.yaml").write_text(_SCENARIO)
    rows = [f"{_BEGIN_NS + number * _STEP_NS},bright" for number in range(6)]
    (folder / "classes.csv").write_text("file,label\n" + "\n".join(rows))
    return folder


@pytest.fixture
def start(site, tmp_path, domain_id):
    """Start replays as processes of their own; those that still run at the end are killed."""
    from ament_index_python.packages import get_package_prefix

    program = Path(get_package_prefix("swapnet_ros"), "bin", "swapnet")
    started = []
    # A shell's background job ignores SIGINT, and so would the replay; a terminal's does not.
    at_interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)

    def start(*options):
        words = ["evaluate", site / "bag", "--config", site / "scenario.yaml", "--mode", "replay"]
        words += ["--out", tmp_path / "report", *options]
        path = [str(_NETWORKS), os.environ.get("PYTHONPATH", "")]
        replay = subprocess.Popen(
            [program, *map(str, words)],
            env={
                **os.environ,
                "XDG_CACHE_HOME": str(site / "cache"),
                "PYTHONPATH": os.pathsep.join(path),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(replay)
        return replay

    yield start
    signal.signal(signal.SIGINT, at_interrupt)
    for replay in started:
        replay.kill()
        replay.wait()
        replay.stdout.close()


def _finish(replay):
    output, _ = replay.communicate(timeout=_LIMIT_S)
    return replay.returncode, output


def _children(replay):
    """Map the names of a replay's children to their process ids."""
    pids = Path(f"/proc/{replay.pid}/task/{replay.pid}/children").read_text(encoding="ascii")
    found = {}
    for child in map(int, pids.split()):
        words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
        names = [Path(word.decode()).name for word in words[:2]]
        found |= {name: child for name in names if name in ("perception", "bag_player")}
    return found


def _wait_for_second_image(replay, ros):
    """Return the replay's children once the bag's time is past its second image."""
    from rclpy.node import Node
    from rosgraph_msgs.msg import Clock

    from swapnet_ros.replay.bag_player import CLOCK_QOS

    times_ns = [0]
    node = Node("watch")
    node.create_subscription(
        Clock,
        "/clock",
        lambda message: times_ns.append(message.clock.sec * 10**9 + message.clock.nanosec),
        CLOCK_QOS,
    )
    ros.add_node(node)
    end_s = time.monotonic() + _LIMIT_S
    while times_ns[-1] < _BEGIN_NS + 1.2 * _STEP_NS:
        assert replay.poll() is None, _finish(replay)
        assert time.monotonic() < end_s
        ros.spin_once(timeout_sec=0.05)
    node.destroy_node()
    return _children(replay)


def _require_accounts(figures):
    for task in figures["tasks"].values():
        assert task["played"] == figures["frames_played"]
        lost = task["drops"]["lost_in_transport"]
        assert task["received"] == task["played"] - lost
        assert task["received"] == task["published"] + sum(task["drops"].values()) - lost


@pytest.fixture
def replay_here(site, tmp_path, domain_id, monkeypatch, capsys):
    """Run a replay from this process, which spares the seconds of one more process's imports."""
    from ament_index_python.packages import get_package_share_directory

    from swapnet_ros.cli.app import main
    from swapnet_ros.nodes.dds_environment import prefer_shared_memory

    variables = {**os.environ, "XDG_CACHE_HOME": str(site / "cache")}
    variables["PYTHONPATH"] = os.pathsep.join([str(_NETWORKS), variables.get("PYTHONPATH", "")])
    share = Path(get_package_share_directory("swapnet_ros"))
    prefer_shared_memory(share / "config" / "fastdds_shared_memory.xml", variables)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)  # what the replay would set stays in this test
    monkeypatch.syspath_prepend(str(_NETWORKS))

    def replay(*options):
        words = ["evaluate", site / "bag", "--config", site / "scenario.yaml", "--mode", "replay"]
        words += ["--out", tmp_path / "report", *options]
        monkeypatch.setattr(sys, "argv", ["swapnet", *map(str, words)])
        exit_code = 0
        try:
            main()
        except SystemExit as ended:
            exit_code = ended.code or 0
        printed = capsys.readouterr()
        return exit_code, printed.out + printed.err

    return replay


def test_all_images_are_answered_and_the_figures_add_up(replay_here, site, tmp_path):
    out = tmp_path / "report"
    exit_code, output = replay_here("--labels", site / "classes.csv")
    assert exit_code == 0, output
    assert "8 images played, complete" in output

    figures = json.loads((out / "figures.json").read_text())
    assert (figures["mode"], figures["complete"], figures["rate"]) == ("replay", True, 1.0)
    assert figures["frames_played"] == figures["frames_done"] == _IMAGES
    assert figures["core_peak_bytes"] <= figures["budget_bytes"] == 8 << 20
    _require_accounts(figures)
    assert [row["drop_share"] for row in figures["rates"]] == [0.0]
    for task in figures["tasks"].values():
        assert task["published"] == _IMAGES
        assert task["latency_s"]["count"] == _IMAGES
        assert 0 < task["latency_s"]["p50"] <= task["latency_s"]["max"]
        assert task["labelled"] == {"frames": 6, "answered": 6}
        assert task["unmatched"] == 0

    results = json.loads((out / "results.json").read_text())
    stamps = [frame["stamp_ns"] for frame in results["frames"]]
    assert stamps == [_BEGIN_NS + number * _STEP_NS for number in range(_IMAGES)]
    lights = [frame["results"]["lights"]["regions"][0] for frame in results["frames"]]
    assert [each["classes"][0]["label"] for each in lights] == ["dark", "bright"] * 4
    assert all("ego_lane" in frame["results"]["lane_detection"] for frame in results["frames"])
    assert results["accuracy"]["lights"]["top_1"] == 0.5
    with (out / "timings.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * _IMAGES
    with (out / "memory.csv").open() as file:
        samples = list(csv.DictReader(file))
    assert len(samples) > 5
    assert all(int(each["core_bytes"]) <= int(each["budget_bytes"]) for each in samples)
    assert len(list((out / "samples").glob("*.jpg"))) == 2 * _IMAGES
    timelines = json.loads((out / "timeline.json").read_text())
    assert timelines.keys() == figures["tasks"].keys()
    assert all(each["uses"] for each in timelines.values())
    curve = json.loads((out / "curve.json").read_text())
    assert all(point["latency_s"].keys() == timelines.keys() for point in curve["points"])
    page = (out / "report.html").read_text()
    assert "replay mode" in page
    assert "The last inference of each task as it was measured" in page
    assert "what <code>swapnet plan</code> predicts" in page


@pytest.mark.slow  # a second process evaluates in direct mode
def test_live_results_are_those_of_the_plain_networks(start, tmp_path):
    exit_code, output = _finish(start("--rates", "1,2", "--against", "unlimited", "--json"))
    assert exit_code == 0, output
    comparison = json.loads((tmp_path / "report" / "comparison.json").read_text())
    found = comparison["runs"][0]["against_reference"]
    assert (found["frames"], found["different"], found["is_accuracy_equal"]) == (8, 0, True)
    figures = json.loads((tmp_path / "report" / "figures.json").read_text())
    assert [row["rate"] for row in figures["rates"]] == [1.0, 2.0]
    _require_accounts(figures)


@pytest.mark.slow
def test_an_interrupt_leaves_a_report_of_what_was_played_and_no_process(start, ros, tmp_path):
    replay = start("--rate", "0.1")  # twenty seconds
    children = _wait_for_second_image(replay, ros)
    assert children.keys() == {"perception", "bag_player"}
    replay.send_signal(signal.SIGINT)
    exit_code, output = _finish(replay)
    assert exit_code == 130, output
    assert "the report is of these" in output
    assert not [pid for pid in children.values() if Path(f"/proc/{pid}").exists()]
    figures = json.loads((tmp_path / "report" / "figures.json").read_text())
    assert figures["complete"] is False
    assert 0 < figures["frames_played"] < _IMAGES
    _require_accounts(figures)
    results = json.loads((tmp_path / "report" / "results.json").read_text())
    assert len(results["frames"]) == figures["frames_done"]


@pytest.mark.slow
def test_a_crash_of_the_nodes_is_told_with_their_last_words(start, ros, tmp_path):
    replay = start("--rate", "0.1")
    children = _wait_for_second_image(replay, ros)
    os.kill(children["perception"], signal.SIGKILL)
    exit_code, output = _finish(replay)
    assert exit_code == 1, output
    assert "perception ended with exit code -9" in output
    assert "[lights]" in output  # of its log
    assert not Path(f"/proc/{children['bag_player']}").exists()
    figures = json.loads((tmp_path / "report" / "figures.json").read_text())
    assert figures["complete"] is False
