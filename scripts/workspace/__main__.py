"""Set-up and launcher: `python3 scripts/workspace {prepare,run -- COMMAND...,environment}`.

Standard library only, since it runs before anything is installed.
"""

from __future__ import annotations

import os
import sys

OLDEST, NEWEST = (3, 10), (3, 14)
if not OLDEST <= sys.version_info[:2] <= NEWEST:
    found = ".".join(str(part) for part in sys.version_info[:2])
    sys.exit(
        f"swapnet_ros needs Python 3.10 to 3.14, and this is {found} ({sys.executable}). "
        "Name another one: make PYTHON=/usr/bin/python3.12 ..."
    )

import argparse  # noqa: E402
import fcntl  # noqa: E402
import shlex  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from contextlib import contextmanager  # noqa: E402

import colcon  # noqa: E402
import environment  # noqa: E402
import machine  # noqa: E402
import virtualenv  # noqa: E402
from machine import SetupError  # noqa: E402


@contextmanager
def _only_one_at_a_time() -> Iterator[None]:
    """Let a second `make` in another terminal wait for the first one's set-up."""
    with (machine.ROOT / "Makefile").open(encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def prepare() -> dict[str, str]:
    """Make or refresh the virtual environment and the build.

    Returns:
        The environment variables under which commands find both.
    """
    ros = machine.find_ros()
    with _only_one_at_a_time():
        virtualenv.ensure(ros)
        colcon.ensure_built(environment.for_build(ros))
    return environment.for_use(ros)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/workspace", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("prepare", help="set up and build")
    actions.add_parser("environment", help="prepare, then print `export` lines for a shell")
    run = actions.add_parser("run", help="prepare, then run a command in the environment")
    run.add_argument("command", nargs="+")
    return parser.parse_args()


def main() -> None:
    """Do one action; set-up errors are one line and exit code 2."""
    arguments = _parse()
    try:
        variables = prepare()
    except SetupError as error:
        machine.say(str(error))
        sys.exit(2)
    if arguments.action == "environment":
        changed = {key: value for key, value in variables.items() if os.environ.get(key) != value}
        print("\n".join(f"export {key}={shlex.quote(value)}" for key, value in changed.items()))
    elif arguments.action == "run":
        os.execvpe(arguments.command[0], arguments.command, variables)


if __name__ == "__main__":
    main()
