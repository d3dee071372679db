"""Live results brought together with the bag's images, frame by frame, as direct mode has them."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, fields
from typing import Any

from swapnet_ros.evaluation.bags.reader import BagReader
from swapnet_ros.evaluation.bags.source_frame import SourceFrame
from swapnet_ros.evaluation.direct.direct_task import DirectTask
from swapnet_ros.evaluation.direct.engines import InferenceCost
from swapnet_ros.evaluation.direct.frame_analyst import TaskAnswer
from swapnet_ros.evaluation.direct.report_folder import ReportFolder
from swapnet_ros.evaluation.direct.result_json import frame_json, header_json, result_json
from swapnet_ros.evaluation.direct.results_file import ResultsFile
from swapnet_ros.evaluation.direct.scoring import Scoring
from swapnet_ros.evaluation.sample_frames import SampleFrames
from swapnet_ros.replay.latency_parts import LatencyParts
from swapnet_ros.replay.play_record import PlayRecord

_COLUMNS = ("frame", "task", *(each.name for each in fields(LatencyParts)))


@dataclass(slots=True, kw_only=True)
class Labelled:
    """Of a task's images that were played, those with labels.

    Attributes:
        frames: how many there are.
        answered: how many of them the task answered; accuracy is that of these.
    """

    frames: int = 0
    answered: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """How a play's results and the bag's images met.

    Attributes:
        frames: images that at least one task answered.
        labelled: by task.
        unmatched: results by task whose stamps no image has.
    """

    frames: int
    labelled: Mapping[str, Labelled]
    unmatched: Mapping[str, int]


class AnsweredFrames:
    """Writes `results.json`, `timings.csv` and `samples/` of one play. Use from one thread."""

    def __init__(
        self, folder: ReportFolder, tasks: Sequence[DirectTask], record: PlayRecord
    ) -> None:
        """Begin the files.

        Args:
            folder: of the report; is there already.
            tasks: of the scenario.
            record: what came back; is used up.
        """
        self._folder, self._tasks, self._record = folder, tasks, record
        self._labelled = {task.name: Labelled() for task in tasks}
        self._frames = 0
        with ExitStack() as undo:
            self._results = ResultsFile(folder.results, header_json(tasks))
            undo.callback(self._results.close)
            self._timings = undo.enter_context(
                folder.timings.open("w", encoding="utf-8", newline="")
            )
            self._closing = undo.pop_all()
        self._rows = csv.writer(self._timings)
        self._rows.writerow(_COLUMNS)

    def take_all(
        self, bag: BagReader, played: Mapping[str, int], scoring: Scoring, *, is_complete: bool
    ) -> Answers:
        """Go through the bag's images in the order of their stamps.

        Args:
            bag: that was played.
            played: how many images of each topic were played.
            scoring: where accuracy is counted; has no frames yet.
            is_complete: the bag was played to its end.
        """
        with closing(self._closing):
            samples = SampleFrames(self._folder.samples, played)
            with closing(bag.frames(list(played))) as frames:
                for number, frame in enumerate(frames):
                    if frame.index < played[frame.topic]:
                        answers = self._take(number, frame, scoring)
                        if answers and samples.is_wanted(frame):
                            samples.keep(number, frame, {a.task: a.result for a in answers})
            self._results.finish(
                {
                    "complete": is_complete,
                    "frames_done": self._frames,
                    "accuracy": scoring.summary(),
                    "labels": scoring.meetings(),
                    "labelled": {name: asdict(each) for name, each in self._labelled.items()},
                    "problems": [
                        {"kind": p.kind, "topic": p.topic, "count": p.count, "sentence": p.sentence}
                        for p in bag.problems
                    ],
                }
            )
        return Answers(frames=self._frames, labelled=self._labelled, unmatched=self._record.left)

    def _take(self, number: int, frame: SourceFrame, scoring: Scoring) -> list[TaskAnswer]:
        looking = [task.name for task in self._tasks if frame.topic in task.topics]
        found: dict[str, Any] = {}
        answers = []
        for name in looking:
            taken = self._record.take(name, (frame.stamp_ns, frame.frame_id))
            if taken is None:
                continue
            live, output = taken
            found[name] = result_json(output)
            answers.append(
                TaskAnswer(
                    task=name,
                    result=output,
                    refusal="",
                    cost=InferenceCost(),
                    answer_s=live.parts.latency_s,
                )
            )
            times = (f"{each:.6f}" for each in asdict(live.parts).values())
            self._rows.writerow((number, name, *times))
        if scoring.add(frame, answers):
            for name in looking:
                self._labelled[name].frames += 1
                self._labelled[name].answered += name in found
        if found:
            self._results.append(frame_json(number, frame, found))
            self._frames += 1
        return answers


def count_played(
    bag: BagReader, topics: Sequence[str], told: Mapping[str, int] | None, *, until_ns: int | None
) -> dict[str, int]:
    """Say how many images of each topic were played.

    Args:
        bag: that was played.
        topics: those of its topics that were to be played.
        told: by the player; None where it told nothing.
        until_ns: the bag's time at which a player that told nothing was stopped; None where it
            came to the bag's end.
    """
    if told is not None:
        return {topic: told.get(topic, 0) for topic in topics}
    if until_ns is None:
        return {topic: bag.image_topics[topic] for topic in topics}
    counts = dict.fromkeys(topics, 0)
    with closing(bag.stored_messages(topics)) as messages:
        for message in messages:
            counts[message.topic] += message.time_ns <= until_ns
    return counts


def remove_stale(folder: ReportFolder) -> None:
    """Remove what an earlier evaluation came to, and how far one in direct mode had come."""
    folder.forget_sums()
    folder.progress.unlink(missing_ok=True)
