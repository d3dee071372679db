from __future__ import annotations

import pytest

from swapnet_core.errors import InputError
from swapnet_ros.evaluation.direct.beginning import find_beginning
from swapnet_ros.evaluation.direct.progress_file import Progress, write_progress
from swapnet_ros.evaluation.direct.report_folder import ReportFolder
from swapnet_ros.evaluation.direct.request import DirectRequest


def _find(bag, out, *, is_resumed=False):
    request = DirectRequest(bag=bag, out=out, tasks=(), budget="8MiB", is_resumed=is_resumed)
    return find_beginning(request, ReportFolder(path=out))


@pytest.mark.parametrize("bag", ["out", "out/bag.mcap", "out/results_bag", "out/results_bag/a.db3"])
def test_a_report_does_not_come_over_its_bag(tmp_path, bag):
    with pytest.raises(InputError, match="belongs to the bag; name another folder with --out"):
        _find(tmp_path / bag, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_report_below_the_bag_can_be_gone_on_with(tmp_path):
    (tmp_path / "bag.mcap").touch()
    begin = _find(tmp_path, tmp_path / "report")
    write_progress(tmp_path / "report/progress.json", Progress(setup=begin.setup, frames=3))
    assert _find(tmp_path, tmp_path / "report", is_resumed=True).frames == 3


def test_a_place_where_there_can_be_no_folder(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"--out .*/file: the folder cannot be made: File exists"):
        _find(tmp_path / "bag.mcap", tmp_path / "file")


def test_progress_that_cannot_be_read_is_not_started_over_by_mistake(tmp_path):
    (tmp_path / "bag.mcap").touch()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/progress.json").write_text("{")
    with pytest.raises(InputError, match=r"progress.json cannot be read: .*; remove it to start"):
        _find(tmp_path / "bag.mcap", tmp_path / "out")
