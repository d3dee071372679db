"""One image through all tasks that look at its camera."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial

from swapnet_ros.evaluation.bags.source_frame import SourceFrame
from swapnet_ros.evaluation.direct.direct_task import DirectTask, in_order
from swapnet_ros.evaluation.direct.engines import Engine, InferenceCost
from swapnet_ros.perception.errors import ImageError
from swapnet_ros.perception.tasks.analysis import Analysis, TaskResult
from swapnet_ros.perception.tasks.object_detection import DetectionResult


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskAnswer:
    """What became of one image in one task.

    Attributes:
        task: the task's name.
        result: what it found; None where it refused the image.
        refusal: why it refused the image; empty where it did not.
        cost: of its inferences.
        answer_s: from when the tasks got the image to the result, others' inferences included.
    """

    task: str
    result: TaskResult | None
    refusal: str
    cost: InferenceCost
    answer_s: float


class FrameAnalyst:
    """Hands each image to its tasks, all at once as in the nodes' process. Use from one thread.

    Which task's inference runs first may differ from run to run; what they find does not, since
    nothing of one reaches another but a detector's boxes, for which the classifier waits.
    """

    def __init__(self, tasks: Sequence[DirectTask], engine: Engine) -> None:
        self._tasks = in_order(tasks)
        self._engine = engine
        self._made = {task.name: task.kind.make(task.network) for task in tasks}
        self._pool = ThreadPoolExecutor(max(1, len(tasks)), "direct-task")

    def __repr__(self) -> str:
        return f"<FrameAnalyst {', '.join(self._made)}>"

    def analyse(self, frame: SourceFrame) -> tuple[TaskAnswer, ...]:
        """Return the answers of all tasks of a frame's camera, detectors first.

        Raises:
            SwapNetError: an inference failed; no task is at work any more.
        """
        begin_s = time.perf_counter()
        answers: dict[str, Future[TaskAnswer]] = {}
        for task in self._tasks:
            if frame.topic in task.topics:
                boxes = answers.get(task.detector)
                answers[task.name] = self._pool.submit(self._answer, task, frame, boxes, begin_s)
        wait(answers.values())
        return tuple(answer.result() for answer in answers.values())

    def close(self) -> None:
        """End the threads; may be called again."""
        self._pool.shutdown()

    def _answer(
        self,
        task: DirectTask,
        frame: SourceFrame,
        boxes: Future[TaskAnswer] | None,
        begin_s: float,
    ) -> TaskAnswer:
        before = self._engine.cost(task.name)
        result, refusal = None, ""
        try:
            result = self._analysis(task).run(frame.image, _found(boxes))
        except ImageError as error:  # told in the report, frame by frame
            refusal = str(error)
        return TaskAnswer(
            task=task.name,
            result=result,
            refusal=refusal,
            cost=self._engine.cost(task.name).since(before),
            answer_s=time.perf_counter() - begin_s,
        )

    def _analysis(self, task: DirectTask) -> Analysis:
        return Analysis(
            kind=task.kind,
            task=self._made[task.name],
            values=task.values,
            infer=partial(self._engine.infer, task.name),
        )


def _found(boxes: Future[TaskAnswer] | None) -> DetectionResult | None:
    """A detector's boxes in the image; it is ahead in the same queue, so this ends."""
    if boxes is None:
        return None
    answer = boxes.result()
    if not isinstance(answer.result, DetectionResult):
        raise ImageError(f"{answer.task}, whose boxes are wanted, refused it: {answer.refusal}")
    return answer.result
