"""Bags with something wrong: it is reported, and what can be read is read."""

from __future__ import annotations

import contextlib
import random
import re
import sqlite3

import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import CompressionMode, StoragePlugin

from swapnet_ros.evaluation.bags.problems import BagError, ProblemKind
from swapnet_ros.evaluation.bags.raw_message import ZSTD_MAGIC
from swapnet_ros.evaluation.bags.reader import BagReader

from .conftest import START_NS, Camera, cut, only_file, picture


def read(bag):
    """Read a bag to its end: its frames, and its problems by kind."""
    with BagReader(bag) as reader:
        frames = list(reader.frames())
        for topic in reader.topics:
            list(reader.messages(topic))
        again = list(reader.frames())
        problems = {problem.kind: problem for problem in reader.problems}
        assert len(problems) == len(reader.problems)
    assert [frame.index for frame in again] == [frame.index for frame in frames]
    return frames, problems


def check_only(problems, kind, sentence, *, count=1, topic=None):
    assert list(problems) == [kind]
    problem = problems[kind]
    assert problem.count == count
    assert re.search(sentence, problem.sentence), problem.sentence
    if topic is not None:
        assert problem.topic == topic


@pytest.mark.parametrize("compression", [CompressionMode.NONE, CompressionMode.STORAGE])
@pytest.mark.parametrize("share", [0.999, 0.7, 0.34])
def test_a_truncated_mcap_file_is_read_up_to_its_end(write_bag, camera, compression, share):
    bag = write_bag([camera.raw(number) for number in range(60)], compression=compression)
    cut(only_file(bag), share)
    frames, problems = read(bag)
    assert abs(len(frames) - 60 * share) <= 2
    for number, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.image, picture(number))
    place = only_file(bag).stat().st_size
    sentence = rf"bag\.mcap is cut off at byte {place}; every whole message before was read"
    check_only(problems, ProblemKind.TRUNCATED, sentence)


def test_every_place_of_truncation_is_survived(write_bag):
    tiny = Camera()
    bag = write_bag([tiny.raw(n, pixels=picture(n, width=8, height=4)) for n in range(4)])
    whole = only_file(bag).read_bytes()
    counts = []
    for length in range(0, len(whole), 31):
        only_file(bag).write_bytes(whole[:length])
        try:
            frames, problems = read(bag)
        except BagError:
            assert length < 8, "the file's first bytes are all it needs"
            continue
        assert problems.keys() & {ProblemKind.TRUNCATED, ProblemKind.NO_INDEX}, length
        counts.append(len(frames))
    assert counts == sorted(counts)
    assert counts[-1] == 4


def test_a_file_compressed_as_a_whole_is_read_up_to_its_end(write_bag, camera):
    messages = [camera.raw(number) for number in range(40)]
    bag = write_bag(messages, compression=CompressionMode.FILE)
    cut(only_file(bag), 0.6)
    frames, problems = read(bag)
    assert 15 < len(frames) < 25
    assert ProblemKind.TRUNCATED in problems


def test_a_damaged_mcap_file_loses_no_more_than_the_chunk(write_bag, camera):
    messages = [camera.raw(number) for number in range(60)]
    bag = write_bag(messages, compression=CompressionMode.STORAGE)
    data = bytearray(only_file(bag).read_bytes())
    at = data.index(ZSTD_MAGIC, len(data) // 2)
    data[at : at + 4] = bytes(4)
    only_file(bag).write_bytes(data)
    frames, problems = read(bag)
    per_chunk = 2**20 // (160 * 120 * 3) + 1
    assert 60 - per_chunk <= len(frames) < 60
    assert {frame.index for frame in frames} == set(range(len(frames)))
    check_only(problems, ProblemKind.DAMAGED, r"damaged \(1 chunks of messages are not as")


def test_a_damaged_database_is_read_past_the_damage(write_bag, camera):
    bag = write_bag([camera.raw(n) for n in range(60)], storage=StoragePlugin.SQLITE3)
    data = bytearray(only_file(bag).read_bytes())
    page = len(data) // 2 // 4096 * 4096
    data[page : page + 4096] = b"\xff" * 4096
    only_file(bag).write_bytes(data)
    frames, problems = read(bag)
    assert len(frames) == 59
    check_only(
        problems, ProblemKind.DAMAGED, r"bag\.db3 is damaged \(rows of messages .* at 1 places"
    )


def test_a_database_that_was_cut_off_is_read_up_to_its_end(write_bag, camera):
    bag = write_bag([camera.raw(n) for n in range(60)], storage=StoragePlugin.SQLITE3)
    cut(only_file(bag), 0.5)
    frames, problems = read(bag)
    assert abs(len(frames) - 30) <= 3
    for number, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.image, picture(number))
    check_only(problems, ProblemKind.DAMAGED, "rows of messages cannot be read")


@pytest.mark.parametrize("storage", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_no_damage_ends_in_anything_but_a_report(write_bag, camera, storage):
    messages = [camera.raw(n, pixels=picture(n, width=16, height=8)) for n in range(5)]
    bag = write_bag(messages, storage=storage)
    whole = only_file(bag).read_bytes()
    for seed in range(40):
        rng = random.Random(seed)
        data = bytearray(whole)
        at = rng.randrange(len(data))
        if seed % 2:
            data[at : at + 50] = rng.randbytes(50)
        else:
            del data[at : at + rng.randrange(1, 100)]
        only_file(bag).write_bytes(data)
        with contextlib.suppress(BagError):
            read(bag)


def test_missing_metadata(write_bag, camera):
    bag = write_bag([camera.raw(number) for number in range(3)])
    (bag / "metadata.yaml").unlink()
    frames, problems = read(bag)
    assert len(frames) == 3
    check_only(problems, ProblemKind.NO_METADATA, "metadata.yaml is missing.*`ros2 bag reindex`")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("rosbag2_bagfile_information: [", "cannot be used"),
        ("rosbag2_bagfile_information: {version: 5}", "it has no 'relative_file_paths'"),
        ("", "cannot be used"),
        ("\0\1", "cannot be used"),
    ],
)
def test_damaged_metadata(write_bag, camera, text, sentence):
    bag = write_bag([camera.raw(number) for number in range(3)])
    (bag / "metadata.yaml").write_text(text)
    frames, problems = read(bag)
    assert len(frames) == 3
    check_only(problems, ProblemKind.BAD_METADATA, sentence)


def test_files_that_metadata_does_not_list_and_does_list(write_bag, camera):
    bag = write_bag([camera.raw(number) for number in range(3)])
    only_file(bag).rename(bag / "other.mcap")
    frames, problems = read(bag)
    assert len(frames) == 3
    assert problems[ProblemKind.MISSING_FILE].topic == "bag.mcap"
    assert problems[ProblemKind.UNLISTED_FILE].topic == "other.mcap"


def test_a_file_of_which_nothing_can_be_read(write_bag, camera):
    bag = write_bag([camera.raw(number) for number in range(3)])
    (bag / "more.mcap").write_bytes(b"")
    frames, problems = read(bag)
    assert len(frames) == 3
    assert problems[ProblemKind.UNREADABLE_FILE].topic == "more.mcap"


def test_an_unknown_message_type_is_left_out(write_bag, camera):
    text = camera.types.types["std_msgs/msg/String"](data="hello")
    messages = [camera.raw(0), ("/secret", START_NS, text), camera.raw(1)]
    bag = write_bag(messages, storage=StoragePlugin.SQLITE3)
    with sqlite3.connect(only_file(bag)) as database:
        database.execute("UPDATE topics SET type = 'secret_msgs/msg/Note' WHERE name = '/secret'")
    database.close()
    frames, problems = read(bag)
    assert len(frames) == 2
    sentence = "the 1 messages of /secret cannot be read: the bag has no definition of secret_msgs"
    check_only(problems, ProblemKind.UNKNOWN_TYPE, sentence, topic="/secret")


def test_a_definition_that_cannot_be_parsed_leaves_the_other_topics(write_bag, camera):
    text = camera.types.types["std_msgs/msg/String"](data="hello")
    bag = write_bag([camera.raw(0), ("/note", START_NS, text)], storage=StoragePlugin.SQLITE3)
    with sqlite3.connect(only_file(bag)) as database:
        database.execute("UPDATE topics SET type = 'a/msg/B' WHERE name = '/note'")
        database.execute(
            "UPDATE message_definitions SET topic_type = 'a/msg/B', encoded_message_definition = "
            "'this ( is no definition' WHERE topic_type = 'std_msgs/msg/String'"
        )
    database.close()
    frames, problems = read(bag)
    assert len(frames) == 1
    check_only(problems, ProblemKind.UNKNOWN_TYPE, "definition of a/msg/B is not understood")


def test_a_bag_without_definitions_is_read_by_those_known_here(write_bag, camera):
    bag = write_bag([camera.raw(0), camera.raw(1)], storage=StoragePlugin.SQLITE3)
    with sqlite3.connect(only_file(bag)) as database:
        database.execute("DELETE FROM message_definitions")
    database.close()
    frames, problems = read(bag)
    assert (len(frames), problems) == (2, {})


def test_no_topic_with_images(write_bag, camera):
    text = camera.types.types["std_msgs/msg/String"](data="hello")
    frames, problems = read(write_bag([("/note", START_NS, text)]))
    assert frames == []
    check_only(problems, ProblemKind.NO_IMAGES, r"there are /note \(std_msgs/msg/String\)")


def test_mixed_encodings_and_sizes_are_all_decoded(write_bag, camera):
    small = picture(1, width=80, height=40)
    messages = [
        camera.raw(0),
        camera.raw(1, pixels=small, encoding="bgr8"),
        camera.raw(2, pixels=picture(2)[..., :1], encoding="mono8"),
    ]
    frames, problems = read(write_bag(messages))
    assert len(frames) == 3
    np.testing.assert_array_equal(frames[1].image, small[..., ::-1])
    np.testing.assert_array_equal(frames[2].image, np.repeat(picture(2)[..., :1], 3, axis=2))
    sentence = r"are bgr8 \(1\), mono8 \(1\), rgb8 \(1\); each was decoded as it says"
    check_only(problems, ProblemKind.MIXED_ENCODINGS, sentence, count=3)


def test_images_that_cannot_be_decoded_are_counted_with_the_first_reason(write_bag, camera):
    messages = [
        camera.raw(0),
        camera.raw(1, step=7),
        camera.raw(2, step=8),
        camera.raw(3),
    ]
    frames, problems = read(write_bag(messages))
    assert [frame.index for frame in frames] == [0, 3]
    sentence = r"2 images of /image cannot be decoded.*number 1: step is 7 bytes"
    check_only(problems, ProblemKind.UNDECODABLE_IMAGE, sentence, count=2, topic="/image")


def test_a_compressed_image_that_is_cut_off(write_bag, camera):
    data = cv2.imencode(".jpg", picture(0))[1].reshape(-1)
    kind = camera.types.types["sensor_msgs/msg/CompressedImage"]
    header = camera.header(START_NS)
    half = kind(header=header, format="jpeg", data=data[: len(data) // 2])
    empty = kind(header=header, format="jpeg", data=data[:0])
    whole = kind(header=header, format="jpeg", data=data)
    messages = [("/image", START_NS + n, each) for n, each in enumerate((half, empty, whole))]
    frames, problems = read(write_bag(messages))
    assert [frame.index for frame in frames] == [2]
    check_only(problems, ProblemKind.UNDECODABLE_IMAGE, "the JPEG is cut off", count=2)


def test_an_encoding_that_is_no_picture(write_bag, camera):
    depth = np.zeros((4, 4, 4), np.uint8)
    frames, problems = read(write_bag([camera.raw(0, pixels=depth, encoding="32FC1")]))
    assert frames == []
    check_only(problems, ProblemKind.UNDECODABLE_IMAGE, "encoding '32FC1' is not known; known are")


def test_stamps_that_go_backwards(write_bag, camera):
    order = [0, 1, 3, 2, 4, 5, 6, 7, 8, 9, 10]
    messages = [camera.raw(n, stamp_ns=camera.stamp_ns(stamp)) for n, stamp in enumerate(order)]
    frames, problems = read(write_bag(messages))
    stamps = [frame.stamp_ns for frame in frames]
    assert stamps == sorted(stamps)
    assert [frame.index for frame in frames][2:4] == [3, 2], "the index is that of recording"
    sentence = r"1 images of /image have an earlier stamp than the one before \(by 0.1 s at most\)"
    check_only(problems, ProblemKind.STAMPS_BACKWARDS, sentence)


def test_a_clock_that_is_set_back_loses_nothing(write_bag, camera):
    order = [*range(100, 120), *range(20)]
    messages = [camera.raw(n, stamp_ns=camera.stamp_ns(stamp)) for n, stamp in enumerate(order)]
    frames, problems = read(write_bag(messages))
    assert [frame.stamp_ns for frame in frames] == [camera.stamp_ns(stamp) for stamp in order]
    check_only(problems, ProblemKind.STAMPS_BACKWARDS, "by 11.9 s at most")


def test_images_without_a_stamp_go_by_the_time_of_recording(write_bag, camera):
    frames, problems = read(write_bag([camera.raw(n, stamp_ns=0) for n in range(3)]))
    assert [frame.stamp_ns for frame in frames] == [camera.stamp_ns(n) for n in range(3)]
    check_only(problems, ProblemKind.NO_STAMP, "3 images of /image have no stamp", count=3)


def test_messages_that_do_not_fit_their_type(write_bag, camera):
    bag = write_bag([camera.raw(n) for n in range(3)], storage=StoragePlugin.SQLITE3)
    with sqlite3.connect(only_file(bag)) as database:
        database.execute("UPDATE messages SET data = substr(data, 1, 30) WHERE id = 2")
    database.close()
    frames, problems = read(bag)
    assert [frame.index for frame in frames] == [0, 2]
    check_only(problems, ProblemKind.UNREADABLE_MESSAGE, "1 messages of /image do not fit")


def test_a_topic_on_which_no_image_came(write_bag, camera):
    bag = write_bag([camera.raw(0), Camera("/off").raw(0)], storage=StoragePlugin.SQLITE3)
    with sqlite3.connect(only_file(bag)) as database:
        database.execute(
            "DELETE FROM messages WHERE topic_id = (SELECT id FROM topics WHERE name = '/off')"
        )
    database.close()
    frames, problems = read(bag)
    assert len(frames) == 1
    check_only(problems, ProblemKind.EMPTY_TOPIC, "/off has no images", topic="/off")
