"""Ground truth for the images of a bag: from its topics, and from files beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path

from swapnet_core.errors import InputError
from swapnet_ros.evaluation.bags.formats import IMAGE_LIST
from swapnet_ros.evaluation.bags.reader import BagReader
from swapnet_ros.evaluation.direct.direct_task import DirectTask
from swapnet_ros.evaluation.direct.label_spec import LabelSource, LabelSpec
from swapnet_ros.evaluation.direct.scoring import Scoring
from swapnet_ros.evaluation.metrics.label_map import LabelMap
from swapnet_ros.evaluation.metrics.scorers import make_scorer
from swapnet_ros.evaluation.truth.file_truth import FileTruth
from swapnet_ros.evaluation.truth.image_names import (
    by_short_name,
    images_in,
    read_stamps,
    without_suffix,
)
from swapnet_ros.evaluation.truth.label_files import LabelFiles, open_label_files
from swapnet_ros.evaluation.truth.meetings import half_frame_period_ns
from swapnet_ros.evaluation.truth.messages import (
    CLASS_MAP_TYPES,
    NAME_TYPES,
    TRUTH_TYPES,
    read_label_names,
)
from swapnet_ros.evaluation.truth.sources import FrameLabels, TruthSource
from swapnet_ros.evaluation.truth.topic_truth import TopicTruth

_FRAMES_FOR_PERIOD = 32
_NS_PER_S = 1_000_000_000
_NAMES_BESIDE = ("segmentation_info", "label_info")


def make_scoring(spec: LabelSpec, tasks: Sequence[DirectTask], bag: BagReader) -> Scoring:
    """Open all labels, and make a scorer for every task.

    Args:
        spec: where labels come from; without sources nothing is scored.
        tasks: whose results are judged.
        bag: opened a second time, as it is read here while the images are read elsewhere.

    Raises:
        InputError: it cannot be told whose labels they are, or how they meet their images.
        LabelsError: a label file cannot be read.
        TruthError: labels are of no known kind, or classes are grouped twice.
    """
    if not spec.sources:
        return Scoring(None, {})
    topics = sorted({topic for task in tasks for topic in task.topics})
    found: dict[str, list[FrameLabels]] = {}
    tolerances: dict[str, list[int]] = {}
    for source in spec.sources:
        topic = _images_of(source, topics)
        tolerance_ns = _tolerance_ns(source, bag, topic)
        found.setdefault(topic, []).append(_open(source, bag, topic, tolerance_ns))
        tolerances.setdefault(topic, []).append(tolerance_ns)
    groups = dict(spec.same_classes)
    label_map = LabelMap(
        {key: names for key, names in groups.items() if key != "ignored"},
        ignored=groups.get("ignored", ()),
    )
    scorers = {
        task.name: make_scorer(
            task.task,
            getattr(task.network, "labels", ()),
            label_map,
            min_score=spec.min_score,
        )
        for task in tasks
        if found.keys() & set(task.topics)
    }
    return Scoring(TruthSource(found), scorers, tolerances_ns=tolerances)


def _images_of(source: LabelSource, topics: Sequence[str]) -> str:
    """The topic of the images that a source labels."""
    if source.images:
        if source.images not in topics:
            raise InputError(
                f"{source.labels} labels images of {source.images}, which no task looks at; "
                f"topics are {', '.join(topics)}"
            )
        return source.images
    if len(topics) > 1:
        raise InputError(
            f"{source.labels} could label the images of {', '.join(topics)}; write a .yaml file "
            "for --labels in which the source says `images: topic`"
        )
    return topics[0]


def _tolerance_ns(source: LabelSource, bag: BagReader, topic: str) -> int:
    """Half the time between frames, from the first ones, unless the source says another one."""
    if source.tolerance_s is not None:
        return round(source.tolerance_s * _NS_PER_S)
    with closing(bag.frames((topic,))) as frames:
        return half_frame_period_ns([each.stamp_ns for each in islice(frames, _FRAMES_FOR_PERIOD)])


def _open(source: LabelSource, bag: BagReader, topic: str, tolerance_ns: int) -> FrameLabels:
    if source.labels in bag.topics:
        names = source.names or _names_in(bag, source.labels)
        return TopicTruth(bag.messages(source.labels), tolerance_ns=tolerance_ns, labels=names)
    path = Path(source.labels)
    files = open_label_files(
        path,
        kind=source.kind or None,
        labels=source.names,
        suffix=source.suffix,
        pattern=source.pattern,
    )
    if source.stamps:
        stamps: Mapping[int, str] | None = read_stamps(Path(source.stamps))
    else:
        stamps = None if source.order else _stamps_of_made(bag, files)
    folder = Path(source.order) if source.order else (path if path.is_dir() else path.parent)
    order = () if stamps is not None or not folder.is_dir() else images_in(folder)
    if order and not source.order:
        _require_as_many(source, order, bag, topic)
    return FileTruth(files, tolerance_ns=tolerance_ns, order=order, stamps=stamps)


def _stamps_of_made(bag: BagReader, files: LabelFiles) -> Mapping[int, str] | None:
    """Names of images by their stamps, where the bag was made of images that are labelled."""
    path = bag.path / IMAGE_LIST
    if not path.is_file():
        return None
    stamps, known = read_stamps(path), by_short_name(files.names)
    return stamps if any(without_suffix(name) in known for name in stamps.values()) else None


def _require_as_many(source: LabelSource, order: Sequence[str], bag: BagReader, topic: str) -> None:
    """Make sure that a made bag's images can be those of a folder with other names.

    Raises:
        InputError: there are more or fewer, so a frame's number does not tell its labels.
    """
    count = bag.image_topics[topic]
    if (bag.path / IMAGE_LIST).is_file() and len(order) != count:
        raise InputError(
            f"{source.labels} labels other images than those that {bag.path} was made of: "
            f"{bag.path / IMAGE_LIST} has none of their names, and there are {len(order)} of them "
            f"for {count} frames of {topic}. Where they belong together all the same, write a "
            ".yaml file for --labels in which the source says `stamps: FILE` or `order: FOLDER`"
        )


def _names_in(bag: BagReader, topic: str) -> tuple[str, ...]:
    """Names of the classes of a topic's class maps: from a topic beside it.

    Raises:
        InputError: the topic has no labels, or class maps without names.
        TruthError: there are no names in that message.
    """
    kind = bag.topics[topic]
    if kind not in TRUTH_TYPES:
        raise InputError(
            f"--labels {topic}: messages of {kind} are no labels; {', '.join(TRUTH_TYPES)} are"
        )
    if kind not in CLASS_MAP_TYPES:
        return ()
    folder = topic.removesuffix("/compressed").rpartition("/")[0]
    beside = [f"{folder}/{name}" for name in _NAMES_BESIDE]
    for each in beside:
        if bag.topics.get(each) in NAME_TYPES:
            with closing(bag.messages(each)) as messages:
                for _, message in messages:
                    return read_label_names(message)
    raise InputError(
        f"--labels {topic}: class maps need the names of their classes, and the bag has none on "
        f"{' or '.join(beside)}; write a .yaml file for --labels in which the source says "
        "`names: [...]`"
    )
