import os
import signal
import subprocess
import sys
import time

import pytest

from swapnet_ros.nodes.child_process import ChildProcess

_DEAF = (
    "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print('up', flush=True); "
)


def _python(code):
    return [sys.executable, "-c", code]


def _wait_for(condition, timeout_s=10.0):
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def _is_gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_exit_code_and_last_words(tmp_path):
    code = "import sys; print('one'); print('two', file=sys.stderr); sys.exit(3)"
    with ChildProcess("speaker", _python(code), log=tmp_path / "log") as child:
        assert child.wait() == 3
        assert "two" in child.last_lines()
        assert child.rss_bytes() == 0


def test_leaving_the_context_stops_and_reaps(tmp_path):
    with ChildProcess(
        "sleeper", _python("import time; time.sleep(60)"), log=tmp_path / "l"
    ) as child:
        assert child.exit_code is None
        _wait_for(lambda: child.rss_bytes() > 0)
    assert child.exit_code is not None
    assert _is_gone(child.pid)
    child.stop()


def test_an_exception_stops_the_child_too(tmp_path):
    with (
        pytest.raises(KeyError),
        ChildProcess(
            "sleeper", _python("import time; time.sleep(60)"), log=tmp_path / "l"
        ) as child,
    ):
        raise KeyError
    assert _is_gone(child.pid)


def test_a_child_that_ignores_the_first_signal_gets_a_stronger_one(tmp_path, monkeypatch):
    quick = ((signal.SIGINT, 0.2), (signal.SIGTERM, 5.0))
    monkeypatch.setattr("swapnet_ros.nodes.child_process._PATIENCE_S", quick)
    log = tmp_path / "log"
    with ChildProcess("deaf", _python(_DEAF + "time.sleep(60)"), log=log) as child:
        _wait_for(lambda: "up" in child.last_lines())
    assert child.exit_code == -signal.SIGTERM


def test_a_child_does_not_outlive_a_killed_parent(tmp_path):
    code = f"""
import time
from pathlib import Path
from swapnet_ros.nodes.child_process import ChildProcess
child = ChildProcess('sleeper', ['sleep', '60'], log=Path({str(tmp_path / "log")!r}))
print(child.pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen(_python(code), stdout=subprocess.PIPE, text=True) as parent:
        pid = int(parent.stdout.readline())
        parent.kill()
    _wait_for(lambda: _is_gone(pid) or _state(pid) == "Z")


def _state(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        return file.read().rpartition(")")[2].split()[0]


def test_repr_tells_the_state(tmp_path):
    with ChildProcess("done", _python("pass"), log=tmp_path / "log") as child:
        child.wait()
        assert repr(child) == f"<ChildProcess done, pid {child.pid}, exit code 0>"
