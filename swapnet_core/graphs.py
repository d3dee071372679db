"""Inferences that are captured once and replayed: without the network's Python, block by block.

[Note: graphs]
Under a plan, slots have fixed addresses, and so has all that a network's kernels read and write if
its activations lie in a pool whose addresses stay. So one inference is captured as a row of graphs,
cut wherever a use is entered, and is run from then on as

    enter, replay, enter, replay, ...

with the same `Lane.enter` as ever. *Order*: a graph is issued to the compute queue as the network's
kernels were, between the same marks. What [Note: the host runs ahead] says of kernels that are
issued between two entries holds for a graph that is, whatever is in it: nothing in a graph waits
for a copy, and no copy waits for a part of one.

*Values*: inputs are copied to where the captured ones lay, in front of the first graph, and outputs
to memory of their own behind the last one, both in the compute queue. The graphs of an inference
use each other's memory, and are replayed in the order of their capture. What else a network's
Python did is frozen; see [Note: what is frozen] in `capturable.py`. The inference before a capture
is watched, and its output compared with the first replay's, bit for bit: a network that is told
apart from its replay (by random numbers, by state that it keeps) is not replayed. What its Python
decides later on (by an attribute that its user sets) cannot be seen. So graphs are for those who
ask for them.

*Memory*: the pool is the network's as long as its graphs are; nobody else can use it. So it counts
like a buffer, beside the activations, which the network has all the same when it runs without
graphs: for other inputs, on its first inference by a plan. Its size is known only after a capture.
Plans count `room_bytes` for it, an estimate until then. A larger pool is given back at once; the
next plan counts what it took. Where a budget has no room for pools, plans are made without.

*Plans*: another plan means other addresses. Graphs are given back where the slots are (see
`Fleet.move`), before anything is counted as free. A replay that meets a new plan on its way has no
Python to go on with: it starts over, as an ordinary inference, by the new one. Its outputs have not
been seen by anybody yet.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._pytree import tree_leaves, tree_map_only

from swapnet_core.backends.base import Backend, Graph, GraphPool
from swapnet_core.capturable import CaptureWatch, Signature, is_plain, tensors_in
from swapnet_core.errors import InvariantError, SwapNetError
from swapnet_core.holding import Seat
from swapnet_core.lane import Lane
from swapnet_core.recording import Inference
from swapnet_core.reports import GraphStats
from swapnet_core.runner import Compute, Runner
from swapnet_core.sizes import MIB, format_size
from swapnet_core.specs import NO_STEP, round_up

_SEGMENT_BYTES = 2 * MIB
_LARGE_SEGMENT_BYTES = 20 * MIB

_NOT_YET = "nothing was captured yet"
_NO_DEVICE = "the device has no graphs"
_NO_ROOM = "the budget leaves no room for their memory"
_NOT_PLAIN = "{} are no plain tensors and constants"
_OTHER_VALUES = (
    "a replay gave other values than the network: it draws random numbers, keeps state, or "
    "computes with kernels that are not deterministic"
)
_OTHER_ORDER = "it used weights out of the traced order"


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphWish:
    """What graphs are wanted for.

    Attributes:
        signature: of the inputs; None where graphs cannot have such inputs.
        room_bytes: what is counted for the pool before its size is known.
    """

    signature: Signature | None
    room_bytes: int

    @classmethod
    def of(
        cls, inputs: Sequence[Any], kwargs: Mapping[str, Any], activation_bytes: int
    ) -> GraphWish:
        """Wish for graphs for inputs like these.

        Args:
            inputs: positional ones.
            kwargs: keyword inputs.
            activation_bytes: peak of the network with them.

        Source:
            torch's allocator takes memory for a pool in segments of 2 MiB for small tensors, and
            of 20 MiB, or so many whole 2 MiB as one needs, for others (`kSmallBuffer`,
            `kLargeBuffer`, `kRoundLarge` in its CUDACachingAllocator.cpp).
        """
        input_bytes = sum(tensor.nbytes for tensor in tensors_in((tuple(inputs), dict(kwargs))))
        pool_bytes = round_up(activation_bytes, _SEGMENT_BYTES) + _LARGE_SEGMENT_BYTES
        return cls(signature=Signature.of(inputs, kwargs), room_bytes=pool_bytes + input_bytes)


@dataclass(frozen=True, slots=True, eq=False)
class _Call:
    """One call of the network; see `Runner.run`."""

    inputs: Sequence[Any]
    kwargs: Mapping[str, Any]
    caller: object | None

    def run_by(self, runner: Runner, compute: Compute) -> tuple[Any, Inference]:
        """Run it."""
        return runner.run_by(compute, self.inputs, self.kwargs, self.caller)


@dataclass(slots=True, kw_only=True, eq=False)
class _Captured:
    """An inference; changed by `close` only.

    Attributes:
        seat: what it was captured by.
        pieces: uses, each with the graph that comes after entering it; the first enters none.
        inputs: tensors that it reads.
        output: what it returns, in the pool.
        size_bytes: of pool and inputs.
    """

    seat: Seat
    pool: GraphPool
    pieces: tuple[tuple[int, Graph], ...]
    inputs: tuple[torch.Tensor, ...]
    output: Any
    size_bytes: int

    def close(self) -> None:
        """Give everything back, whoever still has this object: a replay may be on its way."""
        self.pieces, self.inputs, self.output = (), (), None
        self.pool.close()


class InferenceGraphs:
    """One network's graphs. See [Note: graphs].

    `run`, `void_unless` and `close` are for the inference thread; the rest for any.
    """

    def __init__(self, wish: GraphWish, backend: Backend) -> None:
        """Capture nothing yet."""
        self._wish = wish
        self._backend = backend
        self._captured: _Captured | None = None
        self._tried: Seat | None = None
        self._reason = _NOT_YET
        self._measured_bytes: int | None = None
        self._replays = 0
        self._is_off = False
        if backend.queue.open_graphs() is None:
            self._give_up(_NO_DEVICE)
        elif wish.signature is None:
            self._give_up(_NOT_PLAIN.format("inputs"))

    @property
    def room_bytes(self) -> int:
        """What a plan should count for them; 0: they will not be used."""
        if self._is_off:
            return 0
        measured = self._measured_bytes
        return self._wish.room_bytes if measured is None else measured

    def stats(self) -> GraphStats:
        """Return the state of this moment."""
        captured = self._captured
        return GraphStats(
            is_used=captured is not None,
            reason="" if captured is not None else self._reason,
            replays=self._replays,
            graphs=len(captured.pieces) if captured is not None else 0,
            size_bytes=captured.size_bytes if captured is not None else 0,
        )

    def run(
        self,
        runner: Runner,
        inputs: Sequence[Any],
        kwargs: Mapping[str, Any],
        caller: object | None = None,
    ) -> tuple[Any, Inference]:
        """Run one inference: by graphs, or as `Runner.run` does; see there."""
        call = _Call(inputs, kwargs, caller)
        seat = runner.access.seat
        self.void_unless(seat.lane)
        if self._is_off or Signature.of(inputs, kwargs) != self._wish.signature:
            return call.run_by(runner, runner.compute)
        if self._captured is not None:
            return self._run_captured(self._captured, runner, call)
        if seat is not self._tried and seat.plan.graph_bytes:
            return self._run_and_capture(runner, seat, call)
        if not seat.plan.graph_bytes:
            self._reason = _NO_ROOM
        return call.run_by(runner, runner.compute)

    def void_unless(self, lane: Lane | None) -> None:
        """Give the graphs back, unless they are of this lane."""
        if self._captured is not None and self._captured.seat.lane is not lane:
            self.close()
            self._reason = _NOT_YET

    def close(self) -> None:
        """Give the graphs back. Idempotent."""
        captured, self._captured = self._captured, None
        self._tried = None
        if captured is not None:
            captured.close()

    def _give_up(self, reason: str) -> None:
        """For good."""
        self.close()
        self._is_off, self._reason = True, reason

    def _run_and_capture(self, runner: Runner, seat: Seat, call: _Call) -> tuple[Any, Inference]:
        """Run an ordinary inference under watch; capture one like it if nothing speaks against."""
        seen: list[CaptureWatch] = []

        def compute(inputs: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
            watch = CaptureWatch(self._backend.device, (inputs, kwargs))
            seen.append(watch)
            with watch:
                return runner.compute(inputs, kwargs)

        output, inference = call.run_by(runner, compute)
        if inference.reads is None or runner.access.seat is not seat:
            return output, inference  # there is a new plan; the next inference is watched
        self._tried = seat
        if not runner.access.went_as_traced:
            self._reason = _OTHER_ORDER
        elif seen[0].reason:
            self._give_up(seen[0].reason)
        elif not all(is_plain(leaf) for leaf in tree_leaves(output)):
            self._give_up(_NOT_PLAIN.format("outputs"))
        elif self._capture(runner, seat, call):
            self._compare(runner, call, output)
        return output, inference

    def _capture(self, runner: Runner, seat: Seat, call: _Call) -> bool:
        """Capture an inference; False where that cannot be, or takes too much memory."""
        pool = self._backend.queue.open_graphs()
        if pool is None:
            raise InvariantError("a device has lost its graphs")
        broken = ""
        try:
            captured = _capture(pool, runner, seat, call)
        except Exception as error:  # `stats` tells; the network runs as ever
            broken = f"it cannot be captured: {type(error).__name__}: {error}"
        except BaseException:
            pool.close()
            raise
        if broken:  # only now: the error's frames had tensors of the pool
            pool.close()
            self._give_up(broken)
            return False
        self._captured = captured
        self._measured_bytes = captured.size_bytes
        if captured.size_bytes <= seat.plan.graph_bytes:
            return True
        self.close()
        self._tried = seat
        self._reason = (
            f"they take {format_size(self._measured_bytes)}, and the plan counts "
            f"{format_size(seat.plan.graph_bytes)}; the next one counts that: set the budget anew"
        )
        return False

    def _compare(self, runner: Runner, call: _Call, expected: Any) -> None:
        """Replay what was captured with the inputs of the inference before it."""
        captured = self._captured
        if captured is None:
            return
        replays = self._replays
        try:
            output, _ = self._run_captured(captured, runner, call)
        except SwapNetError:  # a block cannot be read, or the network was closed: the next one says
            self.close()
            return
        self._replays = replays  # it was nobody's inference
        if not _are_same(output, expected):
            self._give_up(_OTHER_VALUES)

    def _run_captured(
        self, captured: _Captured, runner: Runner, call: _Call
    ) -> tuple[Any, Inference]:
        def compute(inputs: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
            begin_s = time.perf_counter()
            try:
                with torch.inference_mode():
                    output, is_done = _replay(captured, runner, inputs, kwargs)
            except BaseException:
                runner.access.abort()
                raise
            if is_done:
                self._replays += 1
                return output
            runner.access.start()
            runner.access.queue.begin()
            runner.access.moved_s = time.perf_counter() - begin_s
            return runner.compute(inputs, kwargs)

        return call.run_by(runner, compute)

    def __repr__(self) -> str:
        return f"<InferenceGraphs {self._reason or 'in use'}>"


def _capture(pool: GraphPool, runner: Runner, seat: Seat, call: _Call) -> _Captured:
    """Let a network compute with nothing done, and keep what it issued."""
    access = runner.access
    pieces: list[tuple[int, Graph]] = []
    use = NO_STEP

    def cut(entered: int) -> None:
        nonlocal use
        pieces.append((use, pool.end()))
        use = entered
        pool.begin()

    with access.queue.running(), torch.inference_mode():
        brought = access.queue.bring((tuple(call.inputs), dict(call.kwargs)), call.caller)
        # Of their own: not what the caller has, and the same as long as there are graphs.
        held = tree_map_only(torch.Tensor, torch.clone, brought)
        access.start_capture(cut)
        with pool.capturing():
            pool.begin()
            output = runner.compute(*held)
            pieces.append((use, pool.end()))
        access.finish_capture()
    tensors = tensors_in(held)
    return _Captured(
        seat=seat,
        pool=pool,
        pieces=tuple(pieces),
        inputs=tuple(tensors),
        output=output,
        size_bytes=pool.size_bytes + sum(tensor.nbytes for tensor in tensors),
    )


def _replay(
    captured: _Captured, runner: Runner, inputs: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[Any, bool]:
    """Replay an inference; False where a new plan came in between."""
    access = runner.access
    held, given = captured.inputs, tensors_in((inputs, kwargs))
    access.queue.issue(lambda: _copy(held, given))
    for use, graph in captured.pieces:
        if not access.enter(use):
            return None, False
        graph.replay()
    output = tree_map_only(torch.Tensor, torch.empty_like, captured.output)
    made, computed = tensors_in(output), tensors_in(captured.output)
    access.queue.issue(lambda: _copy(made, computed))
    access.skip_to_end()
    return output, True


def _copy(targets: Sequence[torch.Tensor], sources: Sequence[torch.Tensor]) -> None:
    with torch.inference_mode():  # on a simulated device, whatever thread waits for it does this
        for target, source in zip(targets, sources, strict=True):
            target.copy_(source)


def _are_same(output: Any, expected: Any) -> bool:
    """Compare outputs bit for bit."""
    pairs = zip(tree_leaves(output), tree_leaves(expected), strict=True)
    return all(
        torch.equal(_bits(one), _bits(other)) if isinstance(one, torch.Tensor) else one == other
        for one, other in pairs
    )


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return tensor.reshape(-1).contiguous().view(torch.uint8)
