"""What parameters are: one table per node, from which declaration, checks and docs come.

No rclpy in here, so that documents and checks of YAML files need no ROS.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Value = bool | int | float | str | list[str] | list[int] | list[float]

_TYPE_NAMES = {bool: "bool", int: "integer", float: "double", str: "string"}


def _accept_all(_: Value) -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterSpec:
    """One parameter of one node.

    Attributes:
        name: as in YAML.
        default: decides the type, too.
        description: what it does, with its unit.
        is_live: may be changed while the node runs.
        minimum: smallest value of a number; given together with `maximum`.
        maximum: largest value of a number.
        item_type: of an array's items; `float` and `int` for numbers.
        choices: the words that a string may be; empty: any.
        check: raises `ValueError` with the reason for a value that cannot be used.
    """

    name: str
    default: Value
    description: str
    is_live: bool = False
    minimum: float | None = None
    maximum: float | None = None
    item_type: type = str
    choices: tuple[str, ...] = ()
    check: Callable[[Value], None] = _accept_all

    @property
    def type_name(self) -> str:
        """ROS's word for the type."""
        if isinstance(self.default, list):
            return f"{_TYPE_NAMES[self.item_type]} array"
        return _TYPE_NAMES[type(self.default)]

    @property
    def limits(self) -> str:
        """The values allowed, for people; empty where there is no limit."""
        if self.choices:
            return " | ".join(self.choices)
        if self.minimum is None or self.maximum is None:
            return ""
        return f"{self.minimum:g} to {self.maximum:g}"

    def problem(self, value: object) -> str | None:
        """Say why `value` cannot be used, or None where it can."""
        return self._type_problem(value) or self._limit_problem(value)

    def _type_problem(self, value: object) -> str | None:
        if type(value) is type(self.default):
            return self._item_problem(value) if isinstance(value, list) else None
        shown = "nothing" if value is None else repr(value)
        return f"{self.name} is {self._a_type}, not {shown}{self._type_hint(value)}"

    @property
    def _a_type(self) -> str:
        return f"{'an' if self.type_name[0] in 'aeiou' else 'a'} {self.type_name}"

    def _type_hint(self, value: object) -> str:
        """What to write instead, where that can be told."""
        default = self.default
        if isinstance(default, str) and isinstance(value, (int, float, bool)):
            return f"; write '{value}', with quotation marks"
        if isinstance(default, list) and type(value) is self.item_type:
            return f"; write [{value}]"
        if isinstance(default, bool):
            return "; write true or false"
        if isinstance(default, float) and type(value) is int:
            return f"; write {value}.0"
        if isinstance(default, int) and isinstance(value, float) and value.is_integer():
            return f"; write {int(value)}"
        if isinstance(default, (int, float)) and isinstance(value, str) and _is_number(value):
            return f"; write {type(default)(float(value))}, without quotation marks"
        if value is None:
            return f"; write `{self.name}: {_shown(default)}`, or leave it out"
        return ""

    def _item_problem(self, value: list[object]) -> str | None:
        if all(type(item) is self.item_type for item in value):
            return None
        hint = ""
        if self.item_type is float and any(type(item) is int for item in value):
            hint = "; write whole numbers as 1.0"
        elif self.item_type is int and all(isinstance(item, (int, float)) for item in value):
            hint = "; write whole numbers without a point"
        return f"{self.name} is {self._a_type}, and {value!r} holds other things{hint}"

    def _limit_problem(self, value: Value) -> str | None:
        if self.choices and value not in self.choices:
            return f"{self.name} is one of {', '.join(self.choices)}, not {value!r}"
        if self.minimum is not None and self.maximum is not None:
            # not-a-number compares as False, so it is refused here, too
            if not self.minimum <= value <= self.maximum:
                return f"{self.name} lies within {self.limits}, so it cannot be {value!r}"
        elif isinstance(value, float) and not math.isfinite(value):
            return f"{self.name} is a finite number, not {value!r}"
        try:
            self.check(value)
        except ValueError as error:
            return f"{self.name}: {error}"
        return None


def markdown_table(specs: Sequence[ParameterSpec]) -> str:
    """Describe parameters as a Markdown table, in the order given."""
    rows = [
        "| parameter | type | default | values | live | what it does |",
        "|---|---|---|---|---|---|",
    ]
    for spec in specs:
        live = "yes" if spec.is_live else "no"
        limits = spec.limits.replace("|", "or")
        rows.append(
            f"| `{spec.name}` | {spec.type_name} | `{_shown(spec.default)}` | {limits} "
            f"| {live} | {spec.description} |"
        )
    return "\n".join(rows) + "\n"


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _shown(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    return str(value).replace("'", '"')
