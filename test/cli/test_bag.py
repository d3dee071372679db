"""`swapnet bag`: makes bags from folders and videos, and checks them."""

import csv
import json
import re

import cv2
import numpy as np
import pytest

from swapnet_ros.evaluation.bags.reader import BagReader
from swapnet_ros.evaluation.video_file import write_video


def picture(number):
    return np.random.default_rng(number).integers(0, 256, (48, 64, 3), np.uint8)


@pytest.fixture
def folder(tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(3):
        cv2.imwrite(str(pictures / f"street_{number}.png"), picture(number)[..., ::-1])
    (pictures / "street_0.txt").write_text("labels, and no image")
    return pictures


def read(bag):
    with BagReader(bag) as reader:
        frames = list(reader.frames())
        assert reader.problems == ()
    return frames


@pytest.mark.parametrize("options", [(), ("--compressed", "png"), ("--storage", "sqlite3")])
def test_a_folder_becomes_a_bag(swapnet, folder, tmp_path, options):
    bag = tmp_path / "bag"
    done = swapnet("bag", folder, "--out", bag, "--rate", 4, "--topic", "front/image", *options)
    assert done.exit_code == 0, done.errors
    topic = "/front/image/compressed" if "png" in options else "/front/image"
    assert f"{bag}: 3 images on {topic}, 0.500 s long" in done.output
    frames = read(bag)
    assert [frame.stamp_ns for frame in frames] == [1_000_000_000, 1_250_000_000, 1_500_000_000]
    for number, frame in enumerate(frames):
        assert (frame.topic, frame.frame_id) == (topic, "camera")
        np.testing.assert_array_equal(frame.image, picture(number))
    with (bag / "images.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows[1] == {"stamp_ns": "1250000000", "file": "street_1.png", "topic": topic}


def test_files_that_are_compressed_so_are_taken_as_they_are(swapnet, folder, tmp_path):
    for file in folder.glob("*.png"):
        image = cv2.imread(str(file))
        cv2.imwrite(str(file.with_suffix(".jpg")), image, [cv2.IMWRITE_JPEG_QUALITY, 60])
        file.unlink()
    swapnet("bag", folder, "--out", tmp_path / "bag", "--compressed", "jpeg")
    with BagReader(tmp_path / "bag") as reader:
        (_, message), *_ = reader.messages("/image/compressed")
    assert bytes(message.data) == (folder / "street_0.jpg").read_bytes()


def test_a_video_becomes_a_bag_with_its_own_rate(swapnet, tmp_path):
    images = [np.full((48, 64, 3), 20 * number, np.uint8) for number in range(5)]
    write_video(tmp_path / "drive.mp4", images, width=64, height=48, frame_rate_hz=20.0)
    done = swapnet("bag", tmp_path / "drive.mp4", "--out", tmp_path / "bag", "--json")
    assert json.loads(done.output)["image_count"] == 5
    frames = read(tmp_path / "bag")
    assert [frame.stamp_ns for frame in frames] == [10**9 + n * 50_000_000 for n in range(5)]
    assert [round(frame.image.mean() / 20) for frame in frames] == [0, 1, 2, 3, 4]


def test_more_frames_than_there_are_start_over(swapnet, folder, tmp_path):
    swapnet("bag", folder, "--out", tmp_path / "bag", "--frames", 7)
    frames = read(tmp_path / "bag")
    stamps = [frame.stamp_ns for frame in frames]
    assert stamps == [10**9 + n * 100_000_000 for n in range(7)]
    np.testing.assert_array_equal(frames[6].image, picture(0))


def test_labels_become_topics(swapnet, folder, tmp_path):
    (folder / "street_0.txt").write_text("1 0.5 0.5 0.25 0.5\n")
    (folder / "street_2.txt").write_text("")
    options = ("--labels", folder, "--label-names", "bus, car", "--json")
    done = swapnet("bag", folder, "--out", tmp_path / "bag", *options)
    assert done.exit_code == 0, done.errors
    assert json.loads(done.output)["labelled_count"] == 2
    with BagReader(tmp_path / "bag") as reader:
        labels = list(reader.messages("/image/labels/detections"))
        vision = list(reader.messages("/image/labels/vision/detections"))
    (first_ns, first), (last_ns, last) = labels
    assert (first_ns, last_ns) == (1_000_000_000, 1_200_000_000)
    assert (first.width, first.height, last.detections) == (64, 48, [])
    (box,) = first.detections
    assert (box.label, box.class_id, box.score) == ("car", 1, 1.0)
    assert (box.x_min, box.y_min, box.x_max, box.y_max) == (24.0, 12.0, 40.0, 36.0)
    assert len(vision) == 2


def test_labels_of_other_images_fail(swapnet, folder, tmp_path):
    (folder / "street_0.txt").rename(folder / "avenue.txt")
    options = ("--labels", folder, "--label-names", "bus,car")
    done = swapnet("bag", folder, "--out", tmp_path / "bag", *options)
    assert done.exit_code == 1
    assert "0 of them have labels" in done.output


def test_ctrl_c_leaves_a_whole_bag(swapnet, folder, tmp_path, monkeypatch):
    import swapnet_ros.cli.bag_making as command

    make_bag = command.make_bag

    def interrupted(source, path, options, *, labels, progress):
        def stop(done):
            progress(done)
            if done == 2:
                raise KeyboardInterrupt

        return make_bag(source, path, options, labels=labels, progress=stop)

    monkeypatch.setattr(command, "make_bag", interrupted)
    done = swapnet("bag", folder, "--out", tmp_path / "bag")
    assert done.exit_code == 0
    assert done.output.startswith("stopped; ")
    assert len(read(tmp_path / "bag")) == 2


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("nowhere.mp4", ("--out", "bag"), "there is no nowhere.mp4; name a video"),
        ("pictures", (), "name the bag's folder with --out"),
        ("pictures", ("--out", "bag", "--topic", "9/x"), "'9/x' is no name of a topic"),
        ("pictures", ("--out", "pictures"), "exists already"),
        ("empty", ("--out", "bag"), "has no images"),
        ("broken", ("--out", "bag"), "cut.png: .* cannot be decoded|cut.png: .*cut off"),
        ("pictures", ("--info",), "has no storage file"),
        ("pictures", ("--out", "bag", "--labels", "pictures"), "class names|classes.txt"),
        ("pictures", ("--out", "bag", "--labels", "empty"), "no known labels"),
        ("63", ("--out", "bag"), "camera 63 cannot be opened; is it connected"),
    ],
)
def test_bad_input_is_refused(swapnet, folder, tmp_path, monkeypatch, source, options, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "cut.png").write_bytes((folder / "street_0.png").read_bytes()[:200])
    done = swapnet("bag", source, *options)
    assert done.exit_code == 2
    assert re.search(message, done.errors), done.errors
    assert not (tmp_path / "bag").exists()


def test_info_of_a_good_bag(swapnet, folder, tmp_path):
    swapnet("bag", folder, "--out", tmp_path / "bag")
    done = swapnet("bag", tmp_path / "bag", "--info")
    assert done.exit_code == 0, done.errors
    assert "nothing is wrong with it" in done.output
    assert "10.00 Hz" in done.output
    done = swapnet("bag", tmp_path / "bag", "--info", "--json")
    found = json.loads(done.output)
    (topic,) = found["topics"]
    assert (topic["topic"], topic["image_count"]) == ("/image", 3)
    assert topic["image_format"] == "rgb8 64x48"
    assert found["problems"] == []


def test_info_of_a_bad_bag_names_what_is_wrong_and_fails(swapnet, folder, tmp_path):
    swapnet("bag", folder, "--out", tmp_path / "bag", "--frames", 50)
    file = tmp_path / "bag" / "bag.mcap"
    file.write_bytes(file.read_bytes()[:200_000])
    (tmp_path / "bag" / "metadata.yaml").unlink()
    done = swapnet("bag", tmp_path / "bag", "--info", "--json")
    assert done.exit_code == 1
    found = json.loads(done.output)
    assert [problem["kind"] for problem in found["problems"]] == ["no_metadata", "truncated"]
    assert found["topics"][0]["image_count"] == 200_000 // (48 * 64 * 3)
    done = swapnet("bag", tmp_path / "bag", "--info")
    assert "truncated: bag.mcap is cut off at byte" in done.output
