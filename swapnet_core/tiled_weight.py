"""The tensor that a network gets in place of a weight that is never in memory as a whole.

[Note: dispatch]
A `TiledWeight` has no bytes. torch answers what needs none (shape, type, `requires_grad`) from the
tensor itself. Whatever reads bytes comes to `__torch_dispatch__` as an operator: in inference mode
`linear` and the convolutions arrive whole, as the network called them, and are run tile by tile.
Every other operator is called with a private copy.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import torch
from torch.utils._pytree import tree_leaves, tree_map_only

from swapnet_core.errors import InvariantError
from swapnet_core.specs import WeightSpec
from swapnet_core.tensors import element_type
from swapnet_core.tiles import Rows, TiledCall, weight_read_by


class TileSource(Protocol):
    """Brings tiles in."""

    def read_tiles(self, weight: int) -> Iterator[tuple[Rows, torch.Tensor]]:
        """Yield every tile once: its rows, and a tensor that is valid until the next one."""
        ...

    def read_whole(self, weight: int) -> torch.Tensor:
        """Return a private copy."""
        ...


class TiledWeight(torch.Tensor):
    """A weight that is never in memory as a whole; see [Note: tiles].

    One object serves as long as a plan is in force. Any thread; the source decides what it gets.
    """

    _is_param: bool
    _index: int
    _common_rows: int
    _source: TileSource

    # Only the dispatch is overridden: what torch chooses by the kind of a tensor stays the same.
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def standing_for(
        cls,
        index: int,
        weight: WeightSpec,
        starts: Sequence[int],
        device: torch.device,
        source: TileSource,
    ) -> TiledWeight:
        """Make the tensor that the network sees.

        Args:
            index: of the weight.
            weight: what it looks like.
            starts: first row of every tile.
            device: of their slots.
            source: has the bytes.
        """
        made: TiledWeight = torch.Tensor._make_wrapper_subclass(
            cls,
            weight.shape,
            strides=weight.stride,
            dtype=element_type(weight),
            device=device,
            requires_grad=weight.requires_grad,
        )
        made._is_param = True  # isinstance(made, nn.Parameter)
        made._index = index
        made._common_rows = math.gcd(*starts)
        made._source = source
        return made

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # torch has it wrong
        cls, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if isinstance(weight_read_by(func, args), cls) and not _holds_tiles((args[0], *args[2:])):
            call = TiledCall(func, args)
            if call.is_cut_by(args[1]._common_rows):
                return args[1]._run(call)
        args, kwargs = tree_map_only(cls, cls.read_whole, (args, kwargs or {}))
        return func(*args, **kwargs)

    def read_whole(self) -> torch.Tensor:
        """Return a private copy of the weight.

        Raises:
            BudgetTooSmallError: there is no room for it.
            StorageError: it cannot be read.
        """
        return self._source.read_whole(self._index)

    def _run(self, call: TiledCall) -> torch.Tensor:
        output = None
        for rows, tile in self._source.read_tiles(self._index):
            part = call.run_tile(rows, tile)
            output = call.join(output, rows, part)
            del tile, part  # or they would still be there while the next ones are made
        if output is None:
            raise InvariantError(f"weight {self._index} has no tiles")
        return output

    # Below: what torch would take from the storage without an operator.

    def numpy(self, *, force: bool = False) -> Any:
        """Return a private copy as an array; see `torch.Tensor.numpy`."""
        return self.read_whole().numpy(force=force)

    def tolist(self) -> Any:
        """Return the elements of a private copy."""
        return self.read_whole().tolist()

    def __deepcopy__(self, memo: dict[int, Any]) -> torch.Tensor:
        return self.read_whole()

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.read_whole().__reduce_ex__(protocol)  # type: ignore[no-untyped-call]

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]  # without what it prints
        return f"<TiledWeight {tuple(self.shape)} {self.dtype}>"


def _holds_tiles(values: Any) -> bool:
    return any(isinstance(leaf, TiledWeight) for leaf in tree_leaves(values))
