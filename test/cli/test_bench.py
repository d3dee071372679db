"""`swapnet bench` on a small real network."""

import json

import pytest

_NETWORK = ("squeezenet1_1", "--input", "1x3x64x64")


def test_json_has_every_figure_and_the_figures_agree(swapnet):
    done = swapnet("bench", *_NETWORK, "--budget-ratio", "1.5", "--pairs", "2", "--json")
    assert done.exit_code == 0, done.errors
    result = json.loads(done.output)
    assert result["is_exact"] is True
    assert result["budget_bytes"] == int(result["demand_bytes"] / 1.5)
    assert result["peak_bytes"] <= result["budget_bytes"]
    assert len(result["ratios"]) == 2
    assert min(result["ratios"]) <= result["ratio"] <= max(result["ratios"])
    assert result["read_bytes"] > 0
    assert result["bound_s"] == max(result["plain_s"], result["read_s"])
    assert result["ratio_to_bound"] == pytest.approx(result["swapped_s"] / result["bound_s"])
    assert result["predicted_s"] > 0


def test_the_table_names_what_was_measured(swapnet):
    done = swapnet("bench", *_NETWORK, "--budget", "1GiB", "--pairs", "1")
    assert done.exit_code == 0, done.errors
    for words in ("squeezenet1_1", "read bandwidth", "stall", "predicted", "equal bit for bit"):
        assert words in done.output


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
