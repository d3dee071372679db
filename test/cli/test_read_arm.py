"""How fast reads are: by themselves, and while something is done beside them."""

import os
import time

import pytest

from swapnet_core.lane import REQUEST_BYTES
from swapnet_ros.cli.read_arm import ReadArm

_REQUESTS = 12


@pytest.fixture
def arm(tmp_path):
    path = tmp_path / "blocks"
    path.write_bytes(os.urandom(_REQUESTS * REQUEST_BYTES))
    with ReadArm(path) as arm:
        yield arm


def test_reads_that_end_first_count_until_their_end(arm):
    arm.take_turn()
    with arm.reading(_REQUESTS * REQUEST_BYTES):
        time.sleep(1.0)
    # Nothing computes: as fast as without, on a machine that others use, too.
    assert arm.beside_bytes_per_s > 2 * _REQUESTS * REQUEST_BYTES
    assert 0.2 < arm.beside_bytes_per_s / arm.bandwidth_bytes_per_s < 5.0


def test_reads_that_end_last_count_until_the_other_end(arm, monkeypatch):
    read_into = arm._reader.read_into

    def slowly(*arguments):
        time.sleep(0.1)
        return read_into(*arguments)

    monkeypatch.setattr(arm._reader, "read_into", slowly)
    begin_s = time.perf_counter()
    with arm.reading(_REQUESTS * REQUEST_BYTES):
        time.sleep(0.35)
    assert time.perf_counter() - begin_s >= 0.1 * _REQUESTS / 2
    # Two threads have ended three reads each by then, and have one each under way.
    most = 8 * REQUEST_BYTES / 0.35
    assert 4 / 8 * most < arm.beside_bytes_per_s < 1.05 * most


def test_what_nothing_is_read_beside_does_not_count(arm):
    with arm.reading(REQUEST_BYTES):
        time.sleep(0.05)
    first = arm.beside_bytes_per_s
    with arm.reading(0):
        time.sleep(0.05)
    assert arm.beside_bytes_per_s == first


def test_where_nothing_was_read_beside_it_is_as_without(arm):
    arm.take_turn()
    with arm.reading(0):
        pass
    assert arm.beside_bytes_per_s == arm.bandwidth_bytes_per_s
