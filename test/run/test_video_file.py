import numpy as np
import pytest

from swapnet_ros.evaluation.video_file import VideoError, VideoReader, in_order, write_video


def _gradient(shade):
    """A frame whose brightness tells which one it is, also after compression."""
    return np.full((48, 64, 3), shade, np.uint8)


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "ramp.mp4"
    frames = [_gradient(20 * index) for index in range(10)]
    write_video(path, frames, width=64, height=48, frame_rate_hz=12.5)
    return path


def _shade(image):
    return round(float(image.mean()) / 20)


def test_what_was_written_is_read_again(video):
    with VideoReader(video) as reader:
        facts = reader.facts
        assert (facts.width, facts.height, facts.frame_count) == (64, 48, 10)
        assert facts.frame_rate_hz == pytest.approx(12.5)
        assert facts.duration_s == pytest.approx(0.8)
        shades = [_shade(reader.read()) for _ in range(10)]
        assert shades == list(range(10))
        assert reader.read() is None


def test_colours_keep_their_order(tmp_path):
    red = np.zeros((48, 64, 3), np.uint8)
    red[..., 0] = 220
    write_video(tmp_path / "red.mp4", [red] * 3, width=64, height=48, frame_rate_hz=10.0)
    with VideoReader(tmp_path / "red.mp4") as reader:
        means = reader.read().mean(axis=(0, 1))
    assert means[0] > 180
    assert means[2] < 60


def test_skipping_and_rewinding(video):
    with VideoReader(video) as reader:
        assert reader.skip()
        assert reader.skip()
        assert _shade(reader.read()) == 2
        reader.rewind()
        assert _shade(reader.read()) == 0


def test_frames_are_found_by_index_and_a_falling_index_starts_again(video):
    with VideoReader(video) as reader:
        shades = [_shade(image) for image in in_order(reader, [1, 4, 9, 0, 3])]
    assert shades == [1, 4, 9, 0, 3]


def test_an_index_behind_the_end_is_an_error(video):
    with VideoReader(video) as reader, pytest.raises(VideoError, match="ends before frame 12"):
        list(in_order(reader, [12]))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(VideoError, match=r"no video file at .*absent\.mp4"):
        VideoReader(tmp_path / "absent.mp4")


def test_a_file_that_is_no_video_is_named(tmp_path, capfd):
    path = tmp_path / "text.mp4"
    path.write_text("not a video")
    with pytest.raises(VideoError, match=r"text\.mp4 holds no video"):
        VideoReader(path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path, capfd):
    with pytest.raises(VideoError, match="cannot write a video"):
        write_video(tmp_path / "no" / "a.mp4", [], width=64, height=48, frame_rate_hz=10.0)


def test_a_failure_leaves_the_older_file(video):
    older = video.read_bytes()

    def breaks():
        yield _gradient(0)
        raise KeyError("renderer")

    with pytest.raises(KeyError):
        write_video(video, breaks(), width=64, height=48, frame_rate_hz=12.5)
    assert video.read_bytes() == older
    assert [entry.name for entry in video.parent.iterdir()] == [video.name]
