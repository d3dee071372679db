"""What can be wrong with messages and parameters.

::

    SwapNetError
    `-- NodeError
        |-- StaleFrameError        a frame was too old when its turn came
        |-- ParameterValueError    a parameter's value is not usable
        `-- ParameterSourceError   a parameter file or argument names what no node here knows
"""

from __future__ import annotations

from swapnet_core.errors import SwapNetError


class NodeError(SwapNetError):
    """Base of the errors that the nodes raise on purpose."""


class StaleFrameError(NodeError):
    """A frame was too old when its turn came.

    Attributes:
        age_s: the image's age by its stamp.
        max_age_s: the age allowed.
    """

    def __init__(self, *, age_s: float, max_age_s: float) -> None:
        super().__init__(
            f"the image is {age_s:.3f} s old by its stamp, and max_age_s is {max_age_s:g} s; if "
            "images cannot be that old, the camera's clock and this computer's differ"
        )
        self.age_s = age_s
        self.max_age_s = max_age_s


class ParameterValueError(NodeError, ValueError):
    """A parameter's value has the wrong type, is out of range, or cannot be applied."""


class ParameterSourceError(NodeError, ValueError):
    """A parameter file or a command-line parameter has mistakes.

    Attributes:
        problems: one sentence per mistake, each with its file and key.
    """

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
