import io
import json

import numpy as np
import pytest
from rich.console import Console

from swapnet_ros.evaluation.annotated_video import write_annotated_video
from swapnet_ros.evaluation.drive_record import DriveRecord, FramePlayed, FrameResult
from swapnet_ros.evaluation.drive_view import LineView, LiveView, drive_view, figures_table
from swapnet_ros.evaluation.run_summary import write_summary
from swapnet_ros.evaluation.video_file import VideoReader, write_video
from swapnet_ros.perception.tasks.object_detection import Detection, DetectionResult

_WIDTH, _HEIGHT = 320, 240
_BOX = Detection(
    class_id=1, label="bicycle", score=0.8, x_min=100.0, y_min=60.0, x_max=200.0, y_max=140.0
)


def _record(*, processed):
    record = DriveRecord()
    for index in range(6):
        record.add_played(FramePlayed(stamp_ns=1000 + index, index=index))
    for index in processed:
        record.add_result(
            FrameResult(
                stamp_ns=1000 + index,
                received_ns=1000 + index + 80_000_000,
                in_node_s=0.07,
                inference_s=0.05,
                stall_s=0.0,
                detections=DetectionResult(detections=(_BOX,), width=_WIDTH, height=_HEIGHT),
            )
        )
    return record


@pytest.fixture
def video(tmp_path):
    grey = np.full((_HEIGHT, _WIDTH, 3), 128, np.uint8)
    path = tmp_path / "grey.mp4"
    write_video(path, [grey] * 6, width=_WIDTH, height=_HEIGHT, frame_rate_hz=10.0)
    return path


def test_the_video_shows_boxes_from_the_first_processed_frame_on(tmp_path, video):
    out = tmp_path / "drive.mp4"
    write_annotated_video(out, video, _record(processed=[2, 4]), title="net", track=iter)
    with VideoReader(out) as reader:
        assert reader.facts.frame_count == 6
        images = [reader.read().astype(int) for _ in range(6)]
    has_box = [bool(np.abs(image[60:140, 96:104] - 128).max() > 60) for image in images]
    assert has_box == [False, False, True, True, True, True]
    assert all(image[-8:].mean() < 110 for image in images)  # the strip


def test_the_summary_is_json_with_figures_configuration_and_machine(tmp_path):
    path = tmp_path / "summary.json"
    figures = _record(processed=[0]).figures()
    write_summary(
        path,
        figures=figures,
        configuration={"network": "net"},
        observed={"perception_process_peak_bytes": 5},
        is_complete=True,
    )
    summary = json.loads(path.read_text())
    assert summary["complete"] is True
    assert summary["figures"]["frames_played"] == 6
    assert summary["figures"]["latency"]["p50_s"] == pytest.approx(0.08)
    assert summary["observed"] == {"perception_process_peak_bytes": 5}
    assert summary["configuration"] == {"network": "net"}
    assert summary["machine"]["cores"] >= 1
    assert "numpy" in summary["versions"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["summary.json"]


def test_lines_are_printed_for_new_phases_and_then_now_and_then():
    output = io.StringIO()
    figures = _record(processed=[0]).figures()
    with LineView(Console(file=output, width=200)) as view:
        for phase in ("loading", "playing", "playing", "playing"):
            view.show(phase, figures)
    lines = output.getvalue().splitlines()
    assert [line.partition(":")[0] for line in lines] == ["loading", "playing"]
    assert "frames in 6" in lines[1]
    assert "80/80 ms" in lines[1]


def test_a_terminal_gets_a_live_table():
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with drive_view(console) as view:
        assert isinstance(view, LiveView)
        view.show("playing", _record(processed=[0]).figures())
    assert "frames in" in console.file.getvalue()
    assert isinstance(drive_view(Console(file=io.StringIO())), LineView)


def test_the_table_does_without_a_state_of_the_core():
    console = Console(file=io.StringIO(), width=100)
    console.print(figures_table("drive", DriveRecord().figures()))
    assert "processed" in console.file.getvalue()
