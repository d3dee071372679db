"""What an evaluation leaves in its folder, written while it runs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from swapnet_core import memory
from swapnet_ros.evaluation.bags.problems import BagProblem
from swapnet_ros.evaluation.bags.source_frame import SourceFrame
from swapnet_ros.evaluation.direct.frame_analyst import TaskAnswer
from swapnet_ros.evaluation.direct.progress_file import Progress, write_progress
from swapnet_ros.evaluation.direct.report_folder import ReportFolder
from swapnet_ros.evaluation.direct.result_json import frame_json, result_json
from swapnet_ros.evaluation.direct.results_bag import ResultsBag
from swapnet_ros.evaluation.direct.results_file import ResultsFile
from swapnet_ros.evaluation.direct.scoring import Scoring
from swapnet_ros.evaluation.direct.timings_file import TimingsFile
from swapnet_ros.evaluation.sample_frames import SampleFrames

_CHECKPOINT_S = 10.0


class ReportFiles:
    """Takes frames in, one after the other. Use from one thread."""

    def __init__(
        self,
        folder: ReportFolder,
        begin: Progress,
        *,
        header: Mapping[str, Any],
        scoring: Scoring,
        image_counts: Mapping[str, int],
        recording: ResultsBag | None = None,
    ) -> None:
        """Begin a report, or go on with one.

        Args:
            folder: is there already.
            begin: how far the report has come; nothing is kept of one without frames.
            header: what stands before the frames in the results.
            scoring: where accuracy is counted; put into the state that it had.
            image_counts: how many images each topic has.
            recording: where results are recorded, begun with the same frames; `finish` closes it.

        Raises:
            InputError: what a report has to be resumed with is gone.
            ReportError: a file cannot be written.
            StorageError: the samples cannot be written.
        """
        self._folder = folder
        self._scoring = scoring
        self._recording = recording
        self._setup = begin.setup
        self._frames = begin.frames
        self._elapsed_before_s = begin.elapsed_s
        self._drawing_s = 0.0
        is_resumed = begin.frames > 0
        if not is_resumed:
            folder.forget_sums()
        self._samples = SampleFrames(folder.samples, image_counts, frames_kept=begin.frames)
        with ExitStack() as undo:
            self._results = ResultsFile(
                folder.results, header, resume_at=begin.results_bytes if is_resumed else 0
            )
            undo.callback(self._results.close)
            self._timings = TimingsFile(
                folder.timings, resume_at=begin.timings_bytes if is_resumed else 0
            )
            undo.pop_all()
        if is_resumed:
            scoring.restore(begin.scores)
        self._begin_s = self._checkpoint_s = time.monotonic()
        self._is_torn = False
        self._keep()

    def __repr__(self) -> str:
        return f"<ReportFiles {self._folder.path}, {self._frames} frames>"

    @property
    def frames(self) -> int:
        """How many are done."""
        return self._frames

    @property
    def elapsed_s(self) -> float:
        """Time spent on new frames, in all sittings together; without drawing and recording."""
        return self._elapsed_before_s + time.monotonic() - self._begin_s - self._drawing_s

    def add(self, frame: SourceFrame, answers: Sequence[TaskAnswer], *, process_bytes: int) -> None:
        """Take one frame in.

        Args:
            frame: the image.
            answers: of all tasks that look at it.
            process_bytes: the most that the process held meanwhile, above its baseline.

        Raises:
            BagError: it cannot be recorded; the report is gone on with from the last note.
            ReportError: a file cannot be written; likewise.
        """
        self._is_torn = True
        self._record(frame, answers)
        self._timings.append(self._frames, answers, process_bytes=process_bytes)
        found = {answer.task: _answer_json(answer) for answer in answers}
        self._results.append(frame_json(self._frames, frame, found))
        self._scoring.add(frame, answers)
        if self._samples.is_wanted(frame):
            self._draw(frame, answers)
        self._frames += 1
        self._is_torn = False
        if time.monotonic() > self._checkpoint_s + _CHECKPOINT_S:
            self._keep()

    def skip(self, frame: SourceFrame) -> bool:
        """Pass by one frame that was taken in in an earlier sitting.

        Returns:
            Whether all is kept of it. If not, its results are wanted once more, by `record_again`.

        Raises:
            BagError: it cannot be recorded.
        """
        self._scoring.skip(frame)
        is_kept = self._recording is None or self._recording.take_over(frame)
        self._restart_clock()
        return is_kept

    def record_again(self, frame: SourceFrame, answers: Sequence[TaskAnswer]) -> None:
        """Put the results of a frame that was passed by into the recording, and nowhere else.

        Raises:
            BagError: it cannot be recorded.
        """
        self._record(frame, answers)
        self._restart_clock()

    def finish(self, problems: Sequence[BagProblem], *, is_complete: bool) -> None:
        """Close the results with the accuracy so far, and end the recording.

        After an error within a frame, of which a part may be written, everything stays as the last
        note has it: that is where a resumed evaluation goes on.

        Args:
            problems: of the bag.
            is_complete: all frames are done.

        Raises:
            BagError: the recording cannot be written.
            ReportError: a file cannot be written.
        """
        if self._is_torn:
            return
        self._results.finish(
            {
                "complete": is_complete,
                "frames_done": self._frames,
                "accuracy": self._scoring.summary(),
                "labels": self._scoring.meetings(),
                "problems": [
                    {"kind": p.kind, "topic": p.topic, "count": p.count, "sentence": p.sentence}
                    for p in problems
                ],
            }
        )
        if self._recording is not None:
            self._recording.close()
        self._keep()

    def mark_complete(self) -> None:
        """Note that nothing is left to be done: figures are written, too.

        Raises:
            ReportError: the note cannot be written.
        """
        self._keep(is_complete=True)

    def close(self) -> None:
        """Close the files; may be called again. The recording is its owner's to close."""
        self._results.close()
        self._timings.close()

    def _record(self, frame: SourceFrame, answers: Sequence[TaskAnswer]) -> None:
        if self._recording is None:
            return
        begin_s = time.monotonic()
        self._recording.add(frame, answers)
        memory.return_free_memory()  # a drawing's is not to be taken for the next inference's
        self._drawing_s += time.monotonic() - begin_s

    def _restart_clock(self) -> None:
        """Forget the time since the beginning: it went to frames of an earlier sitting."""
        self._begin_s, self._drawing_s = time.monotonic(), 0.0

    def _draw(self, frame: SourceFrame, answers: Sequence[TaskAnswer]) -> None:
        begin_s = time.monotonic()
        results = {
            each.task: each.refusal if each.result is None else each.result for each in answers
        }
        self._samples.keep(self._frames, frame, results)
        self._drawing_s += time.monotonic() - begin_s

    def _keep(self, *, is_complete: bool = False) -> None:
        """Note the place from which an evaluation that ends now, however it ends, goes on."""
        self._checkpoint_s = time.monotonic()
        # first what the note speaks of: a power cut must not leave the note alone
        self._results.sync()
        self._timings.sync()
        write_progress(
            self._folder.progress,
            Progress(
                setup=self._setup,
                frames=self._frames,
                is_complete=is_complete,
                results_bytes=self._results.position,
                timings_bytes=self._timings.position,
                elapsed_s=self.elapsed_s,
                scores={} if is_complete else self._scoring.state(),
            ),
        )


def _answer_json(answer: TaskAnswer) -> dict[str, Any]:
    return {"refused": answer.refusal} if answer.result is None else result_json(answer.result)
