"""Reads what is left of an MCAP file: record by record, up to where it was cut off or damaged.

rosbags reads whole files by their index, which stands at the end and is written last. A recorder
that was killed leaves none, and a damaged chunk ends rosbags' reading. Format: mcap.dev/spec.
"""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Collection, Iterator
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO

import lz4.frame
from rosbags.interfaces import MessageDefinition, MessageDefinitionFormat

from swapnet_ros.evaluation.bags.problems import BagError, ProblemKind
from swapnet_ros.evaluation.bags.raw_message import RawMessage, StoredTopic, zstd

MAGIC = b"\x89MCAP0\r\n"
_RECORD_HEAD = struct.Struct("<BQ")  # opcode, length
_CHUNK_HEAD = struct.Struct("<QQQI")  # first time, last time, bytes when uncompressed, checksum
_MESSAGE_HEAD = struct.Struct("<HIQQ")  # channel, sequence, time of recording, of publication
_FORMATS = {
    "ros2msg": MessageDefinitionFormat.MSG,
    "ros2idl": MessageDefinitionFormat.IDL,
    "omgidl": MessageDefinitionFormat.IDL,
}
_NO_DEFINITION = MessageDefinition(MessageDefinitionFormat.NONE, "")


class _Opcode(IntEnum):
    FOOTER = 0x02
    SCHEMA = 0x03
    CHANNEL = 0x04
    MESSAGE = 0x05
    CHUNK = 0x06
    DATA_END = 0x0F


class _DamagedChunkError(Exception):
    """A chunk's bytes are not those that were written."""


class McapScan:
    """One MCAP file, read from its beginning. Use from one thread."""

    def __init__(self, path: Path) -> None:
        """Scan the file once for its topics, their messages and its damage.

        Raises:
            BagError: it cannot be opened, or is no MCAP file.
        """
        self._path = path
        self._cut_off_at: int | None = None
        self._damaged_chunks = 0
        self._schemas: dict[int, tuple[str, MessageDefinition]] = {}
        self._channels: dict[int, tuple[str, int]] = {}  # topic and schema
        counts: Counter[int] = Counter()
        try:
            for channel, _, _ in self._messages():
                counts[channel] += 1
        except OSError as error:
            raise BagError(f"{path} cannot be read: {error.strerror or error}") from error
        self.topics = tuple(
            StoredTopic(
                topic=topic,
                type=self._schema(schema)[0],
                definition=self._schema(schema)[1],
                message_count=counts[channel],
            )
            for channel, (topic, schema) in self._channels.items()
        )

    def problems(self) -> tuple[tuple[ProblemKind, str, int], ...]:
        """Kind, detail and count of what the last scan could not read."""
        found = []
        if self._cut_off_at is not None:
            found.append((ProblemKind.TRUNCATED, f"at byte {self._cut_off_at}", 1))
        if self._damaged_chunks:
            detail = f"{self._damaged_chunks} chunks of messages are not as they were written"
            found.append((ProblemKind.DAMAGED, detail, self._damaged_chunks))
        return tuple(found)

    def messages(self, topics: Collection[str]) -> Iterator[RawMessage]:
        """Yield the messages of some topics in the order of the file."""
        for channel, time_ns, data in self._messages():
            topic, schema = self._channels[channel]
            if topic in topics:
                yield RawMessage(
                    topic=topic, type=self._schema(schema)[0], time_ns=time_ns, data=bytes(data)
                )

    def _schema(self, number: int) -> tuple[str, MessageDefinition]:
        return self._schemas.get(number, ("", _NO_DEFINITION))

    def _messages(self) -> Iterator[tuple[int, int, memoryview]]:
        """Yield channel, time of recording and data of every message whose channel is known."""
        self._cut_off_at, self._damaged_chunks = None, 0
        with self._path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise BagError(f"{self._path} is no MCAP file: its first bytes are others")
            for opcode, record in self._records(file):
                if opcode != _Opcode.CHUNK:
                    yield from self._take(opcode, record)
                    continue
                try:
                    content = _unpack_chunk(record)
                except _DamagedChunkError:
                    self._damaged_chunks += 1
                    continue
                for inner_opcode, inner in _inner_records(content):
                    yield from self._take(inner_opcode, inner)

    def _records(self, file: BinaryIO) -> Iterator[tuple[int, memoryview]]:
        """Yield the records up to the end of the data; of a chunk that is cut off, what is left."""
        while True:
            head = file.read(_RECORD_HEAD.size)
            if len(head) < _RECORD_HEAD.size:
                self._cut_off_at = file.tell()
                return
            opcode, length = _RECORD_HEAD.unpack(head)
            if opcode in (_Opcode.DATA_END, _Opcode.FOOTER):
                return
            # a length that damage made up must not ask for more memory than the file has bytes
            left = self._path.stat().st_size - file.tell()
            record = file.read(min(length, left))
            if len(record) < length:
                self._cut_off_at = file.tell()
                if opcode == _Opcode.CHUNK:
                    yield opcode, memoryview(record)
                return
            yield opcode, memoryview(record)

    def _take(self, opcode: int, record: memoryview) -> Iterator[tuple[int, int, memoryview]]:
        """Learn a schema or a channel, or yield a message."""
        try:
            if opcode == _Opcode.SCHEMA:
                self._take_schema(record)
            elif opcode == _Opcode.CHANNEL:
                number, schema = struct.unpack_from("<HH", record)
                topic, _ = _read_string(record, 4)
                self._channels[number] = (topic, schema)
            elif opcode == _Opcode.MESSAGE:
                channel, _, time_ns, _ = _MESSAGE_HEAD.unpack_from(record)
                if channel in self._channels:
                    yield channel, time_ns, record[_MESSAGE_HEAD.size :]
        except (struct.error, UnicodeDecodeError):
            self._damaged_chunks += 1

    def _take_schema(self, record: memoryview) -> None:
        (number,) = struct.unpack_from("<H", record)
        name, at = _read_string(record, 2)
        encoding, at = _read_string(record, at)
        text, _ = _read_string(record, at)
        format_ = _FORMATS.get(encoding, MessageDefinitionFormat.NONE)
        self._schemas[number] = (name, MessageDefinition(format_, text))


def _read_string(record: memoryview, at: int) -> tuple[str, int]:
    """Read a string with its length before it; return it and the place behind it."""
    (length,) = struct.unpack_from("<I", record, at)
    end = at + 4 + length
    return str(record[at + 4 : end], "utf-8"), end


def _unpack_chunk(record: memoryview) -> memoryview:
    """Return a chunk's records; of a chunk that is cut off, as much as is left.

    Raises:
        _DamagedChunkError: its bytes are not those that were written.
    """
    try:
        _, _, size, checksum = _CHUNK_HEAD.unpack_from(record)
        compression, at = _read_string(record, _CHUNK_HEAD.size)
        (length,) = struct.unpack_from("<Q", record, at)
        packed = record[at + 8 : at + 8 + length]
        content = _decompress(packed, compression)
    except Exception as error:  # struct, lz4 and zstd, each with errors of its own
        raise _DamagedChunkError from error
    is_whole = len(packed) == length
    if is_whole and (len(content) != size or (checksum and zlib.crc32(content) != checksum)):
        raise _DamagedChunkError
    return memoryview(content)


def _decompress(packed: memoryview, compression: str) -> bytes | memoryview:
    """Decompress as much as there is; neither decompressor minds an end that is missing."""
    if compression == "":
        return packed
    if compression == "zstd":
        return zstd.ZstdDecompressor().decompress(packed)
    if compression == "lz4":
        return lz4.frame.LZ4FrameDecompressor().decompress(packed)
    raise ValueError(compression)


def _inner_records(content: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield the records of a chunk, up to the last whole one."""
    at = 0
    while at + _RECORD_HEAD.size <= len(content):
        opcode, length = _RECORD_HEAD.unpack_from(content, at)
        at += _RECORD_HEAD.size
        if at + length > len(content):
            return
        yield opcode, content[at : at + length]
        at += length
