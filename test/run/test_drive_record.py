import dataclasses

import pytest

from swapnet_ros.evaluation.drive_figures import CoreFigures, CoreState, ModelFigures
from swapnet_ros.evaluation.drive_record import DriveRecord, FramePlayed, FrameResult
from swapnet_ros.perception.tasks.object_detection import DetectionResult

_MS = 1_000_000
_TASK, _OTHER = "object_detection", "lane_detection"


def _result(stamp_ms, latency_ms, *, compute_s=0.03, stall_s=0.01):
    return FrameResult(
        stamp_ns=stamp_ms * _MS,
        received_ns=(stamp_ms + latency_ms) * _MS,
        inferred_ns=(stamp_ms + latency_ms) * _MS,
        in_node_s=0.05,
        inference_s=0.045,
        compute_s=compute_s,
        stall_s=stall_s,
        kept=DetectionResult(detections=(), width=64, height=48),
    )


_MODEL = ModelFigures(
    demand_bytes=232,
    weight_bytes=200,
    activation_bytes=30,
    resident_bytes=60,
    streamed_bytes=140,
    planned_peak_bytes=96,
    predicted_latency_s=0.1,
    inferences=0,
    bytes_read=0,
    faults=0,
)
_CORE = CoreFigures(
    budget_bytes=100,
    leased_bytes=90,
    peak_bytes=95,
    demand_bytes=372,
    read_bandwidth_bytes_per_s=1e9,
    is_direct_io=True,
)


def _state(**changes):
    model = dataclasses.replace(_MODEL, **changes)
    return CoreState(received_ns=0, core=_CORE, models={_TASK: model})


def _record():
    return DriveRecord([_TASK, _OTHER])


def _of(record):
    return record.figures().tasks[_TASK]


def _played(record, *stamps_ms):
    for index, stamp in enumerate(stamps_ms):
        record.add_played(FramePlayed(stamp_ns=stamp * _MS, index=index))


def test_an_empty_drive_has_no_latency_and_no_rates():
    figures = _record().figures()
    assert figures.frames_played == 0
    assert figures.core is None
    assert set(figures.tasks) == {_TASK, _OTHER}
    for task in figures.tasks.values():
        assert (task.frames_processed, task.frames_dropped) == (0, 0)
        assert task.latency is None
        assert task.model is None
        assert task.processed_hz == 0.0


def test_frames_older_than_the_newest_result_without_one_were_dropped():
    record = _record()
    _played(record, 0, 100, 200, 300, 400)
    record.add_result(_TASK, _result(0, 50))
    record.add_result(_TASK, _result(300, 50))
    figures = _of(record)
    assert figures.frames_processed == 2
    assert figures.frames_dropped == 2  # 100 and 200; 400 may still be in hand


def test_a_result_may_arrive_before_the_note_of_its_frame():
    record = _record()
    record.add_result(_TASK, _result(100, 50))
    assert _of(record).frames_processed == 0
    _played(record, 100)
    assert _of(record).frames_processed == 1


def test_a_result_of_some_other_camera_is_not_counted():
    record = _record()
    _played(record, 0, 100)
    record.add_result(_TASK, _result(50, 10))
    assert _of(record).frames_processed == 0
    assert not record.results(_TASK)


def test_latency_runs_from_the_stamp_to_the_arrival():
    record = _record()
    _played(record, 0, 1000, 2000)
    for stamp, latency in ((0, 100), (1000, 200), (2000, 300)):
        record.add_result(_TASK, _result(stamp, latency))
    figures = _of(record)
    assert figures.latency.p50_s == pytest.approx(0.2)
    assert 0.29 < figures.latency.p99_s <= 0.3
    assert figures.processed_hz == pytest.approx(2 / 2.2)
    assert figures.stall_share == pytest.approx(0.25)
    assert figures.running.p50_s == pytest.approx(0.04)
    assert record.figures().tasks[_OTHER].latency is None


def test_reads_are_counted_from_the_last_state_before_the_first_result():
    record = _record()
    _played(record, 0)
    record.add_state(_state(bytes_read=500, inferences=1))
    record.add_state(_state(bytes_read=640, inferences=2))
    record.add_result(_TASK, _result(0, 10))
    assert _of(record).bytes_read_per_frame is None
    record.add_state(_state(bytes_read=920, inferences=4))
    assert _of(record).bytes_read_per_frame == 140
    assert _of(record).model.bytes_read == 920


def test_frames_stand_in_the_order_of_their_stamps():
    record = _record()
    for stamp, index in ((300, 3), (100, 1), (200, 2), (100, 1)):
        record.add_played(FramePlayed(stamp_ns=stamp, index=index))
    assert [frame.index for frame in record.played] == [1, 2, 3]


def test_the_demand_is_what_the_core_tells_of_all_networks_together():
    record = _record()
    assert record.figures().demand_bytes == 0
    record.add_state(CoreState(received_ns=0, core=_CORE, models={_TASK: _MODEL}))
    assert record.figures().demand_bytes == 372


def test_a_task_tells_its_network():
    record = _record()
    record.add_network(_TASK, "yolov3", is_random=True)
    assert (_of(record).network, _of(record).is_random) == ("yolov3", True)
