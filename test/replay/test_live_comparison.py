"""Live results against those of direct mode."""

from __future__ import annotations

import numpy as np
import pytest

from swapnet_ros.evaluation.direct.results_file import ResultsFile
from swapnet_ros.replay.live_comparison import compare_live

_SCORE = 0.1  # not a number of 32 bits


def _write(path, frames, accuracy):
    file = ResultsFile(path, {"format": "test"})
    for index, results in frames:
        place = {"frame": index, "topic": "/image", "index": index}
        file.append({**place, "results": results})
    file.finish({"accuracy": accuracy})
    file.close()
    return path


def _found(score, share=1 / 3):
    boxes = [{"label": "car", "score": score, "box": [0.1, 0.2, 0.3, 0.4]}]
    return {"boxes": {"detections": boxes}, "classes": {"shares": {"road": share}}}


@pytest.fixture
def reference(tmp_path):
    frames = [(index, _found(_SCORE)) for index in range(4)]
    frames[3][1]["classes"] = {"refused": "too small"}
    return _write(tmp_path / "reference.json", frames, {"boxes": {"map_50": 0.5}})


def test_equal_to_the_bits_of_messages_is_equal(reference, tmp_path):
    narrow = _found(float(np.float32(_SCORE)), float(np.float32(1 / 3)))
    frames = [(index, dict(narrow)) for index in range(4)]
    del frames[3][1]["classes"]  # refused there, so there is no message here
    live = _write(tmp_path / "live.json", frames, {"boxes": {"map_50": 0.5}})
    found = compare_live(live, reference)
    assert found.is_equal
    assert (found.frames, found.is_accuracy_equal) == (4, True)


def test_images_without_an_answer_are_no_difference_but_accuracy_is_of_others_then(
    reference, tmp_path
):
    live = _write(tmp_path / "live.json", [(2, _found(_SCORE))], {"boxes": {"map_50": 0.7}})
    found = compare_live(live, reference)
    assert found.is_equal
    assert (found.frames, found.is_accuracy_equal) == (1, None)


def test_another_digit_or_an_unknown_image_is_a_difference(reference, tmp_path):
    frames = [(1, _found(_SCORE + 1e-6)), (9, _found(_SCORE))]
    live = _write(tmp_path / "live.json", frames, {"boxes": {"map_50": 0.5}})
    found = compare_live(live, reference)
    assert not found.is_equal
    assert found.different == 2
    assert found.first_different == ((1, ("boxes",)), (9, ("boxes", "classes")))
