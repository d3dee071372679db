import numpy as np
import pytest

from swapnet_ros.evaluation.road_scene import RoadScene
from swapnet_ros.evaluation.road_scene.camera import RoadCamera, road_offset_m
from swapnet_ros.evaluation.road_scene.recording import record_road_scene
from swapnet_ros.evaluation.video_file import VideoReader


@pytest.fixture(scope="module")
def scene():
    return RoadScene(width=320, height=180, frame_rate_hz=5.0, duration_s=2.0)


def test_equal_arguments_give_equal_frames(scene):
    again = RoadScene(width=320, height=180, frame_rate_hz=5.0, duration_s=2.0)
    for index in (0, 7):
        np.testing.assert_array_equal(scene.frame(index), again.frame(index))


def test_frames_are_rgb_images_of_the_size_asked_for(scene):
    frames = list(scene.frames())
    assert len(frames) == scene.frame_count == 10
    assert all(frame.shape == (180, 320, 3) and frame.dtype == np.uint8 for frame in frames)


def test_the_sky_is_above_the_road_and_the_car_ahead_is_red(scene):
    frame = scene.frame(0).astype(int)
    sky = frame[5:20].mean(axis=(0, 1))
    assert sky[2] > sky[0]
    assert ((frame[..., 0] > 150) & (frame[..., 1] < 70)).sum() > 50


def test_everything_moves(scene):
    before, after = scene.frame(0).astype(int), scene.frame(3).astype(int)
    assert np.abs(before - after).mean() > 3.0


def test_a_point_ahead_of_the_camera_stands_in_its_middle_below_the_horizon():
    camera = RoadCamera(width=640, height=360)
    column, row = camera.project(np.array([[camera.lateral_m, 0.0, 1e-9]]), 0.0)[0]
    assert column == pytest.approx(320.0, abs=1.0)
    assert row > camera.horizon_px


def test_the_road_leaves_the_camera_straight_ahead():
    offsets = road_offset_m(123.0, np.array([0.0, 0.1, 1.0]))
    np.testing.assert_allclose(offsets, 0.0, atol=0.01)


def test_the_recording_is_drawn_once_and_kept(tmp_path, monkeypatch):
    small = RoadScene(width=160, height=90, frame_rate_hz=5.0, duration_s=1.0)
    monkeypatch.setattr("swapnet_ros.evaluation.road_scene.recording.RoadScene", lambda: small)
    drawn = []
    path = record_road_scene(tmp_path, track=lambda rows: drawn.append(len(rows)) or rows)
    assert record_road_scene(tmp_path, track=lambda rows: drawn.append(len(rows)) or rows) == path
    assert drawn == [5]
    with VideoReader(path) as reader:
        assert (reader.facts.width, reader.facts.height) == (160, 90)
        assert reader.facts.frame_count == 5
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
