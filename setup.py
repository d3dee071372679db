"""Packaging for ``pip install -e .``; a ROS 2 workspace builds through CMakeLists.txt instead."""

from glob import glob
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent


def requirements(group: str) -> list[str]:
    """Read one requirement file, the single place where its ranges are written."""
    lines = (ROOT / "requirements" / f"{group}.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


setup(
    name="swapnet_ros",
    version="0.1.0",
    description="PyTorch perception networks inside a memory budget, as ROS 2 nodes",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["swapnet_core*", "swapnet_ros*"]),
    package_data={"": ["py.typed", "*/*.cfg", "*/*.names", "*/*.txt", "templates/*"]},
    install_requires=requirements("runtime"),
    extras_require={
        "opencv": requirements("opencv"),
        "test": requirements("test"),
        "check": requirements("check"),
    },
    # bags are read and written by the messages' definitions, without ROS
    data_files=[("share/swapnet_ros/msg", sorted(glob("msg/*.msg", root_dir=ROOT)))],
    entry_points={"console_scripts": ["swapnet = swapnet_ros.cli.__main__:main"]},
)
