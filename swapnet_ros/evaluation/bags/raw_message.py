"""What a storage file holds, before anyone knows what it means."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from rosbags.interfaces import MessageDefinition, Qos

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTopic:
    """One topic of a storage file.

    Attributes:
        topic: its name.
        type: of its messages, e.g. `sensor_msgs/msg/Image`.
        definition: of the type, as the file has it.
        message_count: as the file states it, else as counted.
        offered_qos: what its publishers offered, as the file has it; empty where it has none.
    """

    topic: str
    type: str
    definition: MessageDefinition
    message_count: int
    offered_qos: tuple[Qos, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RawMessage:
    """One message, still serialized.

    Attributes:
        topic: where it was published.
        type: of the message.
        time_ns: when it was recorded.
        data: CDR with its header of 4 bytes.
    """

    topic: str
    type: str
    time_ns: int
    data: bytes


def uncompressed(data: bytes) -> bytes:
    """Undo rosbag2's compression of single messages, which is known by its first bytes.

    A serialized message begins with 0, so that the two cannot be confused, and a bag without
    metadata.yaml, which would tell, can be read as well.
    """
    return zstd.decompress(data) if data[:4] == ZSTD_MAGIC else data
