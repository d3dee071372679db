"""Errors of the perception half; every one of them is a `SwapNetError`.

::

    SwapNetError
    `-- PerceptionError
        |-- ImageError               an image has the wrong type, shape or size
        |-- ImageMessageError        a message does not hold the image that it claims to hold
        |-- UnknownNetworkError      no network goes by that name
        |-- InputSizeError           a network cannot take images of that size
        |-- NetworkDefinitionError   a network's definition cannot be read or built
        |-- OwnNetworkError          a user's own network cannot be found or read
        |-- PreprocessingError       declared preprocessing is not possible
        |-- NoClassMapError          a classifier's decision cannot be told by place
        |-- WeightsError             a weights file does not belong to the network
        |-- NetworkOutputError       a network returned something else than its task decodes
        |-- LabelsError              a labels file cannot be read or has the wrong number of lines
        `-- ThresholdError           a threshold or limit lies outside its range
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from swapnet_core.errors import SwapNetError


class PerceptionError(SwapNetError):
    """Base of all errors of the perception half."""


class ImageError(PerceptionError, ValueError):
    """An image is not what a task takes: uint8 [H, W, 3], RGB."""


class ImageMessageError(PerceptionError, ValueError):
    """An image message does not hold the image that it claims to hold."""


class UnknownNetworkError(PerceptionError, LookupError):
    """No network goes by the name given."""

    @classmethod
    def among(
        cls, kind: str, network: str, known: Sequence[str], *other: str
    ) -> UnknownNetworkError:
        """Tell which networks of a kind there are, and the name that is nearest.

        Args:
            kind: such as "lane".
            network: the name that was given.
            known: the names that there are.
            other: what may be given in place of a name, beside a user's own network.
        """
        close = difflib.get_close_matches(network, known, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        choices = ", ".join((*known, *other))
        return cls(
            f"there is no {kind} network '{network}'.{hint} Known are {choices}, and a network "
            "of your own as package.module:factory or the path of a .pt2 file."
        )


class InputSizeError(PerceptionError, ValueError):
    """A network cannot take images of the size asked for."""


class NetworkDefinitionError(PerceptionError, ValueError):
    """A network's definition cannot be read, or describes a network that cannot be built.

    Attributes:
        path: the definition's file.
        line: line number in it, from 1; None where the file as a whole is meant.
        section: name of the section, such as `convolutional`; None outside of sections.
    """

    def __init__(
        self, message: str, *, path: Path, line: int | None = None, section: str | None = None
    ) -> None:
        place = str(path) if line is None else f"{path}:{line}"
        where = "" if section is None else f" in [{section}]"
        super().__init__(f"{place}{where}: {message}")
        self.path = path
        self.line = line
        self.section = section


class OwnNetworkError(PerceptionError, ValueError):
    """A user's own network cannot be imported, read or built."""


class PreprocessingError(PerceptionError, ValueError):
    """The way that images should be prepared for a network is not possible."""


class NoClassMapError(PerceptionError, ValueError):
    """A classifier's decision cannot be told by place in the image."""


class WeightsError(PerceptionError, ValueError):
    """A weights file cannot be read or does not belong to the network.

    Attributes:
        path: the weights file.
        expected_bytes: size that the network's definition asks for; None where not known.
        actual_bytes: size of the file; None where not known.
    """

    def __init__(
        self,
        message: str,
        *,
        path: Path,
        expected_bytes: int | None = None,
        actual_bytes: int | None = None,
    ) -> None:
        super().__init__(message)
        self.path = path
        self.expected_bytes = expected_bytes
        self.actual_bytes = actual_bytes


class NetworkOutputError(PerceptionError, ValueError):
    """A network returned something else than its task decodes."""


class LabelsError(PerceptionError, ValueError):
    """A labels file cannot be read, or does not have one line per class.

    Attributes:
        path: the labels file.
    """

    def __init__(self, message: str, *, path: Path) -> None:
        super().__init__(message)
        self.path = path


class ThresholdError(PerceptionError, ValueError):
    """A threshold or limit lies outside its range."""
