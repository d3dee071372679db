"""What the core tells of its networks: it survives JSON, and equal networks have one profile."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from swapnet_core import SwapRuntime
from swapnet_ros.evaluation.network_account import NetworkAccount, held_profiles

_INPUTS = (torch.zeros(1, 64),)


@pytest.fixture
def accounts(tmp_path):
    """Of two equal networks, of which the second one has run, and of another one."""
    torch.manual_seed(7)
    equal = [nn.Sequential(*(nn.Linear(64, 64) for _ in range(4))).eval() for _ in range(2)]
    equal[1].load_state_dict(equal[0].state_dict())
    networks = {"one": equal[0], "two": equal[1], "other": nn.Linear(64, 8).eval()}
    with SwapRuntime(budget="4MiB", cache_dir=tmp_path) as runtime:
        models = {name: runtime.load(name, each, _INPUTS) for name, each in networks.items()}
        models["two"](*_INPUTS)
        device = runtime.device_profile
        return {name: NetworkAccount.of(model, device) for name, model in models.items()}


def test_an_account_is_the_same_after_json(accounts):
    for account in accounts.values():
        text = json.dumps(account.to_json())
        read = NetworkAccount.from_json(json.loads(text))
        assert (read.profile, read.device) == (account.profile, account.device)
        assert json.dumps(read.to_json()) == text


def test_the_newest_inference_is_told_where_there_was_one(accounts):
    assert (accounts["one"].timeline, accounts["one"].inferences) == ({}, 0)
    timeline = accounts["two"].timeline
    assert accounts["two"].inferences == 1
    assert timeline["latency_s"] > 0
    assert timeline["uses"]
    assert sum(timeline["block_bytes"]) >= timeline["resident_bytes"] > 0


def test_networks_that_are_held_once_have_the_profile_of_the_one_that_ran_most(accounts):
    busy = accounts["two"]
    accounts["two"] = replace(busy, profile=busy.profile.slowed(1.05))
    profiles = held_profiles(accounts)
    assert profiles["one"] == profiles["two"] == busy.profile.slowed(1.05)
    assert profiles["other"] == accounts["other"].profile
