"""Whole evaluations of a short bag: the same every time, stopped, killed and gone on with."""

from __future__ import annotations

import csv
import json
import signal

import cv2
import pytest
from rich.console import Console

from swapnet_core.errors import InputError
from swapnet_ros.cli.evaluate_options import EvaluateOptions
from swapnet_ros.cli.evaluate_runs import compare_runs
from swapnet_ros.cli.evaluate_view import comparison_table
from swapnet_ros.evaluation.bags.reader import BagReader

FRAMES = 6
RECORDED = "results_bag/results_bag.mcap"
_TASKS = {
    "fire_detection": "detections",
    "lane_detection": "lanes",
    "semantic_segmentation": "class_map_sha256",
    "traffic_sign_classification": "regions",
}


def _interrupt_at(number):
    return lambda done: signal.raise_signal(signal.SIGINT) if done == number else None


def _options(out):
    return EvaluateOptions(
        bag=out,
        config=out,
        out=out,
        budget=out.name,
        is_resumed=False,
        is_recorded=False,
        remaps=(),
        labels=(),
        cache_dir=None,
    )


def _samples(folder):
    return {path.name: path.read_bytes() for path in (folder / "samples").iterdir()}


def _report(folder):
    return json.loads((folder / "results.json").read_text())


def _recorded(folder):
    """Stamps of the debug images of one task."""
    with BagReader(folder / "results_bag") as reader:
        frames = list(reader.frames(["/lane_detection/debug_image/compressed"]))
        assert reader.problems == ()
    return [frame.stamp_ns for frame in frames]


def _check_same(folder, whole):
    """The report has the whole one's bytes, in its bag, too, and nothing is left beside it."""
    for name in ("results.json", RECORDED, "results_bag/metadata.yaml"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name
    assert _samples(folder) == _samples(whole)
    assert {path.name for path in folder.iterdir()} == {path.name for path in whole.iterdir()}


def _tear(file):
    """Leave of a bag what a killed process does: a part of its storage file, and no metadata."""
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    (file.parent / "metadata.yaml").unlink()


def test_every_frame_gets_every_tasks_result_in_the_order_of_stamps(whole):
    report = _report(whole)
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
    assert {p["kind"] for p in report["problems"]} == {"no_metadata"}


def test_a_classifier_gets_the_boxes_that_its_detector_found_in_the_same_frame(whole):
    frames = _report(whole)["frames"]
    assert any(frame["results"]["fire_detection"]["detections"] for frame in frames)
    for frame in frames:
        boxes = [each["box"] for each in frame["results"]["fire_detection"]["detections"]]
        regions = frame["results"]["traffic_sign_classification"]["regions"]
        assert len(regions) == min(2, len(boxes))
        for region, box in zip(regions, boxes, strict=False):
            # widened to whole pixels
            assert all(abs(one - other) < 1 for one, other in zip(region["box"], box, strict=True))


def test_the_same_bag_gives_the_same_bytes_in_any_budget_and_without_the_core(
    site, whole, tmp_path
):
    site.evaluate(tmp_path / "8MiB")
    site.evaluate(tmp_path / "1GiB", budget="1GiB")
    site.evaluate(tmp_path / "unlimited", budget="unlimited")
    first = (whole / "results.json").read_bytes()
    for name in ("8MiB", "1GiB", "unlimited"):
        assert (tmp_path / name / "results.json").read_bytes() == first
    comparison = compare_runs([_options(tmp_path / name) for name in ("8MiB", "unlimited")])
    assert comparison == json.loads((tmp_path / "8MiB/comparison.json").read_text())
    assert comparison["reference"] == "unlimited"
    assert comparison["is_equal"] is True
    swapped, plain = comparison["runs"]
    difference = swapped["against_reference"]
    assert (difference["frames"], difference["different"]) == (FRAMES, 0)
    assert plain["budget_bytes"] is None
    console = Console(record=True, width=80)
    console.print(comparison_table(comparison))
    shown = console.export_text()
    assert all(part in shown for part in ("the same", "traffic_sign_classification", "unlimited"))


def test_samples_are_drawn_into_frames_of_any_size(whole):
    samples = json.loads((whole / "samples/samples.json").read_text())["samples"]
    assert [each["frame"] for each in samples] == list(range(FRAMES))
    for sample in samples:
        assert {each["task"] for each in sample["pictures"]} == _TASKS.keys()
        for picture in sample["pictures"]:
            height, width = cv2.imread(str(whole / "samples" / picture["file"])).shape[:2]
            assert width == 448
            assert height == 336


def test_a_timeline_has_every_task_and_is_no_longer_than_its_inference(whole):
    timeline = json.loads((whole / "timeline.json").read_text())
    assert timeline.keys() == _TASKS.keys()
    for task in timeline.values():
        assert task["uses"][-1]["end_s"] == pytest.approx(task["latency_s"])
        streamed = {read["block"] for read in task["reads"]}
        assert all(block < len(task["block_bytes"]) for block in streamed)


def test_figures_add_up(whole):
    figures = json.loads((whole / "figures.json").read_text())
    assert figures["complete"] is True
    assert figures["frames_done"] == FRAMES
    assert figures["core_peak_bytes"] <= figures["budget_bytes"] == 8 * 2**20
    for name, task in figures["tasks"].items():
        assert task["frames"] == FRAMES
        assert task["inferences"] == FRAMES or name == "traffic_sign_classification"
        latency = task["inference_s"]
        assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["max"]
    with (whole / "timings.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == FRAMES * len(_TASKS)
    reads = sum(int(row["read_bytes"]) for row in rows)
    assert reads == sum(task["read_bytes"] for task in figures["tasks"].values())
    for key in ("machine", "versions", "cache", "commit", "configuration", "storage"):
        assert key in figures


def test_ctrl_c_leaves_a_valid_report_and_resume_ends_in_the_same_bytes(site, whole, tmp_path):
    handler = signal.getsignal(signal.SIGINT)
    stopped = site.evaluate(tmp_path, after=_interrupt_at(2), is_recorded=True)
    assert signal.getsignal(signal.SIGINT) is handler
    assert stopped["complete"] is False
    report = _report(tmp_path)
    assert len(report["frames"]) == report["frames_done"] == 2
    assert report["accuracy"]["lane_detection"]["total"] > 0
    assert len(_recorded(tmp_path)) == 2
    site.evaluate(tmp_path, after=_interrupt_at(4), is_resumed=True, is_recorded=True)
    ended = site.evaluate(tmp_path, is_resumed=True, is_recorded=True)
    assert ended["complete"] is True
    assert ended["tasks"]["lane_detection"]["frames"] == FRAMES
    _check_same(tmp_path, whole)
    again = site.evaluate(
        tmp_path,
        is_resumed=True,
        is_recorded=True,
        after=lambda _: pytest.fail("a complete report was run again"),
    )
    assert again == ended


def test_a_report_that_breaks_off_is_valid_and_resume_ends_in_the_same_bytes(site, whole, tmp_path):
    class PowerCutError(Exception):
        pass

    def cut(done):
        if done == 3:
            raise PowerCutError

    site.evaluate(tmp_path, after=_interrupt_at(2), is_recorded=True)
    with pytest.raises(PowerCutError):
        site.evaluate(tmp_path, after=cut, is_resumed=True, is_recorded=True)
    report = _report(tmp_path)
    assert report["complete"] is False
    assert len(report["frames"]) == 3
    _tear(tmp_path / RECORDED)
    site.evaluate(tmp_path, is_resumed=True, is_recorded=True)
    _check_same(tmp_path, whole)


def test_a_stopped_report_is_neither_lost_nor_mixed_with_another(site, tmp_path):
    site.evaluate(tmp_path, after=_interrupt_at(1))
    with pytest.raises(InputError, match="stopped after 1 frames; --resume goes on"):
        site.evaluate(tmp_path)
    with pytest.raises(InputError, match="another budget and another labels"):
        site.evaluate(tmp_path, budget="9MiB", labels=("labels.json",), is_resumed=True)
    with pytest.raises(InputError, match="had another --record,"):
        site.evaluate(tmp_path, is_resumed=True, is_recorded=True)
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(InputError, match=r"results.json has 2 bytes, and had .* was changed"):
        site.evaluate(tmp_path, is_resumed=True)
