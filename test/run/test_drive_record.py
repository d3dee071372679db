import dataclasses

import pytest

from swapnet_ros.evaluation.drive_record import DriveRecord, FramePlayed, FrameResult, SwapFigures
from swapnet_ros.perception.tasks.object_detection import Detection, DetectionResult

_MS = 1_000_000
_CAR = Detection(class_id=2, label="car", score=0.9, x_min=1.0, y_min=2.0, x_max=3.0, y_max=4.0)


def _result(stamp_ms, latency_ms, *, boxes=1, inference_s=0.04, stall_s=0.01):
    return FrameResult(
        stamp_ns=stamp_ms * _MS,
        received_ns=(stamp_ms + latency_ms) * _MS,
        in_node_s=0.05,
        inference_s=inference_s,
        stall_s=stall_s,
        detections=DetectionResult(detections=(_CAR,) * boxes, width=64, height=48),
    )


def _swap(**changes):
    facts = SwapFigures(
        budget_bytes=100,
        leased_bytes=90,
        peak_bytes=95,
        read_bandwidth_bytes_per_s=1e9,
        is_direct_io=True,
        demand_bytes=232,
        weight_bytes=200,
        resident_bytes=60,
        streamed_bytes=140,
        planned_peak_bytes=96,
        predicted_latency_s=0.1,
        inferences=0,
        bytes_read=0,
        faults=0,
    )
    return dataclasses.replace(facts, **changes)


def _played(record, *stamps_ms):
    for index, stamp in enumerate(stamps_ms):
        record.add_played(FramePlayed(stamp_ns=stamp * _MS, index=index))


def test_an_empty_drive_has_no_latency_and_no_rates():
    figures = DriveRecord().figures()
    assert (figures.frames_played, figures.frames_processed, figures.frames_dropped) == (0, 0, 0)
    assert figures.latency is None
    assert figures.swap is None
    assert figures.processed_hz == 0.0


def test_frames_older_than_the_newest_result_without_one_were_dropped():
    record = DriveRecord()
    _played(record, 0, 100, 200, 300, 400)
    record.add_result(_result(0, 50))
    record.add_result(_result(300, 50))
    figures = record.figures()
    assert figures.frames_processed == 2
    assert figures.frames_dropped == 2  # 100 and 200; 400 may still be in hand


def test_a_result_may_arrive_before_the_note_of_its_frame():
    record = DriveRecord()
    record.add_result(_result(100, 50))
    assert record.figures().frames_processed == 0
    _played(record, 100)
    assert record.figures().frames_processed == 1


def test_a_result_of_some_other_camera_is_not_counted():
    record = DriveRecord()
    _played(record, 0, 100)
    record.add_result(_result(50, 10))
    assert record.figures().frames_processed == 0
    assert not record.results


def test_latency_runs_from_the_stamp_to_the_arrival():
    record = DriveRecord()
    _played(record, 0, 1000, 2000)
    for stamp, latency in ((0, 100), (1000, 200), (2000, 300)):
        record.add_result(_result(stamp, latency))
    figures = record.figures()
    assert figures.latency.p50_s == pytest.approx(0.2)
    assert 0.29 < figures.latency.p99_s <= 0.3
    assert figures.processed_hz == pytest.approx(2 / 2.2)
    assert figures.stall_share == pytest.approx(0.25)
    assert figures.detection_count == 3


def test_reads_are_counted_from_the_last_state_before_the_first_result():
    record = DriveRecord()
    _played(record, 0)
    record.add_swap(_swap(bytes_read=500, inferences=1))
    record.add_swap(_swap(bytes_read=640, inferences=2))
    record.add_result(_result(0, 10))
    assert record.figures().bytes_read_per_frame is None
    record.add_swap(_swap(bytes_read=920, inferences=4))
    assert record.figures().bytes_read_per_frame == 140
    assert record.figures().swap.bytes_read == 920


def test_frames_stand_in_the_order_of_their_stamps():
    record = DriveRecord()
    for stamp, index in ((300, 3), (100, 1), (200, 2), (100, 1)):
        record.add_played(FramePlayed(stamp_ns=stamp, index=index))
    assert [frame.index for frame in record.played] == [1, 2, 3]
