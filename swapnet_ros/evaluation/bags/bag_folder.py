"""Finds the storage files of a bag, also where its metadata.yaml is missing or wrong."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import yaml

from swapnet_ros.evaluation.bags.problems import BagError, ProblemKind, ProblemTally
from swapnet_ros.evaluation.bags.storage_file import SUFFIXES

METADATA = "metadata.yaml"


def find_storage_files(path: Path, tally: ProblemTally) -> tuple[Path, ...]:
    """Return a bag's storage files in the order of recording.

    Args:
        path: a bag's folder, or one storage file.
        tally: is told what is wrong with the folder.

    Raises:
        BagError: there is no bag.
    """
    if path.is_file():
        _check_suffix(path)
        return (path,)
    if not path.is_dir():
        raise BagError(f"there is no bag at {path}")
    present = {file.name: file for file in sorted(path.iterdir(), key=natural_order)}
    present = {name: file for name, file in present.items() if name.endswith(SUFFIXES)}
    if not present:
        raise BagError(
            f"{path} is no bag: it has no storage file ({', '.join(SUFFIXES)}). A bag is a folder "
            "that `ros2 bag record` or `swapnet bag` made, or one storage file"
        )
    listed = _listed_files(path / METADATA, tally)
    if listed is None:
        return tuple(present.values())
    for name in listed:
        if name not in present:
            tally.add(ProblemKind.MISSING_FILE, name)
    unlisted = [name for name in present if name not in listed]
    for name in unlisted:
        tally.add(ProblemKind.UNLISTED_FILE, name)
    names = [name for name in listed if name in present] + unlisted
    return tuple(present[name] for name in names)


def natural_order(path: Path) -> list[tuple[int, int, str]]:
    """Sort key of a file name that puts `bag_10` behind `bag_9`."""
    parts = re.split(r"(\d+)", path.name)
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts]


def _check_suffix(path: Path) -> None:
    if path.suffix == ".bag":
        raise BagError(
            f"{path} is a ROS 1 bag; `rosbags-convert --src {path} --dst FOLDER` makes one that "
            "can be read"
        )
    if path.name == METADATA:
        raise BagError(f"{path} is a part of a bag; name its folder, {path.parent}")
    if not path.name.endswith(SUFFIXES):
        raise BagError(f"{path} is no bag: a storage file ends in {', '.join(SUFFIXES)}")


def _listed_files(metadata: Path, tally: ProblemTally) -> Sequence[str] | None:
    """Names that metadata.yaml lists; None where it cannot be used."""
    try:
        content = yaml.safe_load(metadata.read_text(encoding="utf-8"))
        paths = content["rosbag2_bagfile_information"]["relative_file_paths"]
        # before ROS 2 Foxy the paths begin with the folder's name
        return [PurePosixPath(path).name for path in paths]
    except FileNotFoundError:
        tally.add(ProblemKind.NO_METADATA, "")
    except KeyError as error:
        tally.add(ProblemKind.BAD_METADATA, "", detail=f"it has no {error}")
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError) as error:
        reason = str(error).split("\n")[0]
        tally.add(ProblemKind.BAD_METADATA, "", detail=reason)
    return None
