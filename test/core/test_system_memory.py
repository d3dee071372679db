"""Free memory as kernels of several kinds tell it: written down here as they print it, and live."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from swapnet_core.sizes import GIB, MIB
from swapnet_core.system_memory import MemoryBound, read_memory_bounds

_MEMINFO = """MemTotal:       16777216 kB
MemFree:         1048576 kB
MemAvailable:    8388608 kB
HugePages_Total:       0
"""
_PRESSURE = """some avg10=12.50 avg60=3.00 avg300=1.00 total=465420
full avg10=9.00 avg60=2.00 avg300=0.50 total=140074
"""
_V2_MOUNT = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
_V1_MOUNTS = (
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n"
    "35 31 0:32 {top} /sys/fs/cgroup/memory rw,relatime shared:16 - cgroup cgroup rw,memory\n"
    "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
)
_V1_UNLIMITED = "9223372036854771712"
_MACHINE = MemoryBound(
    source="/proc/meminfo", limit_bytes=16 * GIB, free_bytes=8 * GIB, pressure=0.125
)


def write(root: Path, **files: str | int) -> Path:
    """Write files of a system; `__` stands for `/` in their names."""
    for name, content in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}")
    return root


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """A machine without control groups."""
    return write(tmp_path, proc__meminfo=_MEMINFO, proc__pressure__memory=_PRESSURE)


def write_group(root: Path, folder: str, **files: str | int) -> None:
    """Write files of a control group; `__` stands for the dot in their names."""
    path = root / folder.lstrip("/")
    path.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (path / name.replace("__", ".")).write_text(f"{content}\n")


def test_a_machine_without_groups(system: Path) -> None:
    assert read_memory_bounds(system) == (_MACHINE,)


def test_a_kernel_without_pressure_information(tmp_path: Path) -> None:
    (machine,) = read_memory_bounds(write(tmp_path, proc__meminfo=_MEMINFO))
    assert machine.pressure == 0.0


def test_a_system_without_meminfo_tells_nothing(tmp_path: Path) -> None:
    assert read_memory_bounds(tmp_path) == ()


def test_nested_groups_of_version_2(system: Path) -> None:
    write(system, proc__self__cgroup="0::/robot.slice/vision\n", proc__self__mountinfo=_V2_MOUNT)
    stat = "anon 1000\nfile 400000000\ninactive_file {} \nactive_file {}\nfile_mapped {}\n"
    write_group(
        system,
        "/sys/fs/cgroup/robot.slice/vision",
        memory__max="max",
        memory__high=2 * GIB,
        memory__current=GIB,
        memory__stat=stat.format(300 * MIB, 100 * MIB, 50 * MIB) + f"file_dirty {MIB}\n",
        memory__pressure="some avg10=0.00 avg60=0.00 avg300=0.00 total=1\n",
    )
    write_group(
        system,
        "/sys/fs/cgroup/robot.slice",
        memory__max=4 * GIB,
        memory__high="max",
        memory__current=3 * GIB,
        memory__stat=stat.format(0, 0, 7),
        memory__pressure=_PRESSURE,
    )
    write_group(system, "/sys/fs/cgroup", memory__stat="anon 1\n")
    assert read_memory_bounds(system) == (
        _MACHINE,
        MemoryBound(
            source="/sys/fs/cgroup/robot.slice/vision",
            limit_bytes=2 * GIB,
            free_bytes=GIB + 349 * MIB,
            pressure=0.0,
        ),
        MemoryBound(
            source="/sys/fs/cgroup/robot.slice", limit_bytes=4 * GIB, free_bytes=GIB, pressure=0.125
        ),
    )


def _write_v1_group(system: Path, folder: str, limit: int | str) -> None:
    write_group(
        system,
        folder,
        memory__limit_in_bytes=limit,
        memory__usage_in_bytes=GIB,
        memory__stat=f"inactive_file 7\nmapped_file 9\ntotal_inactive_file {200 * MIB}\n"
        f"total_active_file {100 * MIB}\ntotal_mapped_file {50 * MIB}\ntotal_dirty 0\n",
    )


def test_groups_of_version_1_and_an_empty_unified_hierarchy(system: Path) -> None:
    write(
        system,
        proc__self__cgroup="4:memory:/robot\n3:cpuset:/\n0::/\n",
        proc__self__mountinfo=_V1_MOUNTS.format(top="/"),
    )
    _write_v1_group(system, "/sys/fs/cgroup/memory/robot", 2 * GIB)
    _write_v1_group(system, "/sys/fs/cgroup/memory", _V1_UNLIMITED)
    group = MemoryBound(
        source="/sys/fs/cgroup/memory/robot",
        limit_bytes=2 * GIB,
        free_bytes=GIB + 250 * MIB,
        pressure=0.0,
    )
    assert read_memory_bounds(system) == (_MACHINE, group)


@pytest.mark.parametrize(
    ("group", "top"),
    [("/docker/4f2a", "/docker/4f2a"), ("/", "/"), ("/../other", "/docker/4f2a")],
)
def test_a_container_sees_its_own_group_at_the_mount_point(
    system: Path, group: str, top: str
) -> None:
    write(
        system,
        proc__self__cgroup=f"4:cpu,memory:{group}\n",
        proc__self__mountinfo=_V1_MOUNTS.format(top=top),
    )
    _write_v1_group(system, "/sys/fs/cgroup/memory", 3 * GIB)
    assert [bound.limit_bytes for bound in read_memory_bounds(system)] == [16 * GIB, 3 * GIB]


def test_a_mount_point_with_a_space(system: Path) -> None:
    mount = _V2_MOUNT.replace("/sys/fs/cgroup ", r"/sys/my\040groups ")
    write(system, proc__self__cgroup="0::/\n", proc__self__mountinfo=mount)
    write_group(system, "/sys/my groups", memory__max=GIB, memory__current=0)
    assert read_memory_bounds(system)[1].source == "/sys/my groups"


def test_a_group_that_is_fuller_than_its_limit_has_nothing_free(system: Path) -> None:
    write(system, proc__self__cgroup="0::/\n", proc__self__mountinfo=_V2_MOUNT)
    write_group(system, "/sys/fs/cgroup", memory__max=GIB, memory__current=GIB + 5)
    assert read_memory_bounds(system)[1].free_bytes == 0


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="no /proc/meminfo")
def test_this_machine() -> None:
    machine, *groups = read_memory_bounds()
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert machine.limit_bytes == pytest.approx(pages, rel=0.05)
    for bound in (machine, *groups):
        assert 0 <= bound.free_bytes <= bound.limit_bytes <= machine.limit_bytes
        assert 0.0 <= bound.pressure <= 1.0
