"""How much memory this process could still have: of the machine, and of the groups it is in.

Source:
    proc(5), `MemAvailable`: what can be had without swapping. Linux, Documentation/admin-guide/
    cgroup-v1/memory.rst and cgroup-v2.rst: limits hold for a group and everything below it, and
    count file pages, which are given up when they are needed. Documentation/accounting/psi.rst:
    `some avg10` is the share of the last ten seconds in which some process waited for memory.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryBound:
    """One ceiling over this process's memory.

    Attributes:
        source: `/proc/meminfo`, or the folder of a control group.
        limit_bytes: memory of the machine, or limit of the group.
        free_bytes: what could be had: unused, or used for file pages that can be given up.
        pressure: share of the last ten seconds in which a process under this ceiling waited for
            memory, 0 to 1; 0 where the kernel does not tell.
    """

    source: str
    limit_bytes: int
    free_bytes: int
    pressure: float


def read_memory_bounds(root: Path = _ROOT) -> tuple[MemoryBound, ...]:
    """Read every ceiling over this process: the machine's, and those of its groups.

    Groups without a limit, and limits above the machine's memory, are left out.

    Args:
        root: where `proc` and `sys` lie; another one reads a recorded system.

    Returns:
        The machine first, then groups from the innermost to the outermost. Empty where the system
        has no `/proc/meminfo`.
    """
    meminfo = _read_table(root / "proc/meminfo")
    if "MemTotal" not in meminfo or "MemAvailable" not in meminfo:
        return ()
    machine = MemoryBound(
        source="/proc/meminfo",
        limit_bytes=meminfo["MemTotal"] * 1024,
        free_bytes=meminfo["MemAvailable"] * 1024,
        pressure=_read_pressure(root / "proc/pressure/memory"),
    )
    groups = (_read_group(root, folder) for folder in _group_folders(root))
    tighter = [group for group in groups if group and group.limit_bytes < machine.limit_bytes]
    return (machine, *tighter)


def _read_group(root: Path, folder: Path) -> MemoryBound | None:
    """Read one group of either version; None where it has no limit, or went away just now."""
    path = root / folder.relative_to(_ROOT)
    stat = _read_table(path / "memory.stat")
    if (path / "memory.limit_in_bytes").exists():
        limits = [_read_number(path / "memory.limit_in_bytes")]
        used_bytes = _read_number(path / "memory.usage_in_bytes")
        stat = {name[len("total_") :]: n for name, n in stat.items() if name.startswith("total_")}
        mapped, dirty, writeback = "mapped_file", "dirty", "writeback"
    else:
        # Above `high` nobody is killed, but everybody is slowed down until memory is given up.
        limits = [_read_number(path / "memory.max"), _read_number(path / "memory.high")]
        used_bytes = _read_number(path / "memory.current")
        mapped, dirty, writeback = "file_mapped", "file_dirty", "file_writeback"
    known = [limit for limit in limits if limit is not None]
    if not known or used_bytes is None:
        return None
    cached_bytes = stat.get("inactive_file", 0) + stat.get("active_file", 0)
    # Mapped pages are running code: giving them up would only have them read again.
    kept_bytes = sum(stat.get(name, 0) for name in (mapped, dirty, writeback))
    held_bytes = used_bytes - max(0, cached_bytes - kept_bytes)
    return MemoryBound(
        source=str(folder),
        limit_bytes=min(known),
        free_bytes=max(0, min(known) - held_bytes),
        pressure=_read_pressure(path / "memory.pressure"),
    )


def _group_folders(root: Path) -> Iterator[Path]:
    """Yield the folders of this process's memory groups, from each up to where it is mounted."""
    groups = dict(_memberships(root))
    for kind, mounted_group, mount_point in _mounts(root):
        if kind not in groups:
            continue
        inside = os.path.relpath(groups[kind], mounted_group)
        # A group outside of what is mounted here: a container sees its own group as the top.
        folder = mount_point if inside.startswith("..") else mount_point / inside
        while True:
            yield folder
            if folder == mount_point:
                break
            folder = folder.parent


def _memberships(root: Path) -> Iterator[tuple[str, str]]:
    """Yield `(file system type, group)` of `/proc/self/cgroup`, where it counts memory."""
    for line in _read_lines(root / "proc/self/cgroup"):
        number, controllers, group = line.split(":", 2)
        if "memory" in controllers.split(","):
            yield "cgroup", group
        elif number == "0" and not controllers:
            yield "cgroup2", group


def _mounts(root: Path) -> Iterator[tuple[str, str, Path]]:
    """Yield `(file system type, mounted group, mount point)` of hierarchies that count memory."""
    for line in _read_lines(root / "proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        fields, kinds = before.split(), after.split()
        if len(fields) < 5 or len(kinds) < 3:
            continue
        kind, options = kinds[0], kinds[2].split(",")
        if kind == "cgroup2" or (kind == "cgroup" and "memory" in options):
            yield kind, _unescape(fields[3]), Path(_unescape(fields[4]))


def _unescape(path: str) -> str:
    """Undo the octal escapes of spaces and the like in mountinfo."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), path)


def _read_pressure(path: Path) -> float:
    for line in _read_lines(path):
        match = re.match(r"some avg10=([\d.]+)", line)
        if match:
            return float(match[1]) / 100
    return 0.0


def _read_number(path: Path) -> int | None:
    """Read a file that holds one number; None for `max`, and where it cannot be read."""
    text = "".join(_read_lines(path)).strip()
    return int(text) if text.isdigit() else None


def _read_table(path: Path) -> dict[str, int]:
    """Read lines of a name and a number, such as `MemTotal: 16 kB` or `inactive_file 4096`."""
    rows = (line.replace(":", " ").split() for line in _read_lines(path))
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdigit()}


def _read_lines(path: Path) -> list[str]:
    """Read a file of the kernel; empty where it is absent, or its group was just removed."""
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
