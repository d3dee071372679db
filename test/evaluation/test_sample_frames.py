"""Which frames become samples, and what is kept of those that an earlier sitting has drawn."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swapnet_core.errors import StorageError
from swapnet_ros.evaluation.bags.source_frame import SourceFrame
from swapnet_ros.evaluation.sample_frames import MOST_SAMPLES, SampleFrames, choose_samples

_COUNTS = st.dictionaries(st.text("abc", min_size=1), st.integers(0, 10_000), max_size=12)


def _frame(index, topic="/camera"):
    image = np.zeros((30, 40, 3), np.uint8)
    return SourceFrame(topic=topic, stamp_ns=index, frame_id="", image=image, index=index)


def _kept(folder):
    samples = json.loads((folder / "samples/samples.json").read_text())["samples"]
    return [each["frame"] for each in samples]


@given(_COUNTS)
def test_every_camera_has_its_part_from_its_first_image_on(counts):
    chosen = choose_samples(counts)
    assert sum(map(len, chosen.values())) <= MOST_SAMPLES
    seen = [topic for topic, count in counts.items() if count]
    assert len(chosen) == min(len(seen), MOST_SAMPLES)
    for topic, numbers in chosen.items():
        assert 0 in numbers
        assert max(numbers) < counts[topic]
        share = MOST_SAMPLES // len(chosen)
        assert len(numbers) >= min(counts[topic], share)
        if share > 1 and counts[topic] > 1:
            assert counts[topic] - 1 in numbers


def test_samples_are_spread_evenly():
    (numbers,) = choose_samples({"/camera": 10_000}).values()
    gaps = np.diff(sorted(numbers))
    assert len(numbers) == MOST_SAMPLES
    assert gaps.max() - gaps.min() <= 1


def test_a_sitting_that_goes_on_keeps_what_it_counts_and_a_new_one_keeps_nothing(tmp_path):
    samples = SampleFrames(tmp_path / "samples/samples.json", {"/camera": 4})
    for number in range(4):
        assert samples.is_wanted(_frame(number))
        samples.keep(number, _frame(number), {"task": f"refused {number}"})
    (tmp_path / "samples/000003_task.jpg").write_bytes(b"left by an evaluation that was killed")
    (tmp_path / "samples/my_notes.jpg").write_bytes(b"not ours")
    SampleFrames(tmp_path / "samples/samples.json", {"/camera": 4}, frames_kept=2)
    assert _kept(tmp_path) == [0, 1]
    assert {path.name for path in (tmp_path / "samples").iterdir()} == {
        "my_notes.jpg",
        "samples.json",
    }
    SampleFrames(tmp_path / "samples/samples.json", {"/camera": 4})
    assert _kept(tmp_path) == []


def test_a_torn_list_is_begun_anew(tmp_path):
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples/samples.json").write_text('{"samples": [{"fra')
    SampleFrames(tmp_path / "samples/samples.json", {"/camera": 4}, frames_kept=2)
    assert _kept(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "samples").write_text("a file is in the way")
    with pytest.raises(StorageError, match="samples cannot be written to"):
        SampleFrames(tmp_path / "samples/samples.json", {"/camera": 4})
