"""Where ground truth comes from, as the command line or a file says it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import yaml

from swapnet_core.errors import InputError

_PATHS = ("stamps", "order")


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSource:
    """Labels from one place.

    Attributes:
        labels: a file, a folder, or a topic of the bag, which begins with a slash.
        images: topic of the images that are labelled; empty where the tasks look at one only.
        kind: of label files, as `open_label_files` takes it; empty to see what is there.
        names: class names by number, where labels have numbers.
        suffix: of masks: what stands behind an image's name.
        pattern: of classes in file names.
        order: folder of the images that the bag was made of: a frame's number tells its name;
            empty for the labels' own folder.
        stamps: CSV file of stamps and names of images.
        tolerance_s: longest time between a frame and its labels; None: half a frame period.
    """

    labels: str
    images: str = ""
    kind: str = ""
    names: tuple[str, ...] = ()
    suffix: str = ""
    pattern: str = ""
    order: str = ""
    stamps: str = ""
    tolerance_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSpec:
    """All ground truth of an evaluation.

    Attributes:
        sources: where labels come from; of several for one topic and kind, the first counts.
        same_classes: names that mean one class, by its name; `ignored` are those that do not count.
        min_score: smallest score of the detections that precision and recall count.
    """

    sources: tuple[LabelSource, ...] = ()
    same_classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    min_score: float = 0.3

    def to_json(self) -> dict[str, Any]:
        """Return the specification as plain JSON types."""
        return asdict(self)


def read_label_spec(words: Sequence[str], bag_topics: Sequence[str]) -> LabelSpec:
    """Read what `--labels` says.

    Args:
        words: each a topic of the bag, a file or folder of labels, or a `.yaml` file that lists
            sources with their options.
        bag_topics: all topics of the bag.

    Raises:
        InputError: there is no such topic or file, or a `.yaml` file is not of that form.
    """
    spec = LabelSpec()
    for word in words:
        if word.endswith((".yaml", ".yml")):
            spec = _joined(spec, _read_file(Path(word)))
        else:
            spec = replace(spec, sources=(*spec.sources, LabelSource(labels=word)))
    for source in spec.sources:
        if source.labels not in bag_topics and not Path(source.labels).exists():
            raise InputError(
                f"--labels {source.labels}: the bag has no such topic, and there is no such file; "
                f"topics are {', '.join(sorted(bag_topics))}"
            )
    return spec


def _joined(one: LabelSpec, other: LabelSpec) -> LabelSpec:
    """Sources of both, and the settings of the second."""
    return replace(
        other,
        sources=(*one.sources, *other.sources),
        same_classes={**one.same_classes, **other.same_classes},
    )


def _read_file(path: Path) -> LabelSpec:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"--labels {path} cannot be read: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("sources"), list):
        raise InputError(
            f"--labels {path} must have a list `sources`, each with `labels: file, folder or topic`"
        )
    settings = _checked(content, LabelSpec, path)
    sources = tuple(_read_source(each, path) for each in settings.pop("sources"))
    groups = settings.pop("same_classes", {})
    if not isinstance(groups, dict) or not all(isinstance(each, list) for each in groups.values()):
        raise InputError(f"--labels {path}: same_classes must be as `vehicle: [car, bus]`")
    return LabelSpec(
        sources=sources,
        same_classes={str(key): tuple(map(str, each)) for key, each in groups.items()},
        **settings,
    )


def _read_source(content: Any, path: Path) -> LabelSource:
    if not isinstance(content, dict) or not isinstance(content.get("labels"), str):
        raise InputError(f"--labels {path}: a source must say `labels: file, folder or topic`")
    options = _checked(content, LabelSource, path)
    options["names"] = _names(options.get("names", ()), path)
    for key in _PATHS:
        if options.get(key):
            options[key] = str(path.parent / options[key])
    if not options["labels"].startswith("/"):
        options["labels"] = str(path.parent / options["labels"])
    return LabelSource(**options)


def _names(given: Any, path: Path) -> tuple[str, ...]:
    """Class names: a list, or a file with one per line."""
    if not isinstance(given, str):
        return tuple(map(str, given))
    try:
        lines = (path.parent / given).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--labels {path}: names {given} cannot be read: {error}") from error
    return tuple(line.strip() for line in lines if line.strip())


def _checked(content: Mapping[str, Any], kind: type, path: Path) -> dict[str, Any]:
    """The content, with no keys but the fields of a class."""
    known = [each.name for each in fields(kind)]
    unknown = sorted(content.keys() - set(known))
    if unknown:
        raise InputError(
            f"--labels {path} has no meaning for {', '.join(unknown)}; known are {', '.join(known)}"
        )
    return dict(content)
