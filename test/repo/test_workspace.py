"""The set-up scripts, as far as they can be tried inside what they have set up."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_WORKSPACE = _ROOT / "scripts" / "workspace"


@pytest.fixture
def machine(monkeypatch):
    monkeypatch.syspath_prepend(str(_WORKSPACE))
    return import_module("machine")


@pytest.fixture
def environment(machine):
    return import_module("environment")


@pytest.fixture
def virtualenv(machine):
    return import_module("virtualenv")


def _prefix_with_rclpy(folder):
    (folder / "share" / "rclpy").mkdir(parents=True)
    (folder / "share" / "rclpy" / "package.xml").touch()
    return folder


def test_a_sourced_ros_is_preferred(machine, monkeypatch, tmp_path):
    pytest.importorskip("rclpy")
    prefix = _prefix_with_rclpy(tmp_path)
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{tmp_path / 'overlay'}:{prefix}")
    monkeypatch.setenv("ROS_DISTRO", "jazzy")
    ros = machine.find_ros()
    assert not ros.is_wheels
    assert ros.distro == "jazzy"
    assert prefix in ros.prefixes


def test_a_ros_of_another_python_is_named(machine, monkeypatch, tmp_path):
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(_prefix_with_rclpy(tmp_path)))
    monkeypatch.setenv("ROS_DISTRO", "humble")
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(machine.SetupError, match=r"humble is sourced, but /bin/false cannot"):
        machine.find_ros()


def test_our_own_environment_does_not_count_as_a_sourced_ros(machine, monkeypatch):
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{machine.INSTALL}:{machine.VENV}")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert machine.find_ros().is_wheels


def test_a_board_without_wheels_is_told_to_use_apt(machine, monkeypatch):
    monkeypatch.delenv("AMENT_PREFIX_PATH", raising=False)
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(machine.SetupError, match="aarch64: install ROS 2 from apt"):
        machine.find_ros()


def test_missing_system_packages_are_named_in_one_line(machine, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(machine.SetupError, match="sudo apt install gcc g\\+\\+ cmake make"):
        machine.require_build_tools()


def test_each_path_is_put_in_front_once(environment, machine, monkeypatch):
    monkeypatch.setenv("PATH", f"{machine.VENV / 'bin'}:/usr/bin")
    ros = machine.RosSource(prefixes=(), distro="wheels")
    once = environment.for_build(ros)
    assert once["PATH"] == f"{machine.VENV / 'bin'}:/usr/bin"
    assert once["_ROS_WHEELS_BOOTSTRAP_COMPLETE"] == "1"


def test_a_sourced_ros_keeps_its_paths(environment, machine, monkeypatch):
    monkeypatch.setenv("AMENT_PREFIX_PATH", "/opt/ros/jazzy")
    monkeypatch.delenv("_ROS_WHEELS_BOOTSTRAP_COMPLETE", raising=False)
    ros = machine.RosSource(prefixes=(Path("/opt/ros/jazzy"),), distro="jazzy")
    variables = environment.for_build(ros)
    assert variables["AMENT_PREFIX_PATH"] == "/opt/ros/jazzy"
    assert "_ROS_WHEELS_BOOTSTRAP_COMPLETE" not in variables


def test_bytecode_is_kept_also_where_a_container_forbids_it(environment, machine, monkeypatch):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    variables = environment.for_build(machine.RosSource(prefixes=(), distro="wheels"))
    code = "import sys; print(sys.dont_write_bytecode)"
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True)
    assert done.stdout.split() == [b"False"]


def test_the_build_time_paths_of_the_wheels_are_rewritten(virtualenv, monkeypatch, tmp_path):
    file = tmp_path / "share" / "pkg" / "cmake" / "pkgExport.cmake"
    file.parent.mkdir(parents=True)
    lines = (
        'set(a "/opt/python/cp311-cp311/include/python3.11")\n'
        'set(b "/opt/python/cp312-cp312/lib/python3.12/site-packages/numpy/_core/include")\n'
    )
    file.write_text(lines)
    linked = tmp_path / "cache"
    os.link(file, linked)
    monkeypatch.setattr(virtualenv, "VENV", tmp_path)
    virtualenv._rewrite_build_time_paths()
    assert "/opt/python" not in file.read_text()
    assert "site-packages/numpy/_core/include" in file.read_text()
    assert linked.read_text() == lines  # uv's cache is not ours to change


def test_what_the_set_up_says_does_not_get_among_the_exports(machine, capsys):
    machine.say("building with colcon")
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "set-up: building with colcon\n")


@pytest.mark.ros
def test_a_second_set_up_has_nothing_to_do_and_its_environment_leads_to_the_install_space():
    if not (_ROOT / "install").exists():
        pytest.skip("needs the install space: make test")
    command = [sys.executable, str(_WORKSPACE), "run", "--", "printenv", "AMENT_PREFIX_PATH"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "building" not in done.stderr
    assert done.stdout.startswith(str(_ROOT / "install"))
