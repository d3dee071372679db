"""`swapnet bench` on a small real network."""

import json

import pytest
import torch

from swapnet_core import BlockCorruptError
from swapnet_ros.cli.read_arm import ReadArm

_NETWORK = ("squeezenet1_1", "--input", "1x3x64x64")


def test_json_has_every_figure_and_the_figures_agree(swapnet):
    words = ("--budget-ratio", "1.5", "--pairs", "2", "--threads", "1")
    before = torch.get_num_threads()
    done = swapnet("bench", *_NETWORK, *words, "--json")
    assert done.exit_code == 0, done.errors
    assert torch.get_num_threads() == before
    result = json.loads(done.output)
    assert result["threads"] == 1
    swapped = result["swapped"]
    assert result["is_right"] is True
    assert swapped["difference"] == 0.0
    assert result["budget_bytes"] == int(result["demand_bytes"] / 1.5)
    assert result["peak_bytes"] <= result["budget_bytes"]
    assert len(swapped["ratios"]) == 2
    assert min(swapped["ratios"]) <= swapped["ratio"] <= max(swapped["ratios"])
    assert swapped["read_bytes"] == swapped["used_bytes"] - swapped["resident_bytes"] > 0
    assert result["bound_s"] == max(result["plain_s"], result["read_s"])
    in_budget_s = max(result["bound_s"], result["plain_s"] + result["least_delay_s"])
    assert result["bound_in_budget_s"] == in_budget_s
    beside_s = max(result["plain_s"], result["beside_reads_s"]) + result["least_delay_beside_s"]
    beside_s = max(result["bound_s"], result["with_reads_s"], beside_s)
    assert result["bound_beside_reads_s"] == beside_s
    assert result["beside_bytes_per_s"] > 0
    assert 0 < result["beside_reads_s"] < result["with_reads_s"]
    assert result["ratio_to_bound"] == pytest.approx(swapped["swapped_s"] / result["bound_s"])
    assert swapped["predicted_s"] > 0
    assert result["rival"] is None


def test_the_two_block_scheme_reads_everything_in_every_inference(swapnet):
    words = ("--budget-ratio", "1.8", "--pairs", "2", "--against", "two-blocks")
    done = swapnet("bench", "resnet18", "--input", "1x3x64x64", *words, "--json")
    assert done.exit_code == 0, done.errors
    rival = json.loads(done.output)["rival"]
    assert rival["resident_bytes"] == 0
    assert rival["read_bytes"] == rival["used_bytes"] > 0
    assert rival["difference"] == 0.0
    assert len(rival["ratios"]) == 2


def test_the_table_says_what_was_measured(swapnet):
    done = swapnet("bench", *_NETWORK, "--budget", "1GiB", "--pairs", "1")
    assert done.exit_code == 0, done.errors
    for words in ("squeezenet1_1", "read bandwidth", "stall", "predicted", "equal bit for bit"):
        assert words in done.output
    assert "two blocks" not in done.output


def test_tiles_are_named_and_a_scheme_that_cannot_run_says_why(swapnet):
    words = ("--budget-ratio", "1.9", "--pairs", "1", "--against=two-blocks")
    done = swapnet("bench", "shufflenet_v2_x0_5", "--input", "1x3x64x64", *words)
    assert done.exit_code == 0, done.errors
    assert "fc.weight in" in done.output
    assert "two blocks at a time need" in done.output


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("squeezenet9", "--budget-ratio", "2"), "there is no network 'squeezenet9'"),
        ((*_NETWORK,), "one of --budget and --budget-ratio"),
        ((*_NETWORK, "--budget", "1GiB", "--budget-ratio", "2"), "one of --budget and"),
        ((*_NETWORK, "--budget-ratio", "-1"), "a budget ratio of -1.0 is not possible"),
        ((*_NETWORK, "--budget", "96 parsecs"), "96 parsecs"),
        ((*_NETWORK, "--budget", "1MiB"), "a budget of 1.0 MiB is too small"),
        (("squeezenet1_1", "--input", "3x64", "--budget-ratio", "2"), "not an input shape"),
        (("yolov3", "--input", "2x3x64x64", "--budget-ratio", "2"), "not a batch of 2"),
        (("ufld_resnet18", "--input", "1x3x64x64", "--budget-ratio", "2"), "288x800 pixels only"),
        (("absent.cfg", "--budget-ratio", "2"), "absent.cfg"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(swapnet, words, reason):
    done = swapnet("bench", *words)
    assert done.exit_code == 2, done.errors
    assert "Traceback" not in done.errors
    assert reason in " ".join(done.errors.split())


def test_a_file_is_read_in_turns_and_beside_something(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(20 * 2**20))
    sizes = []
    with ReadArm(path) as reads:
        reads.take_turn()
        assert reads.bandwidth_bytes_per_s > 0
        read_into = reads._reader.read_into

        def count(buffer, offset_bytes):
            sizes.append(len(buffer))
            assert offset_bytes + len(buffer) <= 20 * 2**20
            read_into(buffer, offset_bytes)

        reads._reader.read_into = count
        with reads.reading(72 * 2**20):
            pass
    assert sum(sizes) == 72 * 2**20


def test_a_read_that_fails_beside_something_is_told(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(8 * 2**20))
    with ReadArm(path) as reads:
        path.write_bytes(b"")
        with pytest.raises(BlockCorruptError, match="truncated"), reads.reading(8 * 2**20):
            pass
