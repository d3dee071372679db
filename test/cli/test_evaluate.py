"""`swapnet evaluate` on a short bag with small networks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from swapnet_ros.evaluation.bags.writer import BagWriter

_NETWORKS = Path(__file__).parents[1] / "nodes"  # has small_networks.py
_SCENARIO = """
/**/swapnet:
  ros__parameters: {budget: 8MiB, nodes: [lights=traffic_light_classification, lane_detection]}
/**/lights: {ros__parameters: {network: "small_networks:Brightness", cameras: [left, right]}}
/**/lane_detection: {ros__parameters: {network: "small_networks:BrightLines", cameras: [right]}}
"""
_BRITTLE = """
from small_networks import Brightness
from swapnet_core import InputError
class Brittle(Brightness):
    def forward(self, image):
        if image.mean() > 0.5:
            raise InputError("too bright")
        return super().forward(image)
"""


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(_NETWORKS))
    monkeypatch.setenv("PYTHONPATH", str(_NETWORKS), prepend=":")
    path = tmp_path / "scenario.yaml"
    path.write_text(_SCENARIO)
    return path


@pytest.fixture
def bag(tmp_path):
    """Two cameras in turn: dark images on the left, bright ones on the right."""
    path = tmp_path / "bag"
    with BagWriter(path) as writer:
        for number in range(6):
            side, grey = (("left", 20), ("right", 235))[number % 2]
            image = np.full((32, 48, 3), grey, np.uint8)
            stamp_ns = 1_700_000_000_000_000_000 + number * 50_000_000
            writer.write_image(f"/{side}", image, stamp_ns=stamp_ns, frame_id=side)
    return path


def test_frames_go_to_the_tasks_of_their_cameras(swapnet, bag, config, tmp_path):
    out = tmp_path / "report"
    done = swapnet("evaluate", bag, "--config", config, "--out", out, "--json")
    assert done.exit_code == 0, done.errors
    outcome = json.loads(done.output)
    assert outcome["budget"] == "8MiB"
    frames = json.loads((out / "results.json").read_text())["frames"]
    tasks = [(frame["topic"], list(frame["results"])) for frame in frames]
    assert tasks == [("/left", ["lights"]), ("/right", ["lights", "lane_detection"])] * 3
    labels = [f["results"]["lights"]["regions"][0]["classes"][0]["label"] for f in frames]
    assert labels == ["dark", "bright"] * 3
    assert f"report: {out}/report.html" in done.errors
    page = (out / "report.html").read_text()
    assert "lane_detection" in page
    assert "what <code>swapnet plan</code> predicts" in page
    (out / "report.html").unlink()
    again = swapnet("report", out, "--out", tmp_path / "elsewhere/page.html")
    assert (again.exit_code, again.output.strip()) == (0, f"{tmp_path}/elsewhere/page.html")
    assert (tmp_path / "elsewhere/page.html").read_text() == page


def test_an_error_after_some_frames_leaves_a_page_of_these(
    swapnet, bag, config, tmp_path, monkeypatch
):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "brittle_network.py").write_text(_BRITTLE)
    config.write_text(_SCENARIO.replace("small_networks:Brightness", "brittle_network:Brittle"))
    out = tmp_path / "report"
    done = swapnet("evaluate", bag, "--config", config, "--out", out)
    assert done.exit_code == 2
    assert "error: too bright" in done.errors
    assert f"report: {out}/report.html" in done.errors
    assert "partial" in (out / "report.html").read_text()
    results = json.loads((out / "results.json").read_text())
    assert (results["complete"], results["frames_done"]) == (False, 1)  # the second one is bright


def test_an_error_before_the_first_frame_leaves_no_page(swapnet, bag, config, tmp_path):
    out = tmp_path / "report"
    done = swapnet("evaluate", bag, "--config", config, "--out", out, "--budget", "1KiB")
    assert done.exit_code == 2
    assert "report:" not in done.errors


def test_a_report_of_nothing_says_how_to_make_one(swapnet, tmp_path):
    done = swapnet("report", tmp_path)
    assert done.exit_code == 2
    assert "holds no evaluation" in done.errors
    assert "`swapnet evaluate BAG --config FILE --out FOLDER` makes one" in done.errors
    assert list(tmp_path.glob("*.html")) == []


def test_tables_name_the_tasks(swapnet, bag, config, tmp_path):
    done = swapnet("evaluate", bag, "--config", config, "--out", tmp_path / "report")
    assert done.exit_code == 0, done.errors
    for part in ("6 frames, complete", "lights", "lane_detection", "p50", "8.0 MiB"):
        assert part in done.output


def test_labels_from_a_file_are_scored_and_how_they_met_is_told(swapnet, bag, config, tmp_path):
    stamps = [1_700_000_000_000_000_000 + number * 50_000_000 for number in (1, 3)]
    rows = [f"{stamp},{label}" for stamp, label in zip(stamps, ("bright", "dark"), strict=True)]
    (tmp_path / "classes.csv").write_text("file,label\n" + "\n".join(rows))
    (tmp_path / "labels.yaml").write_text("sources: [{labels: classes.csv, images: /right}]")
    out = tmp_path / "report"
    words = ("--labels", tmp_path / "labels.yaml", "--out", out, "--json")
    done = swapnet("evaluate", bag, "--config", config, *words)
    assert done.exit_code == 0, done.errors
    outcome = json.loads(done.output)
    assert outcome["accuracy"]["lights"]["top_1"] == 0.5
    (met,) = outcome["labels"]["/right"]
    assert (met["frames"], met["matched"], met["tolerance_ns"]) == (3, 2, 50_000_000)


@pytest.mark.slow  # three processes
def test_budgets_are_compared_with_the_plain_networks(swapnet, bag, config, tmp_path):
    out = tmp_path / "report"
    words = ("--budgets", "8MiB,64MiB", "--against", "unlimited", "--json")
    done = swapnet("evaluate", bag, "--config", config, "--out", out, *words)
    assert done.exit_code == 0, done.errors
    comparison = json.loads(done.output)
    assert comparison == json.loads((out / "comparison.json").read_text())
    assert comparison["is_equal"] is True
    assert comparison["reference"] == "unlimited"
    assert [run["budget"] for run in comparison["runs"]] == ["8MiB", "64MiB", "unlimited"]
    first = (out / "results.json").read_bytes()
    assert (out / "64MiB/results.json").read_bytes() == first
    for name in ("report.html", "64MiB/report.html", "unlimited/report.html"):
        assert f"report: {out}/{name}" in done.errors
    assert "6 frames under 8MiB, against unlimited" in (out / "report.html").read_text()
    assert (out / "unlimited/results.json").read_bytes() == first


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--budget", "8MiB", "--budgets", "9MiB"), "--budget is one budget and --budgets are"),
        (("--budget", "much"), "not a size: 'much'"),
        (("--budgets", "8MiB,8MiB"), "a budget stands in 8MiB, 8MiB twice"),
        (("--against", "8MiB"), "--against takes `unlimited`, not '8MiB'"),
        (("--remap", "left"), "--remap left: write it as image:=/camera/front/image_raw"),
        (("--remap", "left:=/front"), "the bag has no images on /front; its image topics are"),
        (("--remap", "lights:left:=/front"), "the bag has no images on /front; its image"),
        (("--remap", "image:=/left"), "no task of the scenario listens to image; there are left,"),
        (("--labels", "/truth"), "--labels /truth: the bag has no such topic, and there is no"),
        (("--labels", "classes.csv"), "classes.csv could label the images of /left, /right"),
    ],
)
def test_what_does_not_go_together_is_refused(
    swapnet, bag, config, tmp_path, monkeypatch, words, message
):
    monkeypatch.chdir(tmp_path)
    Path("classes.csv").write_text("file,label\na,b\n")
    done = swapnet("evaluate", bag, "--config", config, "--out", tmp_path / "report", *words)
    assert done.exit_code == 2
    assert message in done.errors
    assert not (tmp_path / "report").exists()
