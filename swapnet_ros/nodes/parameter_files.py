"""Parameter files, read as ROS reads them, with the line that every value stands in.

[Note: one dialect]
ROS's own reader (rcl) and PyYAML do not take the same text for the same value: `1e3` is a number
for rcl alone, `2024-01-01` a date for PyYAML alone. A value that is checked must be the one that
the node gets, so this reader follows rcl's, and refuses what rcl refuses: aliases,
sections without parameters, words with a colon within brackets. Its words say what to write
instead. A key that stands twice is refused as well: rcl takes the last one without a word.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode

from swapnet_ros.nodes.errors import ParameterSourceError

PARAMETERS = "ros__parameters"
_LOOSE = f"`{PARAMETERS}:` must stand above it, and above that a node's name"
_EXAMPLE = f"write `/**/NAME:`, below it `{PARAMETERS}:`, and below that `parameter: value`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """One value for one parameter, as somebody wrote it down.

    Attributes:
        source: file and line, or argument, for messages.
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
        return fits(self.nodes, node)


def fits(pattern: str, node: str) -> bool:
    """Whether a pattern such as `/**/object_detection` fits a fully qualified node name."""
    wildcards = {"**": r"(/\w+)*", "*": r"/\w+"}
    parts = pattern.split("/")[1:]
    expression = "".join(wildcards.get(part, "/" + re.escape(part)) for part in parts)
    return re.fullmatch(expression, node) is not None


def qualified(node: str) -> str:
    """A node's name as a pattern; a bare name is one in the root namespace, as in rclpy."""
    return node if node.startswith("/") else f"/{node}"


def read_value(text: str) -> object:
    """Read one value as rcl reads it.

    Raises:
        ValueError: it is not YAML.
    """
    try:
        return yaml.load(text, _RosLoader)
    except yaml.YAMLError as error:
        raise ValueError(_reason(error)) from error


def read_file(path: Path) -> tuple[Assignment, ...]:
    """Read a parameter file.

    Returns:
        Its values, in the order of the file.

    Raises:
        ParameterSourceError: it cannot be read, is not YAML, or is not of the usual shape. Of
            mistakes in its shape all are named.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ParameterSourceError((f"{path}: cannot be read: {error.strerror}",)) from error
    except UnicodeDecodeError as error:
        message = f"{path}: is not a text file, but parameters are YAML in UTF-8"
        raise ParameterSourceError((message,)) from error
    try:
        return _FileReader(str(path), text).read()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = str(path) if mark is None else f"{path}:{mark.line + 1}"
        raise ParameterSourceError((f"{place}: is not YAML: {_reason(error)}",)) from error


class _RosLoader(yaml.SafeLoader):
    """Takes plain words for the values that rcl takes them for; see [Note: one dialect]."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012

    def compose_node(self, parent: Any, index: Any) -> Node:
        """Refuse aliases."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(
                problem="ROS reads no aliases (`*name`); write the value out",
                problem_mark=self.peek_event().start_mark,
            )
        return super().compose_node(parent, index)

    def scan_plain(self) -> Any:
        """Refuse words within brackets that the libyaml of some ROS versions does not read."""
        token = super().scan_plain()
        if self.flow_level and (":" in token.value or "?" in token.value):
            raise yaml.MarkedYAMLError(
                problem=f"within brackets ROS reads words with : or ? only in quotation marks; "
                f"write '{token.value}'",
                problem_mark=token.start_mark,
            )
        return token


for _tag, _words in (
    ("bool", "true|True|TRUE|yes|Yes|YES|on|On|ON|false|False|FALSE|no|No|NO|off|Off|OFF"),
    ("int", r"[-+]?(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"),
    ("null", ""),
):
    _RosLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^({_words})$"), None)


class _FileReader:
    """Walks through one file's sections; collects what is wrong with their shape."""

    def __init__(self, path: str, text: str) -> None:
        self._path = path
        self._loader = _RosLoader(text)
        self._problems: list[str] = []

    def read(self) -> tuple[Assignment, ...]:
        try:
            root = self._loader.get_single_node()
            if not isinstance(root, MappingNode) or not root.value:
                found = "is empty" if root is None else "holds no node's parameters"
                raise ParameterSourceError((f"{self._path}: {found}; {_EXAMPLE}",))
            found = tuple(self._sections("", root))
        finally:
            self._loader.dispose()
        if self._problems:
            raise ParameterSourceError(tuple(self._problems))
        return found

    def _sections(self, nodes: str, section: MappingNode) -> Iterator[Assignment]:
        for key, content in self._items(section):
            if key.value == PARAMETERS:
                yield from self._parameters(nodes, key, content)
            elif isinstance(content, MappingNode):
                yield from self._sections(f"{nodes}/{key.value.lstrip('/')}", content)
            elif content.tag == "tag:yaml.org,2002:null":
                self._problem(key, f"{key.value} holds nothing; leave it out")
            else:
                self._refuse_loose(nodes, key)

    def _parameters(self, nodes: str, key: ScalarNode, content: Node) -> Iterator[Assignment]:
        if not nodes:
            self._problem(key, f"`{PARAMETERS}` has no node's name above it; {_EXAMPLE}")
        elif not isinstance(content, MappingNode):
            self._problem(
                key, f"{nodes}: `{PARAMETERS}` holds no `parameter: value`; leave the section out"
            )
        else:
            yield from self._values(nodes, "", content)

    def _values(self, nodes: str, prefix: str, parameters: MappingNode) -> Iterator[Assignment]:
        for key, content in self._items(parameters):
            name = f"{prefix}{key.value}"
            if key.value == PARAMETERS:
                problem = f"`{PARAMETERS}` stands inside of another one; {_EXAMPLE}"
                self._problem(key, f"{nodes}: {problem}")
            elif isinstance(content, MappingNode) and content.value:
                yield from self._values(nodes, f"{name}.", content)
            else:
                yield Assignment(
                    source=self._place(key),
                    nodes=nodes,
                    name=name,
                    value=self._loader.construct_object(content, deep=True),
                )

    def _items(self, mapping: MappingNode) -> Iterator[tuple[ScalarNode, Node]]:
        """Keys and values; keys that are no words, or stand there twice, are problems."""
        lines: dict[str, int] = {}
        for key, content in mapping.value:
            if not isinstance(key, ScalarNode):
                self._problem(key, "a list or a map cannot be a key")
            elif key.value in lines:
                before = lines[key.value]
                self._problem(key, f"{key.value} stands in line {before} already; keep one of them")
            else:
                lines[key.value] = key.start_mark.line + 1
                yield key, content

    def _refuse_loose(self, nodes: str, key: ScalarNode) -> None:
        """Something that is no section stands where only sections may."""
        above, _, name = nodes.rpartition("/")
        if difflib.get_close_matches(name, [PARAMETERS], cutoff=0.8):
            problem = f"{above}: {name} is written `{PARAMETERS}`, with two underscores"
        else:
            problem = f"{nodes}: {key.value}: {_LOOSE}" if nodes else f"{key.value}: {_LOOSE}"
        self._problem(key, problem)

    def _problem(self, node: Node, problem: str) -> None:
        self._problems.append(f"{self._place(node)}: {problem}")

    def _place(self, node: Node) -> str:
        return f"{self._path}:{node.start_mark.line + 1}"


def _reason(error: yaml.YAMLError) -> str:
    """What a YAML error says, in one line."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return " ".join(str(error).split())
    if r"'\t'" in (error.problem or ""):
        return "it has a tab; indent with blanks"
    return ", ".join(part for part in (error.context, error.problem) if part)
