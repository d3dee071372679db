"""Small Darknet networks from text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from swapnet_ros.perception.models.darknet.definition import read_definition
from swapnet_ros.perception.models.darknet.layers import NetworkDefinition

Define = Callable[[str], NetworkDefinition]


@pytest.fixture
def write_cfg(tmp_path: Path) -> Callable[[str], Path]:
    """Write a cfg file and return its path."""

    def write(text: str) -> Path:
        path = tmp_path / "net.cfg"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def define(write_cfg: Callable[[str], Path]) -> Define:
    """Read the definition of a network of 2 channels, 6 rows and 5 columns, given its layers."""

    def read(layers: str) -> NetworkDefinition:
        return read_definition(write_cfg(f"[net]\nchannels=2\nheight=6\nwidth=5\n{layers}"))

    return read
