"""What a run leaves as JSON: figures, configuration, machine and versions."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from swapnet_ros.evaluation.drive_figures import DriveFigures
from swapnet_ros.evaluation.whole_text import write_whole

_PACKAGES = ("torch", "torchvision", "numpy", "opencv-python", "rclpy", "swapnet_core")
_CPU_INFO = Path("/proc/cpuinfo")


def write_summary(
    path: Path,
    *,
    figures: DriveFigures,
    configuration: Mapping[str, Any],
    observed: Mapping[str, Any],
    is_complete: bool,
) -> None:
    """Write the summary of a run; an older file is replaced in one step.

    Args:
        path: the JSON file.
        figures: the sums of the run. Keys end in their unit, as everywhere.
        configuration: what was run, of JSON types.
        observed: what else was seen, of JSON types.
        is_complete: False when the run was stopped before its end.
    """
    summary = {
        "complete": is_complete,
        "configuration": dict(configuration),
        "figures": asdict(figures),
        "observed": dict(observed),
        "machine": describe_machine(),
        "versions": describe_versions(),
    }
    write_whole(path, json.dumps(summary, indent=2) + "\n")


def describe_machine() -> dict[str, Any]:
    """Name the processor, its cores for this process, the memory and the system."""
    pages, page_bytes = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": _processor(),
        "architecture": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": pages * page_bytes,
        "system": platform.platform(),
    }


def describe_versions() -> dict[str, str]:
    """Return the versions of what matters for the figures; absent packages are left out."""
    found = {"python": platform.python_version(), "ros_distro": os.environ.get("ROS_DISTRO", "")}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue  # a system package, such as apt's cv2, which states no version here
    return found


def _processor() -> str:
    try:
        lines = _CPU_INFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
