"""Folders of evaluations as `swapnet evaluate` leaves them, and a parser for the page."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from swapnet_ros.evaluation.bags.source_frame import SourceFrame
from swapnet_ros.evaluation.direct.results_file import ResultsFile
from swapnet_ros.evaluation.report.page import render_page
from swapnet_ros.evaluation.report.run_reader import read_report
from swapnet_ros.evaluation.sample_frames import SampleFrames
from swapnet_ros.perception.tasks.object_detection import Detection, DetectionResult

MIB = 2**20
_VOID = frozenset(("meta", "img", "br", "use", "path"))


class Page(HTMLParser):
    """A page's text by section, and all its tags."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.sections: dict[str, str] = {"": ""}
        self.parts: list[str] = []
        self.open: list[str] = []
        self._section = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "section":
            self._section = dict(attrs)["id"]
            self.sections[self._section] = ""
        if "part" in dict(attrs).get("class", "").split():
            self.parts.append("")
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag == "section":
            self._section = ""

    def handle_data(self, data):
        if self.open[-1:] == ["style"]:
            return
        read = data.replace("\N{NO-BREAK SPACE}", " ")  # as people see it
        self.sections[self._section] += read
        if self.parts and self._section:
            self.parts[-1] += read


def distribution(p50_s, count=5):
    return {
        "count": count,
        "mean": p50_s * 1.1,
        "p50": p50_s,
        "p90": p50_s * 1.5,
        "p99": p50_s * 1.9,
        "max": p50_s * 2,
    }


def task_figures(p50_s):
    return {
        "demand_bytes": 90 * MIB,
        "weight_bytes": 60 * MIB,
        "activation_bytes": 30 * MIB,
        "resident_bytes": 11 * MIB,
        "streamed_bytes": 49 * MIB,
        "planned_peak_bytes": 41 * MIB,
        "predicted_latency_s": p50_s * 0.9,
        "faults": 0,
        "is_exact": True,
        "frames": 5,
        "inferences": 5,
        "inference_s": distribution(p50_s),
        "answer_s": distribution(p50_s * 1.3),
        "stall_share": 0.125,
        "read_bytes": 245 * MIB,
        "read_bytes_per_inference": 49 * MIB,
    }


class Evaluation:
    """Writes one folder; what a test does not change is a complete evaluation of five frames."""

    def __init__(self, path: Path, tasks=("cars",), frames=5) -> None:
        self.path = path
        self.tasks = dict.fromkeys(tasks)
        self.frames = frames
        self.refused: dict[int, str] = {}
        self.figures = {
            "complete": True,
            "frames_done": frames,
            "mode": "direct",
            "frames_in_bag": frames,
            "budget": "64MiB",
            "elapsed_s": 2.5,
            "budget_bytes": 64 * MIB,
            "demand_bytes": 148 * MIB,
            "core_peak_bytes": 63 * MIB,
            "process_peak_bytes": 77 * MIB,
            "frames_per_s": 2.0,
            "storage": {
                "read_bandwidth_bytes_per_s": 500 * MIB,
                "direct_io": True,
                "profile": {
                    "read_bandwidth_bytes_per_s": 800 * MIB,
                    "read_latency_s": 0.0002,
                    "compute_slowdown": 0.05,
                },
            },
            "tasks": {name: task_figures(0.02 * (n + 1)) for n, name in enumerate(tasks)},
            "cache": {"folder": "/var/cache/blocks", "file_system": "ext4", "source": "/dev/nvme0"},
            "machine": {"processor": "Test CPU 9000", "cores": 4, "memory_bytes": 8 * 1024 * MIB},
            "versions": {"python": "3.11.7", "torch": "2.9.0"},
            "commit": "0123456789abcdef",
            "configuration": {"command": {"bag": "/bags/drive", "config": "self_driving.yaml"}},
        }
        self.tail = {
            "complete": True,
            "frames_done": frames,
            "accuracy": {},
            "labels": {},
            "problems": [],
        }
        self.timeline = {
            name: {
                "latency_s": 0.03,
                "uses": [
                    {"block": None, "stall_s": 0.0, "begin_s": 0.0, "end_s": 0.005},
                    {"block": 1, "stall_s": 0.004, "begin_s": 0.009, "end_s": 0.03},
                ],
                "reads": [
                    {**{"block": 1, "offset_bytes": 0, "size_bytes": 4 * MIB}, **span}
                    for span in (
                        {"begin_s": -0.002, "end_s": 0.004},
                        {"begin_s": 0.001, "end_s": 0.009},
                    )
                ],
                "reads_ahead": [],
                "resident_bytes": 11 * MIB,
                "block_bytes": [11 * MIB, 8 * MIB],
            }
            for name in tasks
        }

    def write(self) -> Path:
        """Write all files but those that are None."""
        self.path.mkdir(parents=True, exist_ok=True)
        header = {"tasks": {name: self._setting(name) for name in self.tasks}}
        results = ResultsFile(self.path / "results.json", header)
        for number in range(self.frames):
            results.append(self._frame(number))
        if self.tail is not None:
            results.finish(self.tail)
        results.close()
        self._write_timings()
        for name in ("figures", "timeline"):
            if getattr(self, name) is not None:
                (self.path / f"{name}.json").write_text(json.dumps(getattr(self, name)))
        return self.path

    def write_samples(self, label="car") -> None:
        """Draw a detection into the first and last frame."""
        samples = SampleFrames(self.path / "samples/samples.json", {"/camera": 2})
        found = Detection(class_id=2, label=label, score=0.9, x_min=5, y_min=5, x_max=40, y_max=30)
        result = DetectionResult(detections=(found,), width=64, height=48)
        for number in range(2):
            frame = SourceFrame(
                topic="/camera",
                stamp_ns=1_000_000_000 * (number + 1),
                frame_id="camera",
                image=np.full((48, 64, 3), 90, np.uint8),
                index=number,
            )
            samples.keep(number, frame, dict.fromkeys(self.tasks, result))

    def page(self) -> Page:
        """The page of what lies in the folder."""
        return Page(render_page(read_report(self.path)))

    def _setting(self, name):
        return {
            "task": "object_detection",
            "network": "yolov3",
            "random_weights": False,
            "topics": ["/camera"],
            "parameters": {"weights": "/weights/cars.weights"},
        }

    def _frame(self, number):
        found = {"detections": []}
        refused = {"refused": self.refused.get(number, "")}
        result = refused if number in self.refused else found
        return {
            "frame": number,
            "topic": "/camera",
            "index": number,
            "stamp_ns": 1_000_000_000 + number * 100_000_000,
            "frame_id": "camera",
            "width": 64,
            "height": 48,
            "results": dict.fromkeys(self.tasks, result),
        }

    def _write_timings(self):
        rows = ["frame,task,inferences,inference_s,stall_s,answer_s,read_bytes,process_bytes"]
        for number in range(self.frames):
            taken, held = 0.02 + 0.01 * (number % 7), 70 * MIB + number
            rows += [
                f"{number},{name},1,{taken},{taken / 8},{taken * 1.2},{49 * MIB},{held}"
                for name in self.tasks
            ]
        (self.path / "timings.csv").write_text("\n".join(rows) + "\n")


@pytest.fixture
def evaluation(tmp_path):
    """A complete evaluation of one task, not written yet."""
    return Evaluation(tmp_path / "report")
