"""Mistakes in parameter files and `-p` arguments, found before any network is loaded.

rclpy ignores a parameter that no node declares, so a typing error would quietly leave the default
in force. Here every key that is meant for a node of this process must be one that it knows.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from swapnet_ros.nodes.errors import ParameterSourceError
from swapnet_ros.nodes.parameter_specs import ParameterSpec

# rclpy declares these on every node.
_BUILT_IN = re.compile(r"use_sim_time|start_type_description_service|qos_overrides\..*")

NodeSpecs = Mapping[str, Sequence[ParameterSpec]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """One value for one parameter, as somebody wrote it down.

    Attributes:
        source: file or argument, for messages.
        nodes: pattern of fully qualified node names, such as `/**/object_detection`.
        name: the parameter.
        value: as YAML reads it.
    """

    source: str
    nodes: str
    name: str
    value: object

    def is_for(self, node: str) -> bool:
        """Whether the pattern fits a fully qualified node name; the rules are rclpy's."""
        pattern = self.nodes.replace("/**", r"(/\w+)*").replace("/*", r"(/\w+)")
        return re.fullmatch(pattern, node) is not None


def read_assignments(arguments: Sequence[str]) -> tuple[Assignment, ...]:
    """Collect the parameters that a command line sets.

    Args:
        arguments: the process's arguments; those between `--ros-args` and `--` count.

    Returns:
        All assignments, in order of the arguments.

    Raises:
        ParameterSourceError: a parameter file is missing, or is not YAML of the usual shape.
    """
    found: list[Assignment] = []
    ros_arguments = list(_ros_arguments(arguments))
    for flag, value in itertools.pairwise(ros_arguments):
        if flag == "--params-file":
            found.extend(_read_file(Path(value)))
        elif flag in ("-p", "--param"):
            found.extend(_read_argument(value))
    return tuple(found)


def check_assignments(assignments: Sequence[Assignment], nodes: NodeSpecs) -> None:
    """Check every assignment that is meant for one of the nodes.

    Args:
        assignments: what was written down.
        nodes: the process's nodes by fully qualified name, with their parameters. Sections for
            other nodes are other processes' business.

    Raises:
        ParameterSourceError: unknown names, wrong types, values out of range: all of them.
    """
    problems = tuple(problem for each in assignments for problem in _problems(each, nodes))
    if problems:
        raise ParameterSourceError(problems)


def _ros_arguments(arguments: Sequence[str]) -> Iterator[str]:
    is_inside = False
    for argument in arguments:
        if argument == "--ros-args":
            is_inside = True
        elif argument == "--":
            is_inside = False
        elif is_inside:
            yield argument


def _read_argument(text: str) -> Iterator[Assignment]:
    """`[node:]name:=value`; what is not of that shape is rclpy's to refuse."""
    target, assigned, value = text.partition(":=")
    if assigned:
        node, has_node, name = target.rpartition(":")
        nodes = _qualified(node) if has_node else "/**"
        yield Assignment(source=f"-p {text}", nodes=nodes, name=name, value=yaml.safe_load(value))


def _read_file(path: Path) -> Iterator[Assignment]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ParameterSourceError((f"{path}: cannot be read: {error}",)) from error
    except yaml.YAMLError as error:
        raise ParameterSourceError((f"{path}: is not YAML: {error}",)) from error
    if not isinstance(document, Mapping):
        raise ParameterSourceError((f"{path}: holds no node's parameters",))
    yield from _read_sections(str(path), "", document)


def _read_sections(source: str, node: str, section: Mapping[str, object]) -> Iterator[Assignment]:
    for key, content in section.items():
        if not isinstance(content, Mapping):
            raise ParameterSourceError(
                (f"{source}: {key}: node names and `ros__parameters` must come before it",)
            )
        if key == "ros__parameters":
            for name, value in _flat("", content):
                yield Assignment(source=source, nodes=_qualified(node), name=name, value=value)
        else:
            yield from _read_sections(source, f"{node}/{str(key).lstrip('/')}", content)


def _flat(prefix: str, parameters: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    for name, value in parameters.items():
        if isinstance(value, Mapping):
            yield from _flat(f"{prefix}{name}.", value)
        else:
            yield f"{prefix}{name}", value


def _qualified(node: str) -> str:
    return node if node.startswith("/") else f"/{node}"


def _problems(assignment: Assignment, nodes: NodeSpecs) -> Iterator[str]:
    matching = {name: specs for name, specs in nodes.items() if assignment.is_for(name)}
    if not matching or _BUILT_IN.fullmatch(assignment.name):
        return
    known = {spec.name: spec for specs in matching.values() for spec in specs}
    where = f"{assignment.source}: {assignment.nodes}"
    spec = known.get(assignment.name)
    if spec is None:
        yield f"{where}: no parameter {assignment.name!r}{_suggestion(assignment.name, known)}"
    elif (problem := spec.problem(assignment.value)) is not None:
        yield f"{where}: {problem}"


def _suggestion(name: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known are {', '.join(sorted(known))}"
