"""`timeline.json` and `profiles.json`: what the core knew of every task's network in the end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from swapnet_core.errors import InputError
from swapnet_core.specs import DeviceProfile, NetworkProfile
from swapnet_ros.evaluation.direct.report_folder import ReportFolder
from swapnet_ros.evaluation.direct.whole_file import replace_text
from swapnet_ros.evaluation.network_account import (
    NetworkAccount,
    held_profiles,
    profile_from_json,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownProfile:
    """A task's network as far as planning needs it.

    Attributes:
        rate_hz: inferences per second that are wanted; None: as often as there is time.
        profile: at the speeds of the evaluation; equal for networks that the core holds once.
    """

    rate_hz: float | None
    profile: NetworkProfile


def write_accounts(
    folder: ReportFolder,
    accounts: Mapping[str, NetworkAccount],
    rates_hz: Mapping[str, float | None],
) -> None:
    """Write both files; nothing where nothing is known, as of plain networks.

    Args:
        folder: of the report.
        accounts: by task.
        rates_hz: that the networks were loaded with, by task.

    Raises:
        ReportError: one cannot be written.
    """
    timelines = {name: dict(each.timeline) for name, each in accounts.items() if each.timeline}
    if timelines:
        replace_text(folder.timeline, json.dumps(timelines, indent=2) + "\n")
    if not accounts:
        return
    profiles: dict[str, Any] = {
        "device": asdict(next(iter(accounts.values())).device),
        "networks": {
            name: {"rate_hz": rates_hz[name], "profile": asdict(profile)}
            for name, profile in held_profiles(accounts).items()
        },
    }
    replace_text(folder.profiles, json.dumps(profiles) + "\n")


def read_profiles(folder: ReportFolder) -> tuple[dict[str, KnownProfile], DeviceProfile]:
    """Read the profiles of all tasks' networks, and the device's.

    Raises:
        InputError: the report has none, or they cannot be read.
    """
    try:
        data = json.loads(folder.profiles.read_text(encoding="utf-8"))
        networks = {
            name: KnownProfile(rate_hz=each["rate_hz"], profile=profile_from_json(each["profile"]))
            for name, each in data["networks"].items()
        }
        return networks, DeviceProfile(**data["device"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder.profiles} cannot be read: {error}; evaluate again") from error
