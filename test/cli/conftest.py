"""The `swapnet` command, called in this process: what it prints, and its exit code."""

import shutil
import sys
from dataclasses import dataclass

import pytest

from swapnet_ros.cli.app import main


@dataclass(frozen=True)
class Finished:
    exit_code: int
    output: str
    errors: str


@pytest.fixture
def swapnet(tmp_path, monkeypatch, capsys, measured_storage):
    """Run the command; its cache directory is the test's own, with storage measured already."""
    shutil.copytree(measured_storage, tmp_path / "cache" / "swapnet")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "120")

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["swapnet", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return Finished(ended.value.code or 0, printed.out, printed.err)

    return run
