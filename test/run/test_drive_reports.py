import io
import json

import numpy as np
import pytest
from rich.console import Console

from swapnet_ros.evaluation.drive_dashboard import HEADER_PX
from swapnet_ros.evaluation.drive_figures import CoreFigures, CoreState, ModelFigures
from swapnet_ros.evaluation.drive_record import DriveRecord, FramePlayed, FrameResult
from swapnet_ros.evaluation.drive_video import WIDTH_PX, PanelGrid, write_drive_video
from swapnet_ros.evaluation.drive_view import LineView, LiveView, drive_view, figures_tables
from swapnet_ros.evaluation.run_summary import write_summary
from swapnet_ros.evaluation.video_file import VideoReader, write_video
from swapnet_ros.perception.tasks.object_detection import Detection, DetectionResult

_WIDTH, _HEIGHT = 320, 180
_TASK, _OTHER = "object_detection", "lane_detection"
_BOX = Detection(
    class_id=1, label="bicycle", score=0.8, x_min=100.0, y_min=60.0, x_max=200.0, y_max=140.0
)
_MODEL = ModelFigures(
    demand_bytes=300 * 2**20,
    weight_bytes=200 * 2**20,
    activation_bytes=90 * 2**20,
    resident_bytes=0,
    streamed_bytes=200 * 2**20,
    planned_peak_bytes=90 * 2**20,
    predicted_latency_s=0.1,
    inferences=3,
    bytes_read=5,
    faults=0,
)
_CORE = CoreFigures(
    budget_bytes=100 * 2**20,
    leased_bytes=90 * 2**20,
    peak_bytes=95 * 2**20,
    demand_bytes=300 * 2**20,
    read_bandwidth_bytes_per_s=1e9,
    is_direct_io=True,
)


def _record(*, processed, tasks=(_TASK,)):
    record = DriveRecord(tasks)
    record.add_network(_TASK, "net", is_random=False)
    record.add_state(CoreState(received_ns=1000, core=_CORE, models={_TASK: _MODEL}))
    for index in range(6):
        record.add_played(FramePlayed(stamp_ns=1000 + index, index=index))
    for index in processed:
        received_ns = 1000 + index + 80_000_000
        result = FrameResult(
            stamp_ns=1000 + index,
            received_ns=received_ns,
            inferred_ns=received_ns,
            in_node_s=0.07,
            inference_s=0.05,
            compute_s=0.04,
            stall_s=0.0,
            kept=DetectionResult(detections=(_BOX,), width=_WIDTH, height=_HEIGHT),
        )
        record.add_result(_TASK, result)
    return record


@pytest.fixture
def video(tmp_path):
    grey = np.full((_HEIGHT, _WIDTH, 3), 128, np.uint8)
    path = tmp_path / "grey.mp4"
    write_video(path, [grey] * 6, width=_WIDTH, height=_HEIGHT, frame_rate_hz=10.0)
    return path


def test_the_video_shows_boxes_from_the_first_processed_frame_on(tmp_path, video):
    out = tmp_path / "drive.mp4"
    write_drive_video(out, video, _record(processed=[2, 4]), title="net", track=iter)
    with VideoReader(out) as reader:
        assert reader.facts.frame_count == 6
        assert reader.facts.width == WIDTH_PX
        images = [reader.read().astype(int) for _ in range(6)]
    scale = WIDTH_PX / _WIDTH
    rows = slice(HEADER_PX + round(80 * scale), HEADER_PX + round(120 * scale))
    edge = slice(round(100 * scale) - 6, round(100 * scale) + 6)
    has_box = [bool(np.abs(image[rows, edge] - 128).max() > 60) for image in images]
    assert has_box == [False, False, True, True, True, True]
    assert all(image[-8:].mean() < 60 for image in images)  # the footer


def test_a_task_without_results_has_its_panel_too(tmp_path, video):
    out = tmp_path / "drive.mp4"
    record = _record(processed=[1], tasks=(_TASK, _OTHER))
    write_drive_video(out, video, record, title="two", track=iter)
    with VideoReader(out) as reader:
        image = reader.read().astype(int)
    half = WIDTH_PX // 2
    middle = HEADER_PX + half * 9 // 32
    assert abs(image[middle, half // 2].mean() - 128) < 10
    assert abs(image[middle, half + half // 2].mean() - 128) < 10


@pytest.mark.parametrize(
    ("count", "columns", "rows"), [(1, 1, 1), (2, 2, 1), (3, 2, 2), (4, 2, 2), (5, 3, 2), (8, 3, 3)]
)
def test_panels_stand_in_a_grid_of_even_sizes(count, columns, rows):
    grid = PanelGrid.for_panels(count)
    assert (grid.columns, grid.rows) == (columns, rows)
    width, height = grid.panel
    assert width % 2 == height % 2 == 0
    panels = [np.zeros((height, width, 3), np.uint8)] * count
    assert grid.join(panels).shape == (rows * height, columns * width, 3)


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
    assert summary["figures"]["core"]["budget_bytes"] == 100 * 2**20
    task = summary["figures"]["tasks"][_TASK]
    assert task["latency"]["p50_s"] == pytest.approx(0.08)
    assert task["model"]["demand_bytes"] == 300 * 2**20
    assert summary["observed"] == {"perception_process_peak_bytes": 5}
    assert summary["configuration"] == {"network": "net"}
    assert summary["machine"]["cores"] >= 1
    assert "numpy" in summary["versions"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["summary.json"]


def test_lines_are_printed_for_new_phases_and_then_now_and_then():
    output = io.StringIO()
    figures = _record(processed=[0], tasks=(_TASK, _OTHER)).figures()
    with LineView(Console(file=output, width=200)) as view:
        for phase in ("loading", "playing", "playing", "playing"):
            view.show(phase, figures)
    lines = output.getvalue().splitlines()
    assert [line.partition(":")[0] for line in lines] == ["loading", "playing"]
    assert "frames in 6, memory 90.0 MiB of 100.0 MiB" in lines[1]
    assert "(0.00 Hz, 80/80 ms)" in lines[1]
    assert "lane_detection loading" in lines[1]


def test_a_terminal_gets_a_live_table():
    console = Console(file=io.StringIO(), force_terminal=True, width=140)
    with drive_view(console) as view:
        assert isinstance(view, LiveView)
        view.show("playing", _record(processed=[0]).figures())
    shown = console.file.getvalue()
    assert "6 frames in" in shown
    assert "object_detection" in shown
    assert "(3.00 x the budget)" in shown
    assert isinstance(drive_view(Console(file=io.StringIO())), LineView)


def test_the_table_does_without_a_state_of_the_core():
    console = Console(file=io.StringIO(), width=140)
    console.print(figures_tables("drive", DriveRecord([_TASK]).figures()))
    assert "object_detection" in console.file.getvalue()
