"""`results_bag/`: results as messages, and debug images, for viewers of bags.

[Note: going on with a bag]
A bag's index and its metadata are written at its end, so nothing can be added to it later. A
resumed evaluation begins a new one, and takes the messages of the frames that are done over from
that of the earlier sitting, as they are and in their order. Frames that it lacks are analysed
again: after a kill these are the last ones, up to a MiB of messages. So in the end the bag has
every frame once, and is the same, byte by byte, as that of an evaluation that was never stopped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

from swapnet_ros.evaluation.bags.bag_folder import METADATA
from swapnet_ros.evaluation.bags.problems import BagError
from swapnet_ros.evaluation.bags.source_frame import SourceFrame
from swapnet_ros.evaluation.bags.writer import BagWriter
from swapnet_ros.evaluation.direct.earlier_frames import EarlierFrames
from swapnet_ros.evaluation.direct.frame_analyst import TaskAnswer


class ResultsBag(AbstractContextManager["ResultsBag"]):
    """Records the results of an evaluation. Use from one thread."""

    def __init__(self, path: Path, networks: Mapping[str, str], *, frames_before: int) -> None:
        """Begin a bag.

        Args:
            path: of its folder. What an earlier sitting left there is taken over frame by frame;
                where no frame is done yet it is removed.
            networks: name of each task's network, by the task's name.
            frames_before: how many frames are done. Each of them goes to `take_over` first.

        Raises:
            BagError: it cannot be made, or the old one cannot be moved out of its way.
        """
        self._path = path
        self._aside = _aside(path)
        self._networks = networks
        self._left = frames_before
        if not frames_before:
            remove_results_bag(path)
        elif not self._aside.exists() and path.exists():
            _rename(path, self._aside)
        else:  # an earlier sitting ended before it had taken everything over
            _remove(path, path.name)
        with ExitStack() as undo:
            self._earlier = undo.enter_context(EarlierFrames(self._aside / f"{path.name}.mcap"))
            self._writer = BagWriter(path)
            undo.pop_all()

    def __repr__(self) -> str:
        return f"<ResultsBag {self._path}, {self._left} frames to take over>"

    def take_over(self, frame: SourceFrame) -> bool:
        """Copy a frame of an earlier sitting; False: it is not there, and has to be added anew.

        Raises:
            BagError: the bag cannot be written.
        """
        messages = self._earlier.take(max(0, frame.stamp_ns), self._networks.keys())
        for each in messages:
            self._writer.write_serialized(each.topic, each.type, each.data, stamp_ns=each.time_ns)
        self._left -= 1
        if not self._left:
            self._earlier.close()
            _remove(self._aside, self._path.name)
        return len(messages) > 0

    def add(self, frame: SourceFrame, answers: Sequence[TaskAnswer]) -> None:
        """Record a frame's results, and its image with each of them drawn in.

        Raises:
            BagError: the bag cannot be written.
        """
        header = {"stamp_ns": frame.stamp_ns, "frame_id": frame.frame_id}
        for answer in answers:
            if answer.result is not None:
                network = self._networks[answer.task]
                self._writer.write_result(answer.task, answer.result, network=network, **header)
                self._writer.write_overlay(answer.task, frame.image, answer.result, **header)

    def close(self) -> None:
        """End the bag; may be called again. Before all was taken over, the earlier one stays.

        Raises:
            BagError: it cannot be written.
        """
        self._earlier.close()
        self._writer.close()
        left, self._left = self._left, 0
        if left and self._aside.exists():
            _remove(self._path, self._path.name)
            _rename(self._aside, self._path)

    def __exit__(self, *_: object) -> None:
        self.close()


def remove_results_bag(path: Path) -> None:
    """Remove what earlier evaluations recorded there, and nothing else.

    Raises:
        BagError: there is something else in its folder, or it cannot be removed.
    """
    for folder in (path, _aside(path)):
        _remove(folder, path.name)


def _aside(path: Path) -> Path:
    """Where the bag of an earlier sitting waits to be taken over."""
    return path.with_name(f".{path.name}_before")


def _remove(folder: Path, name: str) -> None:
    try:
        for file in (f"{name}.mcap", METADATA, f"{METADATA}.tmp"):
            (folder / file).unlink(missing_ok=True)
        folder.rmdir()
    except FileNotFoundError:
        pass  # there is none: that is what is wanted
    except OSError as error:
        raise BagError(
            f"{folder}, an earlier recording, cannot be removed: {error.strerror or error}; move "
            "what is yours out of it"
        ) from error


def _rename(path: Path, new: Path) -> None:
    try:
        path.rename(new)
    except OSError as error:
        raise BagError(f"{path} cannot be renamed: {error.strerror or error}") from error
