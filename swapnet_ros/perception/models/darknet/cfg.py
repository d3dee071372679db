"""Darknet's cfg text: sections of `key=value` lines, each remembering where it stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from swapnet_ros.perception.errors import NetworkDefinitionError

T = TypeVar("T")

_ALIASES = {"network": "net", "conv": "convolutional", "max": "maxpool", "avg": "avgpool"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """The value of one key, as text without white space, and its line number."""

    text: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One section of a cfg file, read only.

    Attributes:
        path: the file.
        name: the section's name without brackets; short forms are spelled out.
        line: line number of its header, from 1.
        options: its keys in the order of the file.
    """

    path: Path
    name: str
    line: int
    options: Mapping[str, Option]

    def error(self, message: str, *, key: str | None = None) -> NetworkDefinitionError:
        """An error that points at the key's line, or at the section's header."""
        option = None if key is None else self.options.get(key)
        line = self.line if option is None else option.line
        return NetworkDefinitionError(message, path=self.path, line=line, section=self.name)

    def text(self, key: str, default: str) -> str:
        """The key's value as it stands, or `default` where the key is absent."""
        return self.options[key].text if key in self.options else default

    def integer(self, key: str, default: int | None = None, *, minimum: int | None = None) -> int:
        """The key's value as an integer.

        Raises:
            NetworkDefinitionError: the key is absent and has no default, is no integer, or is
                smaller than `minimum`.
        """
        if key not in self.options:
            if default is None:
                raise self.error(f"the key '{key}' is missing")
            return default
        value = self._parse(key, self.options[key].text, int, "an integer")
        if minimum is not None and value < minimum:
            raise self.error(f"{key}={value} is below {minimum}", key=key)
        return value

    def number(self, key: str, default: float) -> float:
        """The key's value as a float, or `default` where the key is absent."""
        if key not in self.options:
            return default
        return self._parse(key, self.options[key].text, float, "a number")

    def integers(self, key: str) -> tuple[int, ...]:
        """The key's value as integers separated by commas."""
        return tuple(self._items(key, int, "integers separated by commas"))

    def numbers(self, key: str) -> tuple[float, ...]:
        """The key's value as floats separated by commas."""
        return tuple(self._items(key, float, "numbers separated by commas"))

    def _items(self, key: str, convert: Callable[[str], T], kind: str) -> Iterator[T]:
        if key not in self.options:
            raise self.error(f"the key '{key}' is missing")
        for item in self.options[key].text.rstrip(",").split(","):
            yield self._parse(key, item, convert, kind)

    def _parse(self, key: str, text: str, convert: Callable[[str], T], kind: str) -> T:
        try:
            return convert(text)
        except ValueError as error:
            shown = self.options[key].text
            raise self.error(f"{key}={shown} should be {kind}", key=key) from error


def read_sections(path: Path) -> tuple[Section, ...]:
    """Split a cfg file into its sections.

    White space inside lines has no meaning; lines that begin with `#` or `;` are comments, and a
    `#` ends a value.

    Args:
        path: a Darknet cfg file.

    Returns:
        The sections in the order of the file; the first is `net`.

    Raises:
        NetworkDefinitionError: the file cannot be read, is empty, does not begin with `[net]`, or a
            line is neither a section, a `key=value` pair nor a comment.

    Source:
        AlexeyAB/darknet, src/parser.c `read_cfg` and src/option_list.c `read_option`.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise NetworkDefinitionError(f"cannot be read: {error.strerror}", path=path) from error
    sections: list[Section] = []
    options: dict[str, Option] = {}
    for number, raw in enumerate(lines, start=1):
        line = "".join(raw.split()).partition("#")[0]
        if not line or line.startswith(";"):
            continue
        if line.startswith("["):
            options = {}
            name = _section_name(line, path, number)
            sections.append(Section(path=path, name=name, line=number, options=options))
        elif sections:
            _add_option(line, number, sections[-1], options)
        else:
            raise NetworkDefinitionError("a key before the first section", path=path, line=number)
    if not sections or sections[0].name != "net":
        raise NetworkDefinitionError("is no Darknet cfg: it does not begin with [net]", path=path)
    return tuple(sections)


def _section_name(line: str, path: Path, number: int) -> str:
    if not line.endswith("]"):
        raise NetworkDefinitionError(f"'{line}' has no closing bracket", path=path, line=number)
    name = line[1:-1]
    return _ALIASES.get(name, name)


def _add_option(line: str, number: int, section: Section, options: dict[str, Option]) -> None:
    key, equals, text = line.partition("=")
    message = None
    if not (key and equals and text):
        message = f"'{line[:40]}' is no key=value pair"
    elif key in options and options[key].text != text:
        message = f"{key}={text}, but line {options[key].line} says {key}={options[key].text}"
    if message is not None:
        raise NetworkDefinitionError(message, path=section.path, line=number, section=section.name)
    options.setdefault(key, Option(text=text, line=number))
