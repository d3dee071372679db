"""Before which accesses there is something to do."""

from __future__ import annotations

from swapnet_core.entering import find_work
from swapnet_core.specs import NO_STEP


def test_there_is_work_where_a_plan_may_change_a_block_begins_or_room_is_made() -> None:
    can_move = (False, True, False, False, False)
    entering = (NO_STEP, NO_STEP, 0, NO_STEP, NO_STEP)
    growing = (0, 0, 0, 5, 0)
    assert find_work(can_move, entering, growing) == (False, True, True, True, False)


def test_nobody_may_make_room() -> None:
    assert find_work((False, False), (3, NO_STEP), ()) == (True, False)
