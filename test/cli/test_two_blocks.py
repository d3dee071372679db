"""The rival of `swapnet bench`: two slots in turn."""

import pytest

from swapnet_core.errors import BudgetTooSmallError
from swapnet_core.testing import SIMULATED_DEVICE, simulated_profile
from swapnet_ros.cli.two_blocks import two_block_plan

_CELL = 1 << 20


def test_blocks_take_turns_in_two_slots():
    profile = simulated_profile(cell_bytes=[_CELL] * 8, steps=range(8))

    plan = two_block_plan(profile, SIMULATED_DEVICE, budget_bytes=4 * _CELL)

    assert plan.resident_bytes == 0
    assert plan.streamed_bytes == profile.weight_bytes
    assert [block.slot_offset_bytes for block in plan.blocks] == [0, 2 * _CELL] * (
        len(plan.blocks) // 2
    )
    assert plan.peak_bytes <= 4 * _CELL


def test_pinned_layers_stay_beside_the_slots():
    profile = simulated_profile(cell_bytes=[_CELL] * 5, steps=range(1, 5), pinned=[0])

    plan = two_block_plan(profile, SIMULATED_DEVICE, budget_bytes=3 * _CELL)

    assert plan.resident_bytes == _CELL
    assert plan.streamed_bytes == 4 * _CELL
    assert plan.peak_bytes <= 3 * _CELL


def test_a_layer_larger_than_half_of_the_room():
    profile = simulated_profile(cell_bytes=[_CELL, 3 * _CELL, _CELL], steps=range(3))

    with pytest.raises(BudgetTooSmallError, match=r"two blocks at a time need 6\.0 MiB") as caught:
        two_block_plan(profile, SIMULATED_DEVICE, budget_bytes=5 * _CELL)

    assert caught.value.needed_bytes == 6 * _CELL
