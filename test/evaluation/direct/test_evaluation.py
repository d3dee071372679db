"""Whole evaluations of a short bag: the same every time, stopped, killed and gone on with."""

from __future__ import annotations

import csv
import json
import signal

import pytest
from rich.console import Console

from swapnet_core.errors import InputError
from swapnet_ros.cli.evaluate_options import EvaluateOptions
from swapnet_ros.cli.evaluate_runs import compare_runs
from swapnet_ros.cli.evaluate_view import comparison_table
from swapnet_ros.evaluation.direct.comparison import compare_results
from swapnet_ros.evaluation.direct.scoring import Scoring

FRAMES = 6
_TASKS = {
    "fire_detection": "detections",
    "lane_detection": "lanes",
    "semantic_segmentation": "class_map_sha256",
    "traffic_sign_classification": "regions",
}


class _FirstFrames:
    """Knows the stamp of a topic's first frames, and remembers which frames it was asked for."""

    def __init__(self, count):
        self.asked = []
        self._count = count

    def find(self, topic, stamp_ns, *, name="", index=None):
        self.asked.append(index)
        return stamp_ns if index < self._count else None

    def reports(self):
        return {}


class _StampSum:
    """A scorer whose state can be told from its frames."""

    def __init__(self):
        self.total = 0

    def add(self, result, truth):
        self.total += truth % 1_000_000_007

    def summary(self):
        return {"total": self.total}

    def state(self):
        return self.total

    def restore(self, state):
        self.total = state


def _scoring():
    return Scoring(_FirstFrames(5), {"lane_detection": _StampSum()})


def _interrupt_at(number):
    return lambda done: signal.raise_signal(signal.SIGINT) if done == number else None


def _options(out):
    return EvaluateOptions(
        bag=out,
        config=out,
        out=out,
        budget=out.name,
        is_resumed=False,
        remaps=(),
        labels=(),
        cache_dir=None,
    )


def test_every_frame_gets_every_tasks_result_in_the_order_of_stamps(evaluate, tmp_path):
    evaluate("report")
    report = json.loads((tmp_path / "report/results.json").read_text())
    assert report["complete"] is True
    assert report["frames_done"] == len(report["frames"]) == FRAMES
    assert [frame["frame"] for frame in report["frames"]] == list(range(FRAMES))
    stamps = [frame["stamp_ns"] for frame in report["frames"]]
    assert stamps == sorted(stamps)
    for frame in report["frames"]:
        assert frame["results"].keys() == _TASKS.keys()
        for task, key in _TASKS.items():
            assert key in frame["results"][task]
    assert report["frames"][3]["width"] == 64
    assert report["tasks"]["traffic_sign_classification"]["detector"] == "fire_detection"
    assert {p["kind"] for p in report["problems"]} == {"mixed_sizes"}


def test_a_classifier_gets_the_boxes_that_its_detector_found_in_the_same_frame(evaluate, tmp_path):
    evaluate("report")
    frames = json.loads((tmp_path / "report/results.json").read_text())["frames"]
    assert any(frame["results"]["fire_detection"]["detections"] for frame in frames)
    for frame in frames:
        boxes = [each["box"] for each in frame["results"]["fire_detection"]["detections"]]
        regions = frame["results"]["traffic_sign_classification"]["regions"]
        assert len(regions) == min(2, len(boxes))
        for region, box in zip(regions, boxes, strict=False):
            # widened to whole pixels
            assert all(abs(one - other) < 1 for one, other in zip(region["box"], box, strict=True))


def test_the_same_bag_gives_the_same_bytes_in_any_budget_and_without_the_core(evaluate, tmp_path):
    for name, budget in (("one", "8MiB"), ("two", "8MiB"), ("large", "1GiB")):
        evaluate(name, budget=budget)
    evaluate("plain", budget="unlimited")
    first = (tmp_path / "one/results.json").read_bytes()
    for name in ("two", "large", "plain"):
        assert (tmp_path / name / "results.json").read_bytes() == first
    assert compare_results(tmp_path / "one/results.json", tmp_path / "plain/results.json").is_equal


def test_figures_add_up(evaluate, tmp_path):
    outcome = evaluate("report")
    assert outcome["complete"] is True
    assert outcome["frames_done"] == FRAMES
    assert outcome["core_peak_bytes"] <= outcome["budget_bytes"] == 8 * 2**20
    for name, task in outcome["tasks"].items():
        assert task["frames"] == FRAMES
        assert task["inferences"] > 0
        assert task["inferences"] == FRAMES or name == "traffic_sign_classification"
        latency = task["inference_s"]
        assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["max"]
    with (tmp_path / "report/timings.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == FRAMES * len(_TASKS)
    reads = sum(int(row["read_bytes"]) for row in rows)
    assert reads == sum(task["read_bytes"] for task in outcome["tasks"].values())
    for key in ("machine", "versions", "cache", "commit", "configuration", "storage"):
        assert key in outcome


def test_ctrl_c_leaves_a_valid_report_and_resume_ends_in_the_same_bytes(evaluate, tmp_path):
    evaluate("whole", scoring=_scoring())
    stopped = evaluate("parts", scoring=_scoring(), after=_interrupt_at(2))
    assert stopped["complete"] is False
    report = json.loads((tmp_path / "parts/results.json").read_text())
    assert len(report["frames"]) == report["frames_done"] == 2
    assert report["accuracy"]["lane_detection"]["total"] > 0
    evaluate("parts", scoring=_scoring(), after=_interrupt_at(4), is_resumed=True)
    scoring = _scoring()
    ended = evaluate("parts", scoring=scoring, is_resumed=True)
    assert ended["complete"] is True
    assert ended["tasks"]["lane_detection"]["frames"] == FRAMES
    parts, whole = tmp_path / "parts/results.json", tmp_path / "whole/results.json"
    assert parts.read_bytes() == whole.read_bytes()
    assert scoring._truth.asked == list(range(FRAMES))  # labels on topics come in order


def test_a_report_that_breaks_off_is_valid_and_resume_ends_in_the_same_bytes(evaluate, tmp_path):
    class PowerCutError(Exception):
        pass

    def cut(done):
        if done == 3:
            raise PowerCutError

    evaluate("whole")
    with pytest.raises(PowerCutError):
        evaluate("parts", after=cut)
    report = json.loads((tmp_path / "parts/results.json").read_text())
    assert report["complete"] is False
    assert len(report["frames"]) == 3
    evaluate("parts", is_resumed=True)
    parts, whole = tmp_path / "parts/results.json", tmp_path / "whole/results.json"
    assert parts.read_bytes() == whole.read_bytes()


def test_a_complete_report_is_not_run_again_by_resume(evaluate, tmp_path):
    handler = signal.getsignal(signal.SIGINT)
    before = evaluate("report")
    assert signal.getsignal(signal.SIGINT) is handler
    again = evaluate("report", is_resumed=True, after=lambda _: pytest.fail("a frame was run"))
    assert again == before


def test_a_stopped_report_is_neither_lost_nor_mixed_with_another(evaluate, tmp_path):
    evaluate("report", after=_interrupt_at(1))
    with pytest.raises(InputError, match="stopped after 1 frames; --resume goes on"):
        evaluate("report")
    with pytest.raises(InputError, match="another budget and another labels"):
        evaluate("report", budget="9MiB", labels=["labels.json"], is_resumed=True)
    (tmp_path / "report/results.json").write_text("{}")
    with pytest.raises(InputError, match=r"results.json has 2 bytes, and had .* was changed"):
        evaluate("report", is_resumed=True)


def test_runs_are_compared_with_the_plain_one(evaluate, tmp_path):
    runs = []
    for budget in ("8MiB", "unlimited"):
        evaluate(budget, budget=budget)
        runs.append(_options(tmp_path / budget))
    comparison = compare_runs(runs)
    assert comparison == json.loads((tmp_path / "8MiB/comparison.json").read_text())
    assert comparison["reference"] == "unlimited"
    assert comparison["is_equal"] is True
    swapped, plain = comparison["runs"]
    assert swapped["against_reference"]["frames"] == FRAMES
    assert swapped["against_reference"]["different"] == 0
    assert plain["budget_bytes"] is None
    console = Console(record=True, width=200)
    console.print(comparison_table(comparison))
    assert "the same" in console.export_text()
