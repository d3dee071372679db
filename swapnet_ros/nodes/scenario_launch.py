"""What the launch files of all scenarios share. Needs `launch` and `launch_ros`, but no rclpy.

[Note: launch arguments and parameter files]
rclpy applies the sections of parameter files in the order in which their names first appear, so a
plain override for `/**` loses against any section that a file has for a node. The overrides here
stand in a section of another name, `/**/*`, that fits every node and comes last.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription
from swapnet_ros.nodes.errors import ParameterSourceError

PACKAGE = "swapnet_ros"
_FLAGS = {"true": True, "1": True, "false": False, "0": False}


def describe_scenario(scenario: str, cameras: Mapping[str, str]) -> LaunchDescription:
    """Describe a scenario's perception process.

    Args:
        scenario: name of its file in `config/`, without the ending.
        cameras: what each camera looks at, by its topic in the file. Every camera gets an argument
            of its topic's name, for the topic to take its images from.

    Returns:
        The launch description, with the arguments that every scenario has and its cameras.
    """
    params_file = Path(get_package_share_directory(PACKAGE)) / "config" / f"{scenario}.yaml"
    start = OpaqueFunction(function=_start, args=[tuple(cameras)])
    return LaunchDescription([*_arguments(params_file, cameras), start])


def _arguments(params_file: Path, cameras: Mapping[str, str]) -> list[DeclareLaunchArgument]:
    described = {
        "params_file": (str(params_file), "Parameter file of the scenario."),
        "namespace": ("", "Namespace of all nodes, such as robot1."),
        "use_sim_time": ("", "true: take the time from /clock. Empty: as the file says."),
        "budget": ("", "Memory of all networks, such as 96MiB, or auto. Empty: as the file says."),
        "device": ("", "Device of the networks, such as cpu. Empty: as the file says."),
        "autostart": ("", "false: leave the nodes unconfigured. Empty: as the file says."),
        "log_level": ("info", "debug, info, warn, error or fatal."),
    }
    for camera, view in cameras.items():
        described[camera] = (camera, f"Topic of the camera {view}; compressed images below it.")
    return [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in described.items()
    ]


def _start(context: LaunchContext, cameras: Sequence[str]) -> list[Node]:
    """Start the process with the arguments as they are when the launch begins."""

    def argument(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    overrides: dict[str, str | bool] = {
        name: argument(name) for name in ("budget", "device") if argument(name)
    }
    for name in ("use_sim_time", "autostart"):
        if argument(name):
            overrides[name] = _flag(name, argument(name))
    parameters = [argument("params_file")]
    if overrides:
        parameters.append(_write_overrides(overrides))
    return [
        Node(
            package=PACKAGE,
            executable="perception",
            namespace=argument("namespace"),
            parameters=parameters,
            remappings=[(camera, argument(camera)) for camera in cameras],
            arguments=["--ros-args", "--log-level", argument("log_level")],
            output="screen",
        )
    ]


def _flag(name: str, text: str) -> bool:
    if text.lower() not in _FLAGS:
        raise ParameterSourceError((f"{name} is true or false, not {text!r}",))
    return _FLAGS[text.lower()]


def _write_overrides(overrides: dict[str, str | bool]) -> str:
    """Write a parameter file that lives as long as the system keeps temporary files."""
    content = {"/**/*": {"ros__parameters": overrides}}
    with tempfile.NamedTemporaryFile(
        "w", prefix="swapnet_launch_", suffix=".yaml", delete=False, encoding="utf-8"
    ) as file:
        yaml.safe_dump(content, file)
    return file.name
