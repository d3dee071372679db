"""Block files: readable by any tool, aligned, checked, and whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from swapnet_core import blockfile, file_layout
from swapnet_core.blockfile import BlockFile
from swapnet_core.errors import BlockCorruptError, StorageError
from swapnet_core.specs import LayerSpec, WeightSpec
from swapnet_core.stored import list_stored
from swapnet_core.tensors import describe_weight, to_bytes, view_bytes

_DTYPES = (
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int8,
    torch.uint8,
    torch.bool,
    torch.complex64,
)


def _tensors() -> list[torch.Tensor]:
    """One of every kind: types, layouts, no elements, one element, sizes around boundaries."""
    torch.manual_seed(0)
    tensors = [torch.randn(7, 5).to(dtype) for dtype in _DTYPES]
    tensors += [
        torch.randn(8, 16, 3, 3).to(memory_format=torch.channels_last),
        torch.randn(33, 20).t(),
        torch.zeros(0, 4),
        torch.tensor(3.5),
        torch.randn(1),
        torch.randn(1024),
        torch.randn(200, 300),
        torch.randn(4096 // 4),
    ]
    return tensors


def _describe(tensors: list[torch.Tensor]) -> tuple[list[WeightSpec], list[LayerSpec]]:
    weights = [describe_weight(f"layer{i}.weight", (), t) for i, t in enumerate(tensors)]
    layers = [
        LayerSpec(name=f"layer{i}", weights=(i,), is_pinned=i == 3) for i in range(len(tensors))
    ]
    return weights, layers


def _write(root: Path, tensors: list[torch.Tensor] | None = None) -> BlockFile:
    tensors = _tensors() if tensors is None else tensors
    weights, layers = _describe(tensors)
    return blockfile.write_block_file(
        root, weights, layers, lambda index: to_bytes(tensors[index], weights[index])
    )


def test_any_tool_reads_it_as_safetensors(tmp_path: Path) -> None:
    tensors = _tensors()
    weights, _ = _describe(tensors)
    with safe_open(str(_write(tmp_path).path), framework="pt") as stream:
        for weight, tensor in zip(weights, tensors, strict=True):
            order = file_layout.storage_order(weight)
            assert torch.equal(stream.get_tensor(weight.name), tensor.permute(order))


def test_stored_bytes_are_the_tensors_in_their_own_layout(tmp_path: Path) -> None:
    tensors = _tensors()
    weights, _ = _describe(tensors)
    stored = _write(tmp_path)
    content = torch.frombuffer(bytearray(stored.path.read_bytes()), dtype=torch.uint8)
    for weight, tensor, offset in zip(weights, tensors, stored.weight_offsets_bytes, strict=True):
        view = view_bytes(content[offset : offset + weight.size_bytes].clone(), weight)
        assert torch.equal(view, tensor)
        assert view.stride() == tensor.stride() or tensor.numel() < 2


def test_cells_start_on_pages_and_tensors_on_cache_lines(tmp_path: Path) -> None:
    stored = _write(tmp_path)
    end = stored.cells[0].offset_bytes
    for cell in stored.cells:
        assert cell.offset_bytes == end
        assert cell.offset_bytes % 4096 == 0
        assert cell.size_bytes % 4096 == 0
        end = cell.offset_bytes + cell.size_bytes
    assert stored.path.stat().st_size == end
    assert all(offset % 256 == 0 for offset in stored.weight_offsets_bytes)


def test_every_layer_lies_in_one_cell_in_order_and_pinned_ones_apart(tmp_path: Path) -> None:
    stored = _write(tmp_path)
    layers = [layer for cell in stored.cells for layer in range(*cell.layers)]
    assert layers == list(range(len(_tensors())))
    assert (3, 4) in [cell.layers for cell in stored.cells]


def test_equal_networks_share_a_file_and_others_never_collide(tmp_path: Path) -> None:
    one, same = _write(tmp_path), _write(tmp_path)
    assert one == same
    tensors = _tensors()
    tensors[0][0, 0] += 1
    assert _write(tmp_path, tensors).digest != one.digest
    assert {stored.digest for stored in list_stored(tmp_path)} >= {one.digest}
    assert len(list_stored(tmp_path)) == 2


def test_an_opened_file_is_the_written_one(tmp_path: Path) -> None:
    stored = _write(tmp_path)
    assert blockfile.open_block_file(tmp_path, stored.digest) == stored
    blockfile.verify(stored)


@pytest.mark.parametrize("number", [0, 1, -1])
def test_one_flipped_byte_names_file_and_block(number: int, tmp_path: Path) -> None:
    stored = _write(tmp_path)
    cell = stored.cells[number]
    with stored.path.open("r+b") as stream:
        stream.seek(cell.offset_bytes + 1)
        stream.write(b"\xa5")
    with pytest.raises(BlockCorruptError, match=r"weights\.safetensors is damaged") as refused:
        blockfile.verify(stored)
    assert refused.value.block == stored.cells.index(cell)
    assert refused.value.path == stored.path
    with pytest.raises(BlockCorruptError, match=f"block {refused.value.block} "):
        blockfile.open_block_file(tmp_path, stored.digest)
    (found,) = list_stored(tmp_path)
    with pytest.raises(BlockCorruptError):
        found.verify()


def test_a_truncated_file_is_refused_with_both_sizes(tmp_path: Path) -> None:
    stored = _write(tmp_path)
    size = stored.path.stat().st_size
    os.truncate(stored.path, size - 4096)
    with pytest.raises(BlockCorruptError, match=f"truncated: {size} .* {size - 4096} are there"):
        blockfile.open_block_file(tmp_path, stored.digest)


def test_missing_and_foreign_manifests_are_refused(tmp_path: Path) -> None:
    stored = _write(tmp_path)
    manifest = stored.path.parent / "manifest.json"
    manifest.write_text(manifest.read_text().replace("F32", "F16"))
    with pytest.raises(BlockCorruptError, match=r"manifest\.json is damaged"):
        blockfile.open_block_file(tmp_path, stored.digest)
    manifest.unlink()
    with pytest.raises(BlockCorruptError, match=r"cannot read .*manifest.json"):
        blockfile.open_block_file(tmp_path, stored.digest)
    with pytest.raises(BlockCorruptError):
        blockfile.open_block_file(tmp_path, "0" * 32)


def test_a_write_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    tensors = _tensors()
    weights, layers = _describe(tensors)

    def read(index: int) -> memoryview:
        if index == len(tensors) - 1:
            raise KeyboardInterrupt
        return to_bytes(tensors[index], weights[index])

    with pytest.raises(KeyboardInterrupt):
        blockfile.write_block_file(tmp_path, weights, layers, read)
    assert list((tmp_path / "networks").iterdir()) == []


def test_a_killed_writers_leftovers_do_not_disturb(tmp_path: Path) -> None:
    stored = _write(tmp_path)
    leftover = tmp_path / "networks" / ".writing-abc"
    leftover.mkdir()
    (leftover / "weights.safetensors").write_bytes(b"half")
    assert _write(tmp_path) == stored
    assert [found.digest for found in list_stored(tmp_path)] == [stored.digest]


def test_a_network_without_weights_has_a_file_too(tmp_path: Path) -> None:
    stored = _write(tmp_path, [])
    assert stored.cells == ()
    assert blockfile.open_block_file(tmp_path, stored.digest) == stored


def test_the_directory_of_the_cache_is_named_where_it_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"cannot write .*file.*cache_dir"):
        _write(tmp_path / "file")
