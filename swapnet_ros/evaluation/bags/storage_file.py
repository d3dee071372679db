"""One storage file of a bag: by its index where that is whole, else record by record."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from rosbags.rosbag2 import Reader

from swapnet_ros.evaluation.bags.mcap_scan import McapScan
from swapnet_ros.evaluation.bags.problems import ProblemKind, ProblemTally
from swapnet_ros.evaluation.bags.raw_message import RawMessage, StoredTopic, zstd
from swapnet_ros.evaluation.bags.sqlite_scan import SqliteScan

_PACKED = ".zstd"
STORAGE_SUFFIXES = (".mcap", ".db3")
SUFFIXES = (*STORAGE_SUFFIXES, *(suffix + _PACKED for suffix in STORAGE_SUFFIXES))
_COPY_BYTES = 1 << 20


class StorageFile:
    """Reads one .mcap or .db3 file, and tells a tally what is wrong with it.

    Use from one thread. `close` it.
    """

    def __init__(self, path: Path, tally: ProblemTally) -> None:
        """Open the file; one that was compressed as a whole is unpacked beside the system's own.

        Raises:
            BagError: nothing of it can be read.
        """
        self.path = path
        self._folder: TemporaryDirectory[str] | None = None
        self._reader: Reader | None = None
        self._scan: McapScan | SqliteScan | None = None
        try:
            self._plain = self._unpack(tally) if path.suffix == _PACKED else path
            self._open(tally)
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        how = "scanned" if self._reader is None else "indexed"
        return f"<StorageFile {self.path.name} {how}, {len(self.topics)} topics>"

    @property
    def topics(self) -> tuple[StoredTopic, ...]:
        """What the file holds."""
        if self._reader is None:
            return self._scan.topics if self._scan is not None else ()
        return tuple(
            StoredTopic(
                topic=each.topic,
                type=each.msgtype,
                definition=each.msgdef,
                message_count=each.msgcount,
                offered_qos=tuple(getattr(each.ext, "offered_qos_profiles", ())),
            )
            for each in self._reader.connections
        )

    def messages(self, topics: Collection[str], tally: ProblemTally) -> Iterator[RawMessage]:
        """Yield the messages of some topics in the order of recording.

        Where reading by the index fails, the file is scanned, without what was yielded already.
        """
        yielded: Counter[str] = Counter()
        if self._reader is not None:
            try:
                for message in self._indexed(self._reader, topics):
                    yielded[message.topic] += 1
                    yield message
                return
            except _StorageError:
                pass  # what the scan below finds is told
        scan = self._scan or self._new_scan()
        for message in scan.messages(topics):
            if yielded[message.topic] > 0:
                yielded[message.topic] -= 1
            else:
                yield message
        self._report(scan, tally)

    def close(self) -> None:
        """Close the file; may be called again."""
        reader, self._reader = self._reader, None
        folder, self._folder = self._folder, None
        if reader is not None:
            reader.close()
        if folder is not None:
            folder.cleanup()

    def _open(self, tally: ProblemTally) -> None:
        try:
            reader = Reader(self._plain)
            reader.open()
            self._reader = reader
        except Exception as error:  # rosbags parses bytes of any kind, with errors of any kind
            self._scan = self._new_scan()
            self._report(self._scan, tally)
            if not self._scan.problems():
                tally.add(ProblemKind.NO_INDEX, self.path.name, detail=str(error))

    def _new_scan(self) -> McapScan | SqliteScan:
        return McapScan(self._plain) if self._plain.suffix == ".mcap" else SqliteScan(self._plain)

    def _indexed(self, reader: Reader, topics: Collection[str]) -> Iterator[RawMessage]:
        connections = [each for each in reader.connections if each.topic in topics]
        if not connections:
            return
        messages = reader.messages(connections)
        while True:
            try:
                connection, time_ns, data = next(messages)
            except StopIteration:
                return
            except Exception as error:  # as when opening
                raise _StorageError(str(error) or type(error).__name__) from error
            yield RawMessage(
                topic=connection.topic, type=connection.msgtype, time_ns=time_ns, data=data
            )

    def _report(self, scan: McapScan | SqliteScan, tally: ProblemTally) -> None:
        for kind, detail, count in scan.problems():
            tally.put(kind, self.path.name, detail=detail, count=count)

    def _unpack(self, tally: ProblemTally) -> Path:
        """Unpack a file that was compressed as a whole; of a damaged one, what can be."""
        self._folder = TemporaryDirectory(prefix="swapnet_bag_")
        plain = Path(self._folder.name, self.path.stem)
        with self.path.open("rb") as packed, plain.open("wb") as unpacked:
            try:
                with zstd.open(packed, "rb") as stream:
                    shutil.copyfileobj(stream, unpacked, _COPY_BYTES)
            except (zstd.ZstdError, EOFError) as error:
                detail = f"in its compressed data: {error}"
                tally.add(ProblemKind.TRUNCATED, self.path.name, detail=detail)
        return plain


class _StorageError(Exception):
    """rosbags cannot read on."""
