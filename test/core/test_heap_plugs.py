"""Holes in the heap are taken, so that what comes next lies close together at its end."""

from __future__ import annotations

import ctypes
import itertools
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from swapnet_core import SwapRuntime, heap_plugs, memory
from swapnet_core.heap_plugs import HeapPlugs

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="is about glibc's malloc")

_MIB = 2**20
_HOLES_MIB = (24, 7, 3, 1, 12, 2, 5)


class _Heap:
    """A heap with holes of several sizes: what lies between them stays as long as this."""

    def __init__(self) -> None:
        memory.keep_activations_in_heap()
        libc = memory.glibc()
        assert libc is not None
        self.libc = libc
        self._between: list[int] = []
        self.holes = [self._take(size * _MIB) for size in _HOLES_MIB]
        for hole in self.holes:
            libc.free(hole.start)

    def _take(self, size_bytes: int) -> range:
        begin = self.libc.malloc(size_bytes)
        while not self._between or self._between[-1] < begin:
            self._between.append(self.libc.malloc(_MIB))
        return range(begin, begin + size_bytes)

    def close(self) -> None:
        for address in self._between:
            self.libc.free(address)

    def place_of(self, size_bytes: int) -> int:
        """Tell where something would be put now."""
        address = self.libc.malloc(size_bytes)
        self.libc.free(address)
        return int(address)

    def is_in_hole(self, address: int) -> bool:
        return any(address in hole for hole in self.holes)


@pytest.fixture
def heap() -> Iterator[_Heap]:
    heap = _Heap()
    yield heap
    heap.close()


@pytest.fixture
def plugs() -> Iterator[HeapPlugs]:
    plugs = HeapPlugs()
    yield plugs
    plugs.remove()


def _count(plugs: HeapPlugs) -> int:
    return int(repr(plugs).split()[2])


@pytest.mark.parametrize("size_mib", [1, 3, 9])
def test_what_comes_after_lies_in_no_hole(heap: _Heap, plugs: HeapPlugs, size_mib: int) -> None:
    before = heap.place_of(size_mib * _MIB)
    plugs.renew()
    assert heap.place_of(size_mib * _MIB) != before
    assert not heap.is_in_hole(heap.place_of(size_mib * _MIB))
    plugs.remove()
    assert heap.place_of(size_mib * _MIB) == before


def test_what_is_taken_is_not_held(heap: _Heap, plugs: HeapPlugs) -> None:
    memory.return_free_memory()
    before_bytes = memory.anonymous_bytes()
    plugs.renew()
    assert _count(plugs) >= len(_HOLES_MIB)
    assert memory.anonymous_bytes() - before_bytes < _MIB


def test_the_same_holes_take_no_more_plugs(heap: _Heap, plugs: HeapPlugs) -> None:
    plugs.renew()
    count = _count(plugs)
    for _ in range(5):
        plugs.renew()
    assert abs(_count(plugs) - count) <= 2


# Tells whether a tensor's place serves the next one of its size, with another one right behind it.
_FIRST_PLACE = """
import torch
from swapnet_core import memory
from swapnet_core.heap_plugs import HeapPlugs

def reuses(size=3 * 2**20):
    first, behind = torch.empty(size), torch.empty(size)
    address = first.data_ptr()
    assert 0 <= behind.data_ptr() - address - 4 * size < 4096, "it lies right behind"
    del first
    return torch.empty(size).data_ptr() == address

memory.keep_activations_in_heap()
libc, plugs = memory.glibc(), HeapPlugs()
plugs.renew()
answers = [reuses(), reuses()]
small = [libc.malloc(200 * 1024) for _ in range(6)]  # the last one is at the heap's end
answers.append(reuses())
plugs.line_up()
answers.append(reuses())
for address in small:
    libc.free(address)
plugs.renew()
print(*answers, reuses())
"""


def test_a_tensors_place_serves_the_next_one_of_its_size() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _FIRST_PLACE],
        env={**os.environ, "GLIBC_TUNABLES": memory.NO_THREAD_CACHES},
        capture_output=True,
        text=True,
        check=True,
    )
    in_order, again, behind_small, lined_up, renewed = (w == "True" for w in done.stdout.split())
    assert in_order
    assert again
    assert not behind_small, "lining up is not needed any more"
    assert lined_up
    assert renewed


def test_small_objects_at_the_end_are_put_up_with_in_the_long_run(
    heap: _Heap, plugs: HeapPlugs
) -> None:
    plugs.renew()
    count, small = _count(plugs), []
    for _ in range(30):
        small.append(heap.libc.malloc(200 * 1024))
        plugs.line_up()
    assert count < _count(plugs) <= count + 8
    for address in small:
        heap.libc.free(address)


def test_an_output_that_somebody_has_stays_where_it_is(heap: _Heap, plugs: HeapPlugs) -> None:
    plugs.renew()
    count = _count(plugs)
    output = torch.empty(3 * _MIB)
    plugs.line_up()
    assert _count(plugs) == count
    del output


def test_inferences_hold_what_is_leased_and_fault_no_pages_in(heap: _Heap, tmp_path: Path) -> None:
    channels = (3, 96, 48, 24, 12, 6)  # of 24, 12, 6, 3 and 1.5 MiB
    layers = [nn.Conv2d(*pair, 3, padding=1) for pair in itertools.pairwise(channels)]
    network, image = nn.Sequential(*layers).eval(), torch.rand(1, 3, 256, 256)
    with SwapRuntime(budget="1GiB", cache_dir=tmp_path) as runtime:
        model = runtime.load("network", network, (image,))
        for _ in range(3):
            model(image)
        held_bytes, faults = 0, resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        runtime._dispatcher.run_exclusive(memory.return_free_memory)
        before_bytes = memory.anonymous_bytes()
        for _ in range(6):
            memory.reset_peak()
            model(image)
            held_bytes = max(held_bytes, memory.peak_anonymous_bytes() - before_bytes)
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
        assert held_bytes < model.stats().activation_bytes
        assert faults * 4096 < 1.5 * model.stats().activation_bytes  # once, not every time


def test_several_owners_do_not_disturb_each_other(heap: _Heap, plugs: HeapPlugs) -> None:
    others = HeapPlugs()
    others.renew()
    plugs.renew()
    others.remove()
    plugs.renew()
    assert not heap.is_in_hole(heap.place_of(2 * _MIB))
    others.remove()


@pytest.fixture
def looked_up_anew() -> Iterator[None]:
    """The C library's calls are looked up in the test, and anew after it."""
    heap_plugs._heap_calls.cache_clear()
    yield
    heap_plugs._heap_calls.cache_clear()


@pytest.mark.usefixtures("looked_up_anew")
def test_where_malloc_is_another_one_nothing_is_taken(
    heap: _Heap, plugs: HeapPlugs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "glibc", lambda: None)
    plugs.renew()
    assert _count(plugs) == 0


@pytest.mark.usefixtures("looked_up_anew")
def test_an_older_c_library_does_too(
    heap: _Heap, plugs: HeapPlugs, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = ctypes.PyDLL

    class Old:
        """As glibc was before 2.33: without `mallinfo2`."""

        def __init__(self, name: str) -> None:
            libc = real(name)
            self.malloc, self.free, self.mallinfo = libc.malloc, libc.free, libc.mallinfo

    monkeypatch.setattr(ctypes, "PyDLL", Old)
    plugs.renew()
    assert not heap.is_in_hole(heap.place_of(2 * _MIB))
