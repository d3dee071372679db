"""The page in a real browser: it opens from disk, asks for nothing, and complains of nothing."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass

import pytest

from swapnet_ros.evaluation.report.page import write_report

pytestmark = pytest.mark.slow  # a browser takes seconds to start
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_PATIENCE_S = 120


@dataclass(frozen=True)
class Opened:
    """A page that was loaded: as the browser has it, what it said, and what the page asked for."""

    document: str
    said: str
    requests: set[str]


@pytest.fixture
def browse(tmp_path):
    """Load a page from disk; the test skips where there is no browser."""
    browser = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if browser is None:
        pytest.skip(f"no browser: none of {', '.join(_BROWSERS)} is on PATH")

    def load(page):
        log = tmp_path / "net.json"
        words = (
            *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--dump-dom"),
            *("--enable-logging=stderr", f"--log-net-log={log}"),
            # the browser's own requests end there, too
            *(f"--user-data-dir={tmp_path}/profile", "--host-resolver-rules=MAP * ~NOTFOUND"),
        )
        done = subprocess.run(
            [browser, *words, page.as_uri()],
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=True,
        )
        events = (each.get("params", {}) for each in json.loads(log.read_text())["events"])
        asked = {e["url"] for e in events if "file:" in e.get("network_isolation_key", "")}
        return Opened(document=done.stdout, said=done.stderr, requests=asked)

    return load


def test_it_opens_from_disk_without_errors_and_without_the_network(evaluation, browse, tmp_path):
    evaluation.write()
    evaluation.write_samples(label="<b>car</b>")
    page = tmp_path / "report.html"
    write_report(evaluation.path, page)
    opened = browse(page)
    assert "CONSOLE" not in opened.said
    assert opened.requests == set()
    sections = re.findall(r'<section id="([a-z]+)"', opened.document)
    assert sections == re.findall(r'href="#([a-z]+)"', opened.document)
    assert len(sections) == 10
    assert opened.document.count("</svg>") == 3
    assert opened.document.count("<img ") == 2


def test_what_does_not_belong_into_the_page_would_be_seen(evaluation, browse, tmp_path):
    page = tmp_path / "report.html"
    write_report(evaluation.write(), page)
    strange = '<main><script>1</script><img src="http://a.test/x">'
    text = page.read_text().replace("<main>", strange)
    page.write_text(text)
    opened = browse(page)
    assert opened.said.count("Content Security Policy") >= 2
    assert opened.requests == set()  # the page's own policy forbids it
    page.write_text(re.sub(r"<meta http-equiv[^>]*>", "", text))
    assert browse(page).requests == {"http://a.test/x"}
