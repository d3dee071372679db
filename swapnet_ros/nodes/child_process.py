"""A child process that is always stopped and reaped, and whose last words are kept."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)
# How long a child may take over each way of being asked to leave.
_PATIENCE_S = ((signal.SIGINT, 10.0), (signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))


class ChildProcess(AbstractContextManager["ChildProcess"]):
    """Runs a command with its output in a log file.

    The child has a session of its own, so that Ctrl-C reaches only the parent, which then stops it
    in its order; should the parent be killed, the kernel ends the child. Use from the main thread.
    """

    def __init__(
        self, name: str, command: Sequence[str], *, log: Path, folder: Path | None = None
    ) -> None:
        """Start the command.

        Args:
            name: for messages.
            command: program and arguments.
            log: file for what it prints; an older one is replaced.
            folder: where it works; None for the parent's folder.
        """
        self.name = name
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=folder,
                preexec_fn=_end_with_parent,
            )

    def __repr__(self) -> str:
        return f"<ChildProcess {self.name}, pid {self._process.pid}, exit code {self.exit_code}>"

    @property
    def pid(self) -> int:
        """Process id, also after its end."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Exit code, negative for a signal; None while it runs."""
        return self._process.poll()

    def wait(self) -> int:
        """Return its exit code when it has ended."""
        return self._process.wait()

    def last_lines(self, count: int = 15) -> str:
        """Return the end of what it printed."""
        text = self._log.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-count:])

    def rss_bytes(self) -> int:
        """Return its resident memory; 0 when it has ended."""
        try:
            fields = Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()
        except OSError:
            return 0
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")

    def anonymous_bytes(self) -> int:
        """Return its private resident memory; 0 when it has ended."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        except OSError:
            return 0
        found = [line.split() for line in status.splitlines() if line.startswith("RssAnon:")]
        return int(found[0][1]) * 1024 if found else 0

    def stop(self) -> None:
        """End it, politely at first; returns when it is reaped. May be called again."""
        for number, patience_s in _PATIENCE_S:
            if self.exit_code is not None:
                return
            self._process.send_signal(number)
            try:
                self._process.wait(patience_s)
            except subprocess.TimeoutExpired:
                continue  # the next signal is stronger

    def __exit__(self, *_: object) -> None:
        self.stop()


def _end_with_parent() -> None:
    """Run in the child before its program: ask the kernel for SIGTERM when the parent dies."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
