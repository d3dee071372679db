"""The files that describe the package agree with each other and with what is there."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]


def _requirements(name):
    lines = (_ROOT / name).read_text(encoding="utf-8").splitlines()
    names = [re.split(r"[\[<>=~! ]", line)[0] for line in lines if line and line[0] != "#"]
    return {name.lower().replace("_", "-") for name in names}


def test_package_xml_and_setup_py_state_one_version():
    manifest = ElementTree.parse(_ROOT / "package.xml").getroot()
    setup = (_ROOT / "setup.py").read_text(encoding="utf-8")
    assert f'version="{manifest.findtext("version")}"' in setup
    assert manifest.findtext("license") == "Apache-2.0"
    assert "Apache License" in (_ROOT / "LICENSE").read_text(encoding="utf-8")


def test_everything_that_is_required_is_locked():
    groups = (_ROOT / "requirements").glob("*.txt")
    wanted = set().union(*(_requirements(group.relative_to(_ROOT)) for group in groups))
    assert not wanted - _requirements("requirements.lock")


def test_torch_is_never_pinned_in_the_ranges():
    text = (_ROOT / "requirements" / "runtime.txt").read_text(encoding="utf-8")
    assert not re.search(r"^torch\w*\s*(==|<|~=)", text, re.MULTILINE)


def test_every_script_can_be_executed():
    scripts = [path for path in (_ROOT / "scripts").iterdir() if path.is_file()]
    assert scripts
    for path in (*scripts, _ROOT / ".ci" / "run"):
        assert path.stat().st_mode & 0o111, f"chmod +x {path}"


def test_the_links_of_the_documents_lead_somewhere():
    for document in (_ROOT / "README.md", *sorted((_ROOT / "docs").glob("*.md"))):
        for target in re.findall(r"\]\(([^)#]+)", document.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.name}: {target}"


@pytest.mark.ros
def test_executables_and_data_are_installed():
    pytest.importorskip("swapnet_ros.msg", reason="needs the install space: make test")
    from ament_index_python.packages import get_package_prefix

    prefix = Path(get_package_prefix("swapnet_ros"))
    programs = {path.name for path in (_ROOT / "scripts").iterdir() if path.is_file()}
    assert programs == {path.name for path in (prefix / "lib" / "swapnet_ros").iterdir()}
    assert (prefix / "bin" / "swapnet").exists()
    for folder in ("config", "launch"):
        for path in (_ROOT / folder).glob("*.*"):
            assert (prefix / "share" / "swapnet_ros" / folder / path.name).exists()
