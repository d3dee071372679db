"""Mistakes in parameter files and `-p` arguments, found before any network is loaded.

rclpy ignores a parameter that no node declares, and a section for a node that there is none of, so
a typing error would quietly leave the default in force. Here every key that is meant for a node of
this process must be one that it knows, and every section that no node takes is told of.

[Note: sections for other nodes]
A robot may have one file for all its processes, and one file may serve several robots, so a section
for a node that this process has none of is no mistake as such: it is told, and the start goes on.
It is refused where it is a node's name misspelled: when it is almost the name of a node that has no
section of its own.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from swapnet_ros.nodes.errors import ParameterSourceError
from swapnet_ros.nodes.parameter_files import (
    Assignment,
    fits,
    qualified,
    read_file,
    read_value,
)
from swapnet_ros.nodes.parameter_specs import ParameterSpec
from swapnet_ros.nodes.parameter_tables import TASKS

# rclpy declares these on every node.
_BUILT_IN = re.compile(r"use_sim_time|start_type_description_service|qos_overrides\..*")
_ALMOST = 0.8

NodeSpecs = Mapping[str, Sequence[ParameterSpec]]


def read_assignments(arguments: Sequence[str]) -> tuple[Assignment, ...]:
    """Collect the parameters that a command line sets.

    Args:
        arguments: the process's arguments; those between `--ros-args` and `--` count.

    Returns:
        All assignments, in order of the arguments.

    Raises:
        ParameterSourceError: a parameter file is missing, or is not YAML of the usual shape; or an
            argument's value is not YAML.
    """
    found: list[Assignment] = []
    ros_arguments = list(_ros_arguments(arguments))
    for flag, value in itertools.pairwise(ros_arguments):
        if flag == "--params-file":
            found.extend(read_file(Path(value)))
        elif flag in ("-p", "--param"):
            found.extend(_read_argument(value))
    return tuple(found)


def check_assignments(assignments: Sequence[Assignment], nodes: NodeSpecs) -> tuple[str, ...]:
    """Check every assignment that is meant for one of the nodes.

    Args:
        assignments: what was written down.
        nodes: the process's nodes by fully qualified name, with their parameters.

    Returns:
        One sentence per section that no node takes; see [Note: sections for other nodes].

    Raises:
        ParameterSourceError: misspelled sections, unknown names, wrong types, values out of range:
            all of them.
    """
    misspelled, unused = _unused_sections(assignments, nodes)
    problems = [problem for each in assignments for problem in _problems(each, nodes)]
    if misspelled or problems:
        raise ParameterSourceError((*misspelled, *problems))
    return tuple(unused)


def place_of(assignments: Sequence[Assignment], node: str, name: str) -> str:
    """Say where to look when a node's parameter is wrong: file and line, and section.

    Where nothing sets the parameter, it is the node's first value; for a node without any, its
    name.
    """
    own = [each for each in assignments if each.is_for(node)]
    named = [each for each in own if each.name == name]
    for each in (*reversed(named), *own):
        return f"{each.source}: {each.nodes}"
    return node


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
    target, assigned, text_of_value = text.partition(":=")
    if not assigned:
        return
    node, has_node, name = target.rpartition(":")
    try:
        value = read_value(text_of_value)
    except ValueError as error:
        raise ParameterSourceError((f"-p {text}: the value is not YAML: {error}",)) from error
    nodes = qualified(node) if has_node else "/**"
    yield Assignment(source=f"-p {text}", nodes=nodes, name=name, value=value)


def _problems(assignment: Assignment, nodes: NodeSpecs) -> Iterator[str]:
    matching = [specs for name, specs in nodes.items() if assignment.is_for(name)]
    if not matching or _BUILT_IN.fullmatch(assignment.name):
        return
    named = [spec for specs in matching for spec in specs if spec.name == assignment.name]
    where = f"{assignment.source}: {assignment.nodes}"
    if not named:
        known = {spec.name for specs in matching for spec in specs}
        yield f"{where}: no parameter {assignment.name!r}{_suggestion(assignment.name, known)}"
    # one section may be for several nodes, whose parameters of one name have limits of their own
    problems = (spec.problem(assignment.value) for spec in named)
    problem = next((each for each in problems if each is not None), None)
    if problem is not None:
        yield f"{where}: {problem}"


def _unused_sections(
    assignments: Sequence[Assignment], nodes: Collection[str]
) -> tuple[list[str], list[str]]:
    """Sections that no node takes: those with a misspelled name, and the others."""
    known = {*nodes, *_listed(assignments, nodes)}
    patterns = {each.nodes: each for each in reversed(assignments)}  # the first of each stays
    served = {node for node in known for pattern in patterns if _is_own(pattern, node)}
    misspelled, unused = [], []
    for pattern, each in reversed(patterns.items()):
        if any(fits(pattern, node) for node in known):
            continue
        meant = _meant(pattern, known - served)
        if meant is None:
            unused.append(f"{each.source}: {pattern}: {_why_unused(pattern, nodes)}")
        else:
            problem = f"there is no such node; did you mean {meant}?"
            misspelled.append(f"{each.source}: {pattern}: {problem}")
    return misspelled, unused


def _suggestion(name: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known are {', '.join(sorted(known))}" if known else ""


def _listed(assignments: Sequence[Assignment], nodes: Collection[str]) -> Iterator[str]:
    """Nodes that some list `nodes` names, though a later one may leave them out."""
    namespaces = {node.rpartition("/")[0] for node in nodes}
    for each in assignments:
        if each.name == "nodes" and isinstance(each.value, list):
            names = [str(entry).partition("=")[0] for entry in each.value]
            yield from (f"{space}/{name}" for space in namespaces for name in names)


def _is_own(pattern: str, node: str) -> bool:
    """Whether a section is for this node by name, and not for all nodes."""
    return fits(pattern, node) and pattern.rpartition("/")[2] == node.rpartition("/")[2]


def _meant(pattern: str, candidates: Collection[str]) -> str | None:
    """The pattern with the right name of a node; None where it is not almost one's."""
    namespace, _, name = pattern.rpartition("/")
    if name in TASKS:
        return None
    names = {node.rpartition("/")[2] for node in candidates}
    for close in difflib.get_close_matches(name, names, cutoff=_ALMOST):
        if any(fits(f"{namespace}/{close}", node) for node in candidates):
            return f"{namespace}/{close}"
    return None


def _why_unused(pattern: str, nodes: Collection[str]) -> str:
    name = pattern.rpartition("/")[2]
    elsewhere = [node for node in nodes if node.rpartition("/")[2] == name]
    if elsewhere:
        return f"not used: here that node is {elsewhere[0]}; /**/{name} fits every namespace"
    return (
        f"not used: no node of this process is called so. They are {', '.join(sorted(nodes))}; "
        "the parameter `nodes` of swapnet lists them"
    )
