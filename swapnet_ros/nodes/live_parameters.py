"""A table of parameters, declared on a node, with the values that hold now."""

from __future__ import annotations

import difflib
from array import array
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.parameter import Parameter

from swapnet_core.errors import SwapNetError
from swapnet_ros.nodes.errors import ParameterValueError
from swapnet_ros.nodes.parameter_specs import ParameterSpec, Value

Values = Mapping[str, Value]


def _keep(_: Values) -> None:
    pass


def _ignore() -> None:
    pass


class LiveParameters:
    """Declares parameters and keeps a consistent, immutable view of their values.

    Changes arrive on the node's executor thread. Any thread may read `values`; what it gets never
    changes, so that a frame sees one set of values from beginning to end.
    """

    def __init__(
        self,
        node: Node,
        specs: Sequence[ParameterSpec],
        *,
        apply: Callable[[Values], None] = _keep,
        changed: Callable[[], None] = _ignore,
    ) -> None:
        """Declare `specs` on `node`.

        Args:
            node: where the parameters live; its overrides (files, arguments) are honoured.
            specs: the parameters.
            apply: called with the changed values before they hold; may refuse them by raising
                `SwapNetError` or `ValueError`, whose text is the answer to whoever set them.
            changed: called after changed values hold.

        Raises:
            ParameterValueError: an override has the wrong type or is out of range.
        """
        self._specs = {spec.name: spec for spec in specs}
        self._values: Values = MappingProxyType({})
        self._apply = apply
        self._changed = changed
        self._describe = node.describe_parameter
        self._has = node.has_parameter
        self._node_name = node.get_fully_qualified_name()
        declared = {spec.name: self._declare(node, spec) for spec in specs}
        self._values = MappingProxyType(declared)
        self._types = {spec.name: node.describe_parameter(spec.name).type for spec in specs}
        node.add_on_set_parameters_callback(self._on_set)

    def __repr__(self) -> str:
        return f"<LiveParameters of {self._node_name}: {dict(self._values)}>"

    @property
    def values(self) -> Values:
        """The values that hold now; a frozen view."""
        return self._values

    def refuse_unknown(self, parameters: Sequence[Parameter]) -> SetParametersResult | None:
        """Refuse to set what the node does not have; None where it has all of it.

        For the node's `set_parameters_atomically`: rclpy's own answer names nothing,
        `Invalid access to undeclared parameter(s): []`.
        """
        for parameter in parameters:
            if not self._has(parameter.name):
                close = difflib.get_close_matches(parameter.name, self._specs, n=1)
                hint = f"; did you mean {close[0]!r}?" if close else ""
                reason = f"{self._node_name} has no parameter {parameter.name!r}{hint}"
                return SetParametersResult(successful=False, reason=reason)
        return None

    def _declare(self, node: Node, spec: ParameterSpec) -> Value:
        try:
            parameter = node.declare_parameter(spec.name, spec.default, _descriptor(spec))
        except ParameterException as error:
            raise ParameterValueError(f"{self._node_name}: {spec.name}: {error}") from error
        value = _plain(parameter.value)
        if value is None and isinstance(spec.default, list):
            value = []  # an empty list in YAML has no type, so rclpy reads it as nothing
        problem = spec.problem(value)
        if problem is not None:
            raise ParameterValueError(f"{self._node_name}: {problem}")
        return value

    def _on_set(self, parameters: list[Parameter]) -> SetParametersResult:
        changes = {p.name: _plain(p.value) for p in parameters if p.name in self._specs}
        for name, value in changes.items():
            problem = self._specs[name].problem(value)
            if problem is not None:
                # a value of another type has left that type in rclpy's description already
                self._describe(name).type = self._types[name]
                return SetParametersResult(successful=False, reason=problem)
        try:
            if changes:
                self._apply(changes)
        except (SwapNetError, ValueError) as error:
            return SetParametersResult(successful=False, reason=str(error))
        self._values = MappingProxyType({**self._values, **changes})
        self._changed()
        return SetParametersResult(successful=True)


def _plain(value: object) -> Value:
    """Give an array as a list: rclpy gives a list, a tuple or an `array`, as it came."""
    return list(value) if isinstance(value, (list, tuple, array)) else value


def _descriptor(spec: ParameterSpec) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(
        name=spec.name,
        description=spec.description,
        additional_constraints=f"one of: {', '.join(spec.choices)}" if spec.choices else "",
        read_only=not spec.is_live,
        dynamic_typing=True,  # `ParameterSpec.problem` checks types, with better words than rclpy's
    )
    if spec.minimum is None or spec.maximum is None:
        return descriptor
    if isinstance(spec.default, int):
        limits = IntegerRange(from_value=int(spec.minimum), to_value=int(spec.maximum), step=1)
        descriptor.integer_range = [limits]
    else:
        limits = FloatingPointRange(from_value=spec.minimum, to_value=spec.maximum)
        descriptor.floating_point_range = [limits]
    return descriptor
