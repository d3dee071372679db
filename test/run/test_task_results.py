import numpy as np
import pytest

from swapnet_ros.evaluation.task_results import PackedSegmentation, draw_result, resize_result
from swapnet_ros.perception.tasks.image_classification import (
    ClassificationResult,
    ClassifiedRegion,
    ScoredClass,
)
from swapnet_ros.perception.tasks.lane_detection import Lane, LaneResult
from swapnet_ros.perception.tasks.object_detection import Detection, DetectionResult
from swapnet_ros.perception.tasks.semantic_segmentation import SegmentationResult

_SIZE = {"width": 80, "height": 40}
_BOX = {"x_min": 8.0, "y_min": 4.0, "x_max": 40.0, "y_max": 20.0}
_CLASS_MAP = np.repeat([[0, 1]], [20, 60], axis=1).repeat(40, axis=0).astype(np.uint8)
_SEGMENTATION = SegmentationResult(
    class_map=_CLASS_MAP, labels=("road", "sky"), shares=(0.25, 0.75), **_SIZE
)
_RESULTS = (
    DetectionResult(detections=(Detection(class_id=0, label="car", score=0.9, **_BOX),), **_SIZE),
    LaneResult(
        lanes=(Lane(points=np.float32([[20, 40], [30, 10]]), score=0.9, is_ego=True),),
        area=_CLASS_MAP == 0,
        **_SIZE,
    ),
    _SEGMENTATION,
    ClassificationResult(
        regions=(
            ClassifiedRegion(classes=(ScoredClass(class_id=1, label="stop", score=0.5),), **_BOX),
        ),
        **_SIZE,
    ),
)


@pytest.mark.parametrize("result", _RESULTS, ids=lambda result: type(result).__name__)
def test_a_resized_result_fits_the_resized_image(result):
    larger = resize_result(result, width=160, height=120)
    assert (larger.width, larger.height) == (160, 120)
    image = np.full((120, 160, 3), 100, np.uint8)
    assert (draw_result(image, larger) != image).any()
    assert (image == 100).all()


def test_what_a_result_says_stays_the_same():
    detection, lanes, segmentation, classes = (
        resize_result(result, width=160, height=120) for result in _RESULTS
    )
    (box,), (region,) = detection.detections, classes.regions
    for found in (box, region):
        assert (found.x_min, found.y_min, found.x_max, found.y_max) == (16, 12, 80, 60)
    assert lanes.lanes[0].points.tolist() == [[40, 120], [60, 30]]
    assert lanes.area.dtype == bool
    assert lanes.area.mean() == 0.25
    assert (segmentation.class_map == 1).mean() == 0.75


def test_a_packed_segmentation_is_small_and_comes_out_as_it_was():
    packed = PackedSegmentation.of(_SEGMENTATION)
    assert len(packed.packed) < _CLASS_MAP.size / 10
    unpacked = packed.unpack()
    assert (unpacked.class_map == _CLASS_MAP).all()
    assert (unpacked.labels, unpacked.shares) == (_SEGMENTATION.labels, _SEGMENTATION.shares)
