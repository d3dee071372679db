"""MCAP files as other recorders write them: compressions, without chunks, without an index."""

from __future__ import annotations

import struct
import zlib

import lz4.frame
import pytest

from swapnet_ros.evaluation.bags.mcap_scan import MAGIC, McapScan
from swapnet_ros.evaluation.bags.problems import BagError, ProblemKind
from swapnet_ros.evaluation.bags.raw_message import zstd
from swapnet_ros.evaluation.bags.reader import BagReader

COMPRESS = {"": bytes, "zstd": zstd.compress, "lz4": lz4.frame.compress}


def text(value):
    return struct.pack("<I", len(value)) + value.encode()


def record(opcode, content):
    return struct.pack("<BQ", opcode, len(content)) + content


HEADER = MAGIC + record(0x01, text("ros2") + text("a recorder"))
SCHEMA = record(
    0x03, struct.pack("<H", 1) + text("std_msgs/msg/String") + text("ros2msg") + text("string data")
)
CHANNEL = record(0x04, struct.pack("<HH", 7, 1) + text("/note") + text("cdr") + text(""))
DATA_END = record(0x0F, bytes(4))
END_WITHOUT_INDEX = DATA_END + record(0x02, bytes(20)) + MAGIC


def message(number, *, time_ns=None, channel=7):
    word = f"note {number}\0"
    data = b"\0\1\0\0" + struct.pack("<I", len(word)) + word.encode()
    time_ns = number if time_ns is None else time_ns
    return record(0x05, struct.pack("<HIQQ", channel, number, time_ns, time_ns) + data)


def chunk(records, compression="", checksum=None):
    checksum = zlib.crc32(records) if checksum is None else checksum
    packed = COMPRESS.get(compression, bytes)(records)
    head = struct.pack("<QQQI", 0, 9, len(records), checksum) + text(compression)
    return record(0x06, head + struct.pack("<Q", len(packed)) + packed)


@pytest.fixture
def scan(tmp_path):
    def scan_bytes(*parts):
        (tmp_path / "bag.mcap").write_bytes(b"".join(parts))
        return McapScan(tmp_path / "bag.mcap")

    return scan_bytes


def times(scanned):
    return [each.time_ns for each in scanned.messages({"/note"})]


@pytest.mark.parametrize("compression", sorted(COMPRESS))
def test_every_compression(scan, compression):
    chunks = [chunk(SCHEMA + CHANNEL + message(1) + message(2), compression)]
    chunks.append(chunk(message(3), compression))
    scanned = scan(HEADER, *chunks, END_WITHOUT_INDEX)
    (topic,) = scanned.topics
    assert (topic.topic, topic.type, topic.message_count) == ("/note", "std_msgs/msg/String", 3)
    assert topic.definition.data == "string data"
    assert times(scanned) == [1, 2, 3]
    assert scanned.problems() == ()


@pytest.mark.parametrize("compression", sorted(COMPRESS))
def test_a_chunk_that_is_cut_off_gives_what_is_left(scan, compression):
    notes = [message(number) for number in range(4000)]
    whole = HEADER + chunk(SCHEMA + CHANNEL + b"".join(notes), compression)
    left = whole[: int(len(whole) * 0.8)]
    scanned = scan(left)
    assert 0 < len(times(scanned)) < 4000
    assert times(scanned) == list(range(len(times(scanned))))
    assert scanned.problems() == ((ProblemKind.TRUNCATED, f"at byte {len(left)}", 1),)


def test_messages_without_chunks(scan):
    scanned = scan(HEADER, SCHEMA, CHANNEL, message(1), message(2), END_WITHOUT_INDEX)
    assert times(scanned) == [1, 2]
    assert scanned.problems() == ()


def test_records_that_a_newer_format_may_have_are_passed_over(scan):
    scanned = scan(HEADER, SCHEMA, CHANNEL, record(0x7F, b"new"), message(1), END_WITHOUT_INDEX)
    assert times(scanned) == [1]


def test_a_message_of_a_channel_that_was_lost_is_left_out(scan):
    scanned = scan(HEADER, SCHEMA, CHANNEL, message(1, channel=8), message(2), END_WITHOUT_INDEX)
    assert times(scanned) == [2]


@pytest.mark.parametrize(
    "damaged",
    [
        chunk(message(2), checksum=1),
        chunk(message(2), "zip"),
        record(0x06, b"short"),
    ],
    ids=["checksum", "compression", "short"],
)
def test_a_damaged_chunk_is_left_out(scan, damaged):
    first, last = chunk(SCHEMA + CHANNEL + message(1)), chunk(message(3))
    scanned = scan(HEADER, first, damaged, last, END_WITHOUT_INDEX)
    assert times(scanned) == [1, 3]
    ((kind, _, count),) = scanned.problems()
    assert (kind, count) == (ProblemKind.DAMAGED, 1)


def test_a_length_that_damage_made_up_asks_for_no_memory(scan):
    absurd = struct.pack("<BQ", 0x05, 2**60) + b"rest"
    scanned = scan(HEADER, SCHEMA, CHANNEL, message(1), absurd)
    assert times(scanned) == [1]
    assert [kind for kind, _, _ in scanned.problems()] == [ProblemKind.TRUNCATED]


def test_another_file_is_refused(scan):
    with pytest.raises(BagError, match="is no MCAP file"):
        scan(b"PNG, or so")


def test_a_bag_without_an_index_may_have_any_order(tmp_path):
    notes = [message(number, time_ns=time_ns) for number, time_ns in enumerate((5, 3, 4))]
    path = tmp_path / "bag.mcap"
    path.write_bytes(b"".join((HEADER, SCHEMA, CHANNEL, *notes, END_WITHOUT_INDEX)))
    with BagReader(path) as reader:
        read = [(stamp_ns, note.data) for stamp_ns, note in reader.messages("/note")]
        kinds = {problem.kind for problem in reader.problems}
    assert read == [(5, "note 0"), (3, "note 1"), (4, "note 2")]
    assert kinds == {ProblemKind.NO_IMAGES}
