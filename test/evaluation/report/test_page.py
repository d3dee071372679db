"""The page says what the files say, in words and numbers; and it needs nothing beside it."""

from __future__ import annotations

import json
import re

import pytest

from swapnet_core.errors import InputError
from swapnet_ros.evaluation.report.quantities import TIMES
from swapnet_ros.evaluation.report.run_reader import read_report

MIB = 2**20
SECTIONS = (
    *("summary", "tasks", "latency", "memory", "timeline", "budgets", "accuracy", "samples"),
    *("problems", "setup"),
)


def _run(budget, p50_s, **values):
    return {
        "budget": budget,
        "budget_bytes": None if budget == "unlimited" else 64 * MIB,
        "frames_per_s": 3.25,
        "process_peak_bytes": 99 * MIB,
        "core_peak_bytes": None,
        "folder": f"/made/elsewhere/{budget}",
        "is_exact": True,
        "tasks": {
            "cars": {
                "inference_s": dict.fromkeys(("p50", "p90", "p99"), p50_s),
                "read_bytes_per_inference": 7 * MIB,
            }
        },
        **values,
    }


def _difference(different):
    return {
        "frames": 5,
        "different": different,
        "first_different": [[3, ["cars"]]] if different else [],
        "is_accuracy_equal": True,
        "is_equal": not different,
    }


def _compare(evaluation, different, **values):
    rows = [
        _run("64MiB", 0.03, against_reference=_difference(different), **values),
        _run("unlimited", 0.02),
    ]
    comparison = {"reference": "unlimited", "is_equal": not different, "runs": rows}
    (evaluation.path / "comparison.json").write_text(json.dumps(comparison))


def test_every_figure_stands_in_its_section(evaluation):
    evaluation.write()
    page = evaluation.page()
    assert tuple(page.sections)[1:] == SECTIONS
    assert page.open == []
    expected = {
        "summary": "64.0 MiB|demand 148.0 MiB: 2.31 times|2.00 frames/s|2.5 s|20.0 ms|38.0 ms|12.5%"
        "|63.0 MiB|77.0 MiB|/bags/drive|self_driving.yaml|/camera: 5|64x48: 5|0.4 s|complete",
        "tasks": "yolov3|cars.weights|20.0 ms|30.0 ms|38.0 ms|40.0 ms|18.0 ms|26.0 ms|12.5%"
        "|90.0 MiB|60.0 MiB|30.0 MiB|11.0 MiB|49.0 MiB|41.0 MiB|exact",
        "latency": "cars|5 frames|latency, ms",
        "memory": "63.0 MiB at most, within its budget of 64.0 MiB|77.0 MiB|memory, MiB",
        "timeline": "took 30.0 ms, of which 4.0 ms stalled|1 block with 8.0 MiB|2 reads|11.0 MiB",
        "setup": "Test CPU 9000|0123456789abcdef|2.9.0|ext4|/dev/nvme0|500.0 MiB/s|800.0 MiB/s"
        '|8.0 GiB|0.2 ms|"config": "self_driving.yaml"',
    }
    for section, words in expected.items():
        for word in words.split("|"):
            assert word in page.sections[section] or word in page.sections[""], (section, word)
    assert "of which 4.0&nbsp;ms stalled" in page.html  # no line ends between the two


def test_accuracy_is_shown_by_task_and_class_and_with_the_way_labels_met(evaluation):
    evaluation.tail["accuracy"] = {
        "cars": {
            "frames": 5,
            "map_50": 0.4321,
            "map_50_95": None,
            "classes": {"vehicle": {"labelled_boxes": 332, "ap_50": 0.1234}},
            "only_in_labels": {"bike": 19},
            "only_found": ["boat"],
        },
        "signs": {"top_1": 0.75, "confusion": {"stop": {"stop": 3, "yield": 2}}},
    }
    met = {"frames": 5, "matched": 4, "largest_offset_ns": 2_000_000, "tolerance_ns": 50_000_000}
    evaluation.tail["labels"] = {
        "/camera": [{**met, "labels_read": 9, "labels_used": 4, "problems": {"torn": 1}}]
    }
    evaluation.write()
    page = evaluation.page()
    words = "0.4321|332|0.1234|bike (19)|boat|0.75|yield|4 of 5|4 of 9|50.0 ms|2.0 ms|torn (1)"
    for word in words.split("|"):
        assert word in page.sections["accuracy"], word
    assert "mAP at 0.5" in page.sections["summary"]
    assert "0.4321" in page.sections["summary"]


@pytest.mark.parametrize(
    ("different", "exact", "words"),
    [
        (0, True, ("equal", "5 frames under 64MiB, against unlimited", f"30.0 ms ({TIMES}1.50)")),
        (2, False, ("different", "2 of 5 frames", "layers run by tiles: the last bits")),
    ],
)
def test_a_comparison_says_whether_results_are_equal(evaluation, different, exact, words):
    evaluation.write()
    _compare(evaluation, different, is_exact=exact)
    page = evaluation.page()
    assert words[0] in page.sections["summary"]
    for word in words:
        assert word in page.sections["budgets"], word
    assert "3.25" in page.sections["budgets"]


def test_a_stopped_evaluation_says_that_it_is_partial(evaluation):
    evaluation.frames = 3
    evaluation.figures |= {"complete": False, "frames_done": 3, "frames_in_bag": 5}
    evaluation.tail["complete"] = False
    evaluation.write()
    page = evaluation.page()
    assert "partial" in page.sections[""]
    assert "stopped after 3 frames of 5" in page.sections["summary"]


@pytest.mark.parametrize("figures", ["none", "of an earlier sitting"])
def test_a_killed_evaluation_is_summed_up_from_its_timings(evaluation, figures):
    evaluation.tail = None
    if figures == "none":
        evaluation.figures = None
    else:
        evaluation.figures["frames_done"] = 2
    evaluation.write()
    page = evaluation.page()
    assert "summed up from timings.csv" in page.sections["summary"]
    assert "partial" in page.sections[""]
    assert "40.0 ms" in page.sections["tasks"]  # the median of the five
    assert "70.0 MiB" in page.sections["memory"]
    assert "The files do not name the machine." in page.sections["setup"]


def test_what_is_missing_is_said_and_no_part_is_empty(evaluation):
    evaluation.figures = evaluation.timeline = None
    evaluation.write()
    (evaluation.path / "timings.csv").unlink()
    page = evaluation.page()
    assert all(part.strip() for part in page.parts)
    for section, words in {
        "latency": "No inference of this task was timed",
        "memory": "Neither timings.csv nor memory.csv",
        "timeline": "There is no timeline.json",
        "budgets": "Nothing was compared",
        "accuracy": "No ground truth was given",
        "samples": "no frame was drawn",
    }.items():
        assert words in page.sections[section]


def test_files_that_cannot_be_read_are_named(evaluation):
    evaluation.write()
    (evaluation.path / "timeline.json").write_text('{"cars": ')
    (evaluation.path / "comparison.json").write_text("[]")
    (evaluation.path / "timings.csv").write_text("frame,task\n0,cars\n0,cars,x\nrubbish")
    page = evaluation.page()
    for name in ("timeline.json", "comparison.json", "timings.csv"):
        assert f"{name} cannot be read" in page.sections["summary"]
    (evaluation.path / "results.json").unlink()
    (evaluation.path / "figures.json").unlink()
    with pytest.raises(InputError, match=r"holds no evaluation: .* `swapnet evaluate BAG"):
        read_report(evaluation.path)


def test_refused_frames_and_problems_of_the_bag_are_listed(evaluation):
    evaluation.refused = {1: "a result of another size", 4: "another reason"}
    evaluation.tail["problems"] = [
        {"kind": "no_metadata", "topic": "", "count": 1, "sentence": "metadata.yaml is missing"}
    ]
    evaluation.write()
    page = evaluation.page()
    problems = page.sections["problems"]
    for word in ("no_metadata", "metadata.yaml is missing", "a result of another size"):
        assert word in problems
    assert re.search(r"cars\s*2\s*1\s*a result", " ".join(problems.split()))


def test_the_plain_networks_have_no_budget_and_no_timeline(evaluation):
    evaluation.figures |= {"budget": "unlimited", "budget_bytes": None}
    for key in ("demand_bytes", "core_peak_bytes", "storage"):
        del evaluation.figures[key]
    evaluation.figures["tasks"] = {
        name: {
            "weight_bytes": 60 * MIB,
            "is_exact": True,
            "frames": 5,
            "inference_s": task["inference_s"],
        }
        for name, task in evaluation.figures["tasks"].items()
    }
    evaluation.timeline = None
    evaluation.write()
    page = evaluation.page()
    assert "the plain networks, without the core" in page.sections["summary"]
    assert "nothing was read" in page.sections["timeline"]
    assert "There is no budget" in page.sections["memory"]
    assert "60.0 MiB" in page.sections["tasks"]


def test_nothing_in_the_files_becomes_markup(tmp_path, evaluation):
    hostile = "<script>alert('1')</script>\"><img src=x onerror=alert(2)>$x$ 車 & `b`"
    other = type(evaluation)(tmp_path / "hostile", tasks=(hostile,))
    other.figures["machine"]["processor"] = other.figures["commit"] = hostile
    other.figures["budget"] = hostile
    other.figures["configuration"]["command"] = {"bag": hostile, "config": hostile}
    other.tail["accuracy"] = {hostile: {"map_50": 1.0, "classes": {hostile: {hostile: 1}}}}
    other.tail["problems"] = [{"kind": hostile, "topic": hostile, "count": 1, "sentence": hostile}]
    other.write()
    page = other.page()
    assert page.open == []
    assert not {"script", "img"} & {tag for tag, _ in page.tags}
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")], tag
    plain = hostile.replace("`", "")  # backticks become code in sentences
    for section in ("tasks", "accuracy", "setup"):
        assert hostile in page.sections[section]
    assert plain in page.sections["problems"] or hostile in page.sections["problems"]


def test_the_page_needs_nothing_beside_it(evaluation):
    evaluation.write()
    evaluation.write_samples()
    page = evaluation.page()
    ids = [attributes["id"] for _, attributes in page.tags if attributes.get("id")]
    assert len(ids) == len(set(ids))
    links = [
        attributes[name]
        for _, attributes in page.tags
        for name in ("href", "src", "xlink:href")
        if attributes.get(name)
    ]
    assert sum(link.startswith("data:image/jpeg;base64,/9j/") for link in links) == 2
    for link in links:
        assert link.startswith("data:") or link.removeprefix("#") in ids, link[:80]
    assert not re.search(r"@import|url\((?!#)", page.html)
    assert set(re.findall(r"url\(#([^)]+)\)", page.html)) <= set(ids)
    assert "default-src 'none'" in page.html


def test_a_long_evaluation_makes_no_longer_page(tmp_path, evaluation):
    longer = type(evaluation)(tmp_path / "long", frames=4000)
    evaluation.frames = evaluation.figures["frames_done"] = 400
    sizes = []
    for each in (evaluation, longer):
        each.write()
        sizes.append(len(each.page().html))
    assert sizes[1] < 1.2 * sizes[0]


def test_replay_mode_has_drops_parts_of_the_latency_and_play_rates(evaluation):
    part = {"mean": 0.004, "p50": 0.003, "p90": 0.005, "p99": 0.006, "max": 0.007}
    live = {f"{name}_s": part for name in ("latency", "queue", "stall", "compute")}
    live |= {"played": 210, "received": 200, "published": 180, "deadline_misses": 3}
    live |= {"drops": {"newest_wins": 15, "max_age": 5}, "drop_share": 0.1}
    evaluation.figures |= {"mode": "replay", "tasks": {"cars": live}, "highest_rate": 1.5}
    evaluation.figures["rates"] = [
        {"rate": rate, "drop_share": share, "tasks": {"cars": {"drop_share": share}}}
        for rate, share in ((1.0, 0.013), (2.0, 0.22))
    ]
    evaluation.write()
    rows = [f"{t}.0,{50 * MIB},{66 * MIB},{64 * MIB}" for t in range(5)]
    text = "t_s,core_bytes,process_bytes,budget_bytes\n" + "\n".join(rows)
    (evaluation.path / "memory.csv").write_text(text)
    (evaluation.path / "timings.csv").write_text(
        "task,latency_s,queue_s,stall_s,compute_s,publish_s\ncars,0.02,0,0.001,0.018,0.001\n"
    )
    page = evaluation.page()
    words = "3.0 ms|6.0 ms|210|200|180|10.0%|15|max age|1.3%|22.0%"
    for word in (*words.split("|"), f"{TIMES}1.5"):
        assert word in page.sections["live"], word
    assert "1.5 times" in page.sections["summary"]
    assert "time since the beginning, s" in page.sections["memory"]
