"""What the launch files of all scenarios share. Needs `launch` and `launch_ros`, but no rclpy.

[Note: launch arguments and parameter files]
rclpy applies the sections of parameter files in the order in which their names first appear, so a
plain override for `/**` loses against any section that a file has for a node. The overrides here
stand in a section of another name, `/**/*`, that fits every node and comes last.

[Note: Ctrl-C]
launch kills a process ten seconds after Ctrl-C. The networks' images in hand, one of each node, may
take longer than that on a slow computer, so here it waits for a minute, or as its own argument
`sigterm_timeout` says. A second Ctrl-C ends the process at once.

[Note: no core in here]
The launch process lives as long as the nodes. Whatever imports `swapnet_core`, as the errors of
the nodes do, would load PyTorch into it, too: seconds at the start, and its memory for good.
"""

from __future__ import annotations

import difflib
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import yaml
from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.logging import get_logger
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription
from swapnet_ros.nodes.dds_environment import shared_memory_variables

PACKAGE = "swapnet_ros"
FINISH_S = "60"  # as text, as launch has its arguments
_ALMOST = 0.8
_FLAGS = {"true": True, "1": True, "false": False, "0": False}


class LaunchArgumentError(ValueError):
    """An argument cannot be used; no `SwapNetError`, see [Note: no core in here]."""


def describe_scenario(
    scenario: str, cameras: Mapping[str, str], *, boxes: str | None = None
) -> LaunchDescription:
    """Describe a scenario's perception process.

    Args:
        scenario: name of its file in `config/`, without the ending.
        cameras: what each camera looks at, by its topic in the file. Every camera gets an argument
            of its topic's name, for the topic to take its images from.
        boxes: what takes a detector's boxes, for the argument `detections` that says where from;
            None for no such argument.

    Returns:
        The launch description, with the arguments that every scenario has and its topics.
    """
    params_file = _config() / f"{scenario}.yaml"
    topics = {
        camera: f"Topic of the camera {view}; compressed images below it."
        for camera, view in cameras.items()
    }
    if boxes is not None:
        topics["detections"] = f"Topic of the boxes for {boxes}."
    arguments = _arguments(params_file, topics)
    check = OpaqueFunction(function=_check, args=[tuple(each.name for each in arguments)])
    start = OpaqueFunction(function=_start, args=[tuple(topics)])
    return LaunchDescription([*arguments, check, start])


def _arguments(params_file: Path, topics: Mapping[str, str]) -> list[DeclareLaunchArgument]:
    described = {
        "params_file": (str(params_file), "Parameter file of the scenario."),
        "namespace": ("", "Namespace of all nodes, such as robot1."),
        "use_sim_time": ("", "true: take the time from /clock. Empty: as the file says."),
        "budget": ("", "Memory of all networks, such as 96MiB, or auto. Empty: as the file says."),
        "device": ("", "Device of the networks, such as cpu. Empty: as the file says."),
        "autostart": ("", "false: leave the nodes unconfigured. Empty: as the file says."),
        "log_level": ("info", "debug, info, warn, error or fatal."),
    }
    for topic, description in topics.items():
        described[topic] = (topic, description)
    return [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in described.items()
    ]


def _check(context: LaunchContext, known: Sequence[str]) -> None:
    """Warn of arguments that launch would let pass in silence."""
    for remark in misspelled(context.launch_configurations, known):
        get_logger(PACKAGE).warning(remark)


def misspelled(given: Collection[str], known: Collection[str]) -> Iterator[str]:
    """One sentence per argument that is almost a known one; it may be a surrounding launch file's.

    Args:
        given: names of all arguments that were given.
        known: names of the scenario's arguments.
    """
    for name in sorted(set(given) - set(known)):
        for close in difflib.get_close_matches(name, known, n=1, cutoff=_ALMOST):
            yield f"there is no argument {name!r} here; did you mean {close!r}?"


def _start(context: LaunchContext, topics: Sequence[str]) -> list[Node]:
    """Start the process with the arguments as they are when the launch begins."""

    def argument(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    overrides: dict[str, str | bool] = {
        name: argument(name) for name in ("budget", "device") if argument(name)
    }
    for name in ("use_sim_time", "autostart"):
        if argument(name):
            overrides[name] = _flag(name, argument(name))
    parameters = [_existing_file("params_file", argument("params_file"))]
    if overrides:
        parameters.append(_write_overrides(overrides))
    return [
        Node(
            package=PACKAGE,
            executable="perception",
            namespace=argument("namespace"),
            parameters=parameters,
            remappings=[(topic, argument(topic)) for topic in topics],
            arguments=["--ros-args", *_log_levels(argument("log_level"))],
            # what the nodes send is not lost on its way, whatever listens to it
            additional_env=shared_memory_variables(
                _config() / "fastdds_shared_memory.xml", context.environment
            ),
            output="screen",
            sigterm_timeout=LaunchConfiguration("sigterm_timeout", default=FINISH_S),
        )
    ]


def _config() -> Path:
    return Path(get_package_share_directory(PACKAGE)) / "config"


def _log_levels(level: str) -> list[str]:
    """Let `debug` be about the nodes: of rcl it is a line for every wait, hundreds per second."""
    quiet = ["--log-level", "rcl:=info"] if level.lower() == "debug" else []
    return ["--log-level", level, *quiet]


def _existing_file(name: str, path: str) -> str:
    """Refuse a file that there is none of: launch would start the process without it."""
    if not Path(path).is_file():
        raise LaunchArgumentError(f"{name}: there is no file {path!r}")
    return path


def _flag(name: str, text: str) -> bool:
    if text.lower() not in _FLAGS:
        raise LaunchArgumentError(f"{name} is true or false, not {text!r}")
    return _FLAGS[text.lower()]


def _write_overrides(overrides: dict[str, str | bool]) -> str:
    """Write a parameter file that lives as long as the system keeps temporary files."""
    content = {"/**/*": {"ros__parameters": overrides}}
    with tempfile.NamedTemporaryFile(
        "w", prefix="launch_arguments_", suffix=".yaml", delete=False, encoding="utf-8"
    ) as file:
        yaml.safe_dump(content, file)
    return file.name
