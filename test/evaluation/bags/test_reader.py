"""Bags that nothing is wrong with: every storage, every compression, several cameras, split."""

from __future__ import annotations

import shutil
import tracemalloc

import numpy as np
import pytest
import yaml
from rosbags.rosbag2 import CompressionMode, StoragePlugin

from swapnet_ros.evaluation.bags.problems import BagError
from swapnet_ros.evaluation.bags.reader import BagReader

from .conftest import PERIOD_NS, START_NS, Camera, only_file, picture

KINDS = [
    (StoragePlugin.MCAP, CompressionMode.NONE),
    (StoragePlugin.MCAP, CompressionMode.STORAGE),
    (StoragePlugin.MCAP, CompressionMode.MESSAGE),
    (StoragePlugin.MCAP, CompressionMode.FILE),
    (StoragePlugin.SQLITE3, CompressionMode.NONE),
    (StoragePlugin.SQLITE3, CompressionMode.MESSAGE),
    (StoragePlugin.SQLITE3, CompressionMode.FILE),
]


def check_frames(frames, numbers, topic="/image"):
    assert [frame.index for frame in frames] == list(range(len(numbers)))
    for frame, number in zip(frames, numbers, strict=True):
        assert frame.topic == topic
        assert frame.frame_id == "lens"
        assert frame.stamp_ns == START_NS + number * PERIOD_NS
        assert frame.image.flags.writeable
        assert frame.image.flags.c_contiguous
        np.testing.assert_array_equal(frame.image, picture(number))


@pytest.mark.parametrize(("storage", "compression"), KINDS)
def test_every_storage_gives_the_same_images(write_bag, camera, storage, compression):
    messages = [camera.raw(number) for number in range(6)]
    bag = write_bag(messages, storage=storage, compression=compression)
    with BagReader(bag) as reader:
        assert reader.image_topics == {"/image": 6}
        check_frames(list(reader.frames()), range(6))
        check_frames(list(reader.frames(["/image"])), range(6))
        assert reader.problems == ()


def test_one_storage_file_is_a_bag_too(write_bag, camera):
    bag = write_bag([camera.raw(number) for number in range(3)])
    with BagReader(only_file(bag)) as reader:
        check_frames(list(reader.frames()), range(3))
        assert reader.problems == ()


def test_compressed_images_are_decoded(write_bag):
    rear = Camera("/rear/compressed")
    with BagReader(write_bag([rear.compressed(number) for number in range(3)])) as reader:
        check_frames(list(reader.frames()), range(3), topic="/rear/compressed")
        assert reader.image_format("/rear/compressed") == "png 160x120"


def test_cameras_that_are_slow_to_send_are_put_in_order(write_bag):
    front, rear = Camera("/front"), Camera("/rear")
    messages = []
    for number in range(8):
        messages.append(front.raw(number))
        if number >= 2:  # the rear camera's images come two periods late
            topic, _, message = rear.raw(number - 2)
            messages.append((topic, front.stamp_ns(number) + 1, message))
    with BagReader(write_bag(messages)) as reader:
        frames = list(reader.frames())
        assert reader.problems == ()
        only_rear = list(reader.frames(["/rear"]))
    order = [(frame.stamp_ns, frame.topic) for frame in frames]
    assert order == sorted(order)
    assert [frame.index for frame in only_rear] == list(range(6))


def test_a_split_bag_is_read_in_the_order_of_its_files(write_bag, camera, tmp_path):
    parts = [
        write_bag([camera.raw(2 * part), camera.raw(2 * part + 1)], name=f"part_{part}")
        for part in range(11)
    ]
    bag = tmp_path / "whole"
    bag.mkdir()
    names = [f"whole_{part}.mcap" for part in range(11)]  # 10 sorts before 2 as text
    for part, name in zip(parts, names, strict=True):
        shutil.copy(only_file(part), bag / name)
    listed = {"rosbag2_bagfile_information": {"relative_file_paths": names}}
    (bag / "metadata.yaml").write_text(yaml.safe_dump(listed))
    with BagReader(bag) as reader:
        assert reader.image_topics == {"/image": 22}
        check_frames(list(reader.frames()), range(22))
        assert reader.problems == ()
    (bag / "metadata.yaml").unlink()
    with BagReader(bag) as reader:
        check_frames(list(reader.frames()), range(22))


def test_messages_of_labels_have_their_stamps(write_bag, camera):
    text = camera.types.types["std_msgs/msg/String"](data="no header")
    messages = [camera.raw(0), ("/note", START_NS + 7, text)]
    with BagReader(write_bag(messages)) as reader:
        ((stamp_ns, image),) = reader.messages("/image")
        assert (stamp_ns, image.height) == (START_NS, 120)
        ((stamp_ns, note),) = reader.messages("/note")
        assert (stamp_ns, note.data) == (START_NS + 7, "no header")


def test_a_topic_that_is_not_there_is_named_with_those_that_are(write_bag, camera):
    with BagReader(write_bag([camera.raw(0)])) as reader:
        with pytest.raises(BagError, match=r"no topic /imag with images; did you mean /image\?"):
            reader.frames(["/imag"])
        with pytest.raises(BagError, match="Topics with messages: /image"):
            reader.messages("/labels")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "there is no bag at"),
        ("empty", "has no storage file"),
        ("old.bag", "rosbags-convert --src"),
        ("movie.mp4", "a storage file ends in .mcap"),
        ("metadata.yaml", "name its folder"),
        ("noise.mcap", "is no MCAP file"),
        ("noise.db3", "file is not a database"),
    ],
)
def test_what_is_no_bag_is_refused_with_what_helps(tmp_path, name, message):
    path = tmp_path / name
    if name == "empty":
        path.mkdir()
    elif name != "nowhere":
        path.write_bytes(b"this is no bag at all, but some bytes" * 9)
    with pytest.raises(BagError, match=message):
        BagReader(path)


def test_memory_does_not_grow_with_the_bag(write_bag, camera):
    large = picture(0, width=640, height=480)
    bag = write_bag(camera.raw(number, pixels=large) for number in range(60))
    peaks = []
    with BagReader(bag) as reader:
        tracemalloc.start()
        try:
            for number, _ in enumerate(reader.frames()):
                if number in (12, 59):
                    peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert peaks[1] - peaks[0] < large.nbytes, "47 images were read between them"
