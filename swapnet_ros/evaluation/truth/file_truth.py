"""Labels from files, for the frames of one topic."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence

from swapnet_ros.evaluation.truth.errors import TruthError
from swapnet_ros.evaluation.truth.frame import TruthFrame
from swapnet_ros.evaluation.truth.image_names import by_short_name, without_suffix
from swapnet_ros.evaluation.truth.label_files import LabelFiles
from swapnet_ros.evaluation.truth.meetings import Meetings, TruthReport, check_tolerance
from swapnet_ros.perception.errors import LabelsError


class FileTruth:
    """Labels from files. Any thread may call any method, one at a time."""

    def __init__(
        self,
        files: LabelFiles,
        *,
        tolerance_ns: int,
        order: Sequence[str] = (),
        stamps: Mapping[int, str] | None = None,
    ) -> None:
        """Take the labels of some files.

        Args:
            files: the labels, by the images' names.
            tolerance_ns: longest time between a frame and a stamp in `stamps`.
            order: names of the images in the order in which the topic has them, labelled or not;
                empty where frames are not to be found by their number.
            stamps: names of images by their stamps in nanoseconds. None: where all names of the
                labels are such stamps they are taken so, else frames are not found by stamps.

        Raises:
            TruthError: the tolerance is negative, or there are no labels.
        """
        check_tolerance(tolerance_ns)
        if not files.names:
            raise TruthError("there is no label in these files; check the folder or the kind")
        self._files = files
        self._tolerance_ns = tolerance_ns
        self._order = tuple(order)
        given = _stamps_in(files.names) if stamps is None else stamps
        self._stamps = sorted(given.items())
        self._names = by_short_name(files.names)
        self._used: set[str] = set()
        self._meetings = Meetings()

    def find(self, stamp_ns: int, *, name: str = "", index: int | None = None) -> TruthFrame | None:
        """The labels of a frame: by its name, else by its stamp, else by its number.

        A label file that cannot be read is counted as a problem.
        """
        self._meetings.count_frame()
        image, offset_ns = self._image_of(stamp_ns, name, index)
        key = None if image is None else self._names.get(without_suffix(image))
        if key is None:
            return None
        try:
            found = self._files.read(key)
        except LabelsError as error:
            self._meetings.count_problem(str(error))
            return None
        if found is None:
            return None
        self._used.add(key)
        self._meetings.count_match(offset_ns)
        return found

    def report(self) -> TruthReport:
        """How frames and labels met so far."""
        return self._meetings.report(read=len(self._files.names), used=len(self._used))

    def _image_of(self, stamp_ns: int, name: str, index: int | None) -> tuple[str | None, int]:
        """The image that a frame is, and how far its stamp is away."""
        if name and without_suffix(name) in self._names:
            return name, 0
        if self._stamps:
            return self._nearest(stamp_ns)
        if index is not None and index < len(self._order):
            return self._order[index], 0
        return None, 0

    def _nearest(self, stamp_ns: int) -> tuple[str | None, int]:
        place = bisect_left(self._stamps, (stamp_ns, ""))
        near = self._stamps[max(0, place - 1) : place + 1]
        found_ns, image = min(near, key=lambda each: abs(each[0] - stamp_ns))
        offset_ns = abs(found_ns - stamp_ns)
        return (image, offset_ns) if offset_ns <= self._tolerance_ns else (None, 0)


def _stamps_in(names: Sequence[str]) -> Mapping[int, str]:
    short = [name.rpartition("/")[2] for name in names]
    if not all(each.isdecimal() and len(each) >= 16 for each in short):
        return {}
    return {int(each): name for each, name in zip(short, names, strict=True)}
