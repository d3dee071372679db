"""Reads what is left of a damaged SQLite storage file: message by message, past what is lost.

rosbags asks the database for sorted rows and counts, which one damaged page makes fail. Here rows
are asked for by their number, each found through the pages that lead to it alone.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path

from rosbags.interfaces import MessageDefinition, MessageDefinitionFormat

from swapnet_ros.evaluation.bags.problems import BagError, ProblemKind
from swapnet_ros.evaluation.bags.raw_message import RawMessage, StoredTopic

# So many rows one after another that cannot be read are taken as the end: a page that leads to
# others covers some hundred rows.
_LOST_ROWS = 2000
# damaged pages; damaged text; damaged numbers
_UNREADABLE = (sqlite3.DatabaseError, UnicodeDecodeError, OverflowError)
_FORMATS = {"ros2msg": MessageDefinitionFormat.MSG, "ros2idl": MessageDefinitionFormat.IDL}
# one row at a time: a cursor over many drops a good row when the one behind it is damaged
_NEXT_ROW = "SELECT id, topic_id, timestamp, {} FROM messages WHERE id >= ? ORDER BY id LIMIT 1"


class SqliteScan:
    """One .db3 file, read row by row. Use from one thread."""

    def __init__(self, path: Path) -> None:
        """Read the topics, and all messages once to count them.

        Raises:
            BagError: the topics cannot be read.
        """
        self._path = path
        self._lost_places = 0
        try:
            with closing(self._connect()) as database:
                self._topics = _read_topics(database)
                counts = Counter(row[1] for row in self._rows(database, "1"))
        except _UNREADABLE as error:
            raise BagError(
                f"the topics of {path} cannot be read: {error}; `sqlite3 {path} .recover` may save "
                "a part of it"
            ) from error
        self.topics = tuple(
            StoredTopic(topic=topic, type=kind, definition=definition, message_count=counts[number])
            for number, (topic, kind, definition) in self._topics.items()
        )

    def problems(self) -> tuple[tuple[ProblemKind, str, int], ...]:
        """Kind, detail and count of what the last scan could not read."""
        if not self._lost_places:
            return ()
        detail = f"rows of messages cannot be read at {self._lost_places} places"
        return ((ProblemKind.DAMAGED, detail, self._lost_places),)

    def messages(self, topics: Collection[str]) -> Iterator[RawMessage]:
        """Yield the messages of some topics in the order of their rows, that of recording."""
        with closing(self._connect()) as database:
            for _, number, time_ns, data in self._rows(database, "data"):
                topic, kind, _ = self._topics.get(number, ("", "", None))
                if topic in topics and isinstance(data, bytes) and isinstance(time_ns, int):
                    yield RawMessage(topic=topic, type=kind, time_ns=time_ns, data=data)

    def _connect(self) -> sqlite3.Connection:
        database = sqlite3.connect(f"{self._path.resolve().as_uri()}?immutable=1", uri=True)
        try:
            # SQLite reads no file that is shorter than it says itself, unless this is on
            database.execute("PRAGMA writable_schema = ON")
        except BaseException:
            database.close()
            raise
        return database

    def _rows(
        self, database: sqlite3.Connection, content: str
    ) -> Iterator[tuple[int, int, int, bytes]]:
        """Yield the rows that can be read."""
        self._lost_places = lost_rows = row_id = 0
        query = _NEXT_ROW.format(content)
        while lost_rows < _LOST_ROWS:
            try:
                row = database.execute(query, (row_id,)).fetchone()
            except _UNREADABLE:
                self._lost_places += lost_rows == 0
                lost_rows += 1
                row_id += 1
                continue
            if row is None:
                return
            row_id, lost_rows = row[0] + 1, 0
            yield row


def _read_topics(database: sqlite3.Connection) -> dict[int, tuple[str, str, MessageDefinition]]:
    """Topic, type and definition by the topic's number."""
    definitions = {}
    try:
        rows = database.execute(
            "SELECT topic_type, encoding, encoded_message_definition FROM message_definitions"
        )
        for kind, encoding, text in rows:
            if encoding in _FORMATS:
                definitions[kind] = MessageDefinition(_FORMATS[encoding], text)
    except _UNREADABLE:
        definitions = {}  # damaged, or older than ROS 2 Iron: types are known by their names
    none = MessageDefinition(MessageDefinitionFormat.NONE, "")
    rows = database.execute("SELECT id, name, type FROM topics ORDER BY id")
    return {
        number: (name, kind, definitions.get(kind, none))
        for number, name, kind in rows
        if isinstance(name, str) and isinstance(kind, str)
    }
