"""Random weights that a full-size network can run on, drawn one tensor at a time."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from types import MappingProxyType

import torch
from torch import Tensor, nn


class SeededWeights(Mapping[str, Tensor]):
    """Random weights for a network, the same for the same seed and name on every call.

    Kernels are drawn so that a layer keeps the variance of its input (He: `2 / fan_in`);
    normalisations start neutral (scale 1, bias 0, mean 0, variance 1); biases are 0. A tensor is
    made when it is asked for and not kept, so that the whole network is never in memory.

    Threads: any thread may read; the object never changes.

    Args:
        skeleton: the network whose state dict to imitate; only its names, shapes and dtypes are
            read, so it may stand on the meta device.
        seed: chooses the weights.
        gains: state-dict name to factor, for tensors that should be smaller or larger.
        constants: state-dict name to the tensor that stands there instead.

    Source:
        He et al., Delving Deep into Rectifiers, ICCV 2015: the variance of the kernels.
    """

    def __init__(
        self,
        skeleton: nn.Module,
        *,
        seed: int,
        gains: Mapping[str, float] = MappingProxyType({}),
        constants: Mapping[str, Tensor] = MappingProxyType({}),
    ) -> None:
        self.seed = seed
        self._gains = gains
        self._constants = constants
        self._facts = {
            name: (tuple(tensor.shape), tensor.dtype)
            for name, tensor in skeleton.state_dict().items()
        }

    def __getitem__(self, name: str) -> Tensor:
        """Draw one tensor.

        Raises:
            KeyError: the network has no tensor of that name.
        """
        shape, dtype = self._facts[name]
        if name in self._constants:
            return self._constants[name].clone()
        if len(shape) < 2 or not dtype.is_floating_point:
            return _neutral(name, shape, dtype) * self._gains.get(name, 1)
        deviation = math.sqrt(2.0 / math.prod(shape[1:])) * self._gains.get(name, 1.0)
        values = torch.randn(shape, generator=_generator(self.seed, name), dtype=dtype)
        return values.mul_(deviation)

    def __iter__(self) -> Iterator[str]:
        return iter(self._facts)

    def __len__(self) -> int:
        return len(self._facts)

    def __repr__(self) -> str:
        return f"<SeededWeights seed {self.seed}, {len(self)} tensors>"


def _generator(seed: int, name: str) -> torch.Generator:
    digest = hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)


def _neutral(name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    if name.endswith(("weight", "running_var")):
        return torch.ones(shape, dtype=dtype)
    return torch.zeros(shape, dtype=dtype)
