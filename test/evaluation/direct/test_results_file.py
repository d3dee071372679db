from __future__ import annotations

import json
import math
import resource
from contextlib import contextmanager

import pytest

from swapnet_core.errors import InputError
from swapnet_ros.evaluation.direct.comparison import compare_results
from swapnet_ros.evaluation.direct.results_file import ResultsFile, read_frames, read_tail
from swapnet_ros.evaluation.direct.whole_file import ReportError


def _record(number, **results):
    return {"frame": number, "text": '], "complete": }\n', "results": results}


def _write(path, records, tail):
    file = ResultsFile(path, {"format": "x"})
    for record in records:
        file.append(record)
    file.finish(tail)
    file.close()
    return path


@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_file_is_valid_after_every_frame_and_reads_back(tmp_path, count):
    path = tmp_path / "results.json"
    records = [_record(number, task={"score": 0.1 * number}) for number in range(count)]
    file = ResultsFile(path, {"format": "x"})
    for number, record in enumerate(records):
        assert len(json.loads(path.read_text())["frames"]) == number
        file.append(record)
        assert json.loads(path.read_text())["complete"] is False
    file.finish({"complete": True, "frames_done": count})
    file.close()
    expected = {"format": "x", "frames": records, "complete": True, "frames_done": count}
    assert json.loads(path.read_text()) == expected
    assert list(read_frames(path)) == records
    assert read_tail(path) == {"complete": True, "frames_done": count}


def test_going_on_gives_up_what_came_after_the_place(tmp_path):
    records = [_record(number) for number in range(4)]
    whole = _write(tmp_path / "whole.json", records, {"complete": True})
    path = tmp_path / "parts.json"
    file = ResultsFile(path, {"format": "x"})
    file.append(records[0])
    place = file.position
    file.append(_record(99, much="x" * 1000))
    file.finish({"complete": False, "long": "y" * 1000})
    file.close()
    file = ResultsFile(path, {"format": "x"}, resume_at=place)
    for record in records[1:]:
        file.append(record)
    file.finish({"complete": True})
    file.close()
    assert path.read_bytes() == whole.read_bytes()


def test_a_full_disk_leaves_the_frames_before_and_names_the_file(tmp_path):
    path = tmp_path / "results.json"
    file = ResultsFile(path, {"format": "x"})
    file.append(_record(0))
    place = file.position
    with _no_more_than(path.stat().st_size + 1000):
        with pytest.raises(ReportError, match=r"results.json cannot be written: .*--resume goes"):
            file.append(_record(1, much="x" * 2000))
        assert json.loads(path.read_text()) == {
            "format": "x",
            "frames": [_record(0)],
            "complete": False,
        }
        with pytest.raises(ReportError, match="cannot be written"):
            file.finish({"complete": True, "long": "y" * 2000})
        assert json.loads(path.read_text())["complete"] is False
    assert file.position == place
    file.append(_record(1))
    file.finish({"complete": True})
    file.close()
    assert list(read_frames(path)) == [_record(0), _record(1)]


def test_numbers_that_are_none_are_null(tmp_path):
    record = _record(0, task={"scores": [math.nan, 0.5], "box": (math.inf, 1)})
    path = _write(tmp_path / "results.json", [record], {"complete": True})
    (frame,) = json.loads(path.read_text())["frames"]
    assert frame["results"] == {"task": {"scores": [None, 0.5], "box": [None, 1]}}


@contextmanager
def _no_more_than(size_bytes):
    """No file can grow beyond a size, which the system refuses as it does when a disk is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_that_is_gone_cannot_be_gone_on_with(tmp_path):
    with pytest.raises(InputError, match=r"results.json is gone; start again without --resume"):
        ResultsFile(tmp_path / "results.json", {"format": "x"}, resume_at=10)


def test_a_comparison_names_the_frames_and_tasks_that_differ(tmp_path):
    tail = {"complete": True, "accuracy": {"a": 1.0}}
    one = _write(tmp_path / "one.json", [_record(n, a=n, b=n) for n in range(3)], tail)
    other = [_record(0, a=0, b=0), _record(1, a=1, b=2)]
    two = _write(tmp_path / "two.json", other, tail)
    found = compare_results(one, two)
    assert (found.frames, found.different) == (3, 2)
    assert found.first_different == ((1, ("b",)), (2, ("a", "b")))
    assert found.is_accuracy_equal
    assert not found.is_equal
    assert compare_results(one, one).is_equal
