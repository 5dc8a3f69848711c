"""One pass over the images: screened, written down and counted, in bounded memory."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import heappush, heappushpop
from itertools import count
from math import isfinite
from pathlib import Path
from typing import Generic, TypeVar

from torch import Tensor

from backaudit.cli.screen.flagged import Copies
from backaudit.core.screening import Calibration
from backaudit.core.suspect import Suspect
from backaudit.firewall.screen import ImageBatch, ImageResult, screen
from backaudit.firewall.screener import FittedScreener
from backaudit.firewall.stream import Batch, Picture
from backaudit.firewall.summary import Summary
from backaudit.reports.screening.rows import Row, image_row, unreadable_row

HIGHEST = 20
PICTURES = 60
UNSCORED = "the network gives it no finite score"

Kept = TypeVar("Kept")


class Highest(Generic[Kept]):
    """Keeps what scores highest; of equal scores, what came first.

    Args:
        most: how many to keep.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.order = count()
        self.heap: list[tuple[float, int, Kept]] = []

    def add(self, score: float, make: Callable[[], Kept]) -> None:
        """Consider one; it is only made if it is kept."""
        place = (score, -next(self.order))
        if len(self.heap) < self.most:
            heappush(self.heap, (*place, make()))
        elif place > self.heap[0][:2]:
            heappushpop(self.heap, (*place, make()))

    def sorted(self) -> list[Kept]:
        """What was kept, highest first."""
        return [kept for *_, kept in sorted(self.heap, key=lambda entry: entry[:2], reverse=True)]


@dataclass(frozen=True)
class Recorder:
    """Who is told of each image.

    Args:
        add: writes a row.
        flush: lets readers see what was written.
        complain: is told path and reason of what cannot be read.
        copies: of flagged pictures; None for none.
        pictures: whether pixels of flagged pictures are kept.
        archive: name for pictures that are no files of their own; None for files.
    """

    add: Callable[[Row], None]
    flush: Callable[[], None]
    complain: Callable[[str, str], None]
    copies: Copies | None = None
    pictures: bool = False
    archive: str | None = None


class Screened:
    """What is kept of the images once they were screened.

    Args:
        suspect: the model.
        calibrations: of the screeners.
        recorder: who is told of each image.

    Attributes:
        summary: counts of the results.
        hows: method -> how its forward passes are shared.
        highest: images of the highest scores.
        pictures: flagged images of the highest scores, with their pixels.
        resized: images that had another size.
        seconds: that screening took.
    """

    def __init__(
        self, suspect: Suspect, calibrations: Sequence[Calibration], recorder: Recorder
    ) -> None:
        self.suspect, self.recorder = suspect, recorder
        self.summary = Summary(calibrations)
        self.screeners = [FittedScreener.of(suspect, each) for each in calibrations]
        self.hows = {each.calibration.method: each.how for each in self.screeners}
        self.highest: Highest[ImageResult] = Highest(HIGHEST)
        self.pictures: Highest[tuple[ImageResult, Tensor]] = Highest(PICTURES)
        self.resized = 0
        self.seconds = 0.0
        self._waiting: deque[Picture] = deque()

    def run(self, batches: Iterable[Batch]) -> None:
        """Screen all images, a batch at a time."""
        start = time.perf_counter()
        for result in screen(self.screeners, self._images_of(batches)):
            pixels = self._next_pixels()
            if all(map(isfinite, result.scores.values())):
                self._take(result, pixels)
            else:
                self._leave_out(result.path, UNSCORED)
            self._complain()
        self.seconds = time.perf_counter() - start

    def _images_of(self, batches: Iterable[Batch]) -> Iterator[ImageBatch]:
        for batch in batches:
            self.resized += batch.resized
            self._waiting.extend(batch.pictures)
            self._complain()
            if batch.paths:
                yield ImageBatch(batch.paths, batch.images)

    def _complain(self) -> None:
        """Report what could not be read before the next image, so that all keep their order."""
        while self._waiting and self._waiting[0].image is None:
            picture = self._waiting.popleft()
            self._leave_out(picture.path, picture.problem)
        if not self._waiting:
            self.recorder.flush()

    def _leave_out(self, path: str, problem: str) -> None:
        """Report an input that nobody screened, which is no pass."""
        self.summary.add_unreadable(path, problem)
        self.recorder.complain(path, problem)
        self.recorder.add(unreadable_row(path, problem))

    def _next_pixels(self) -> Tensor:
        image = self._waiting.popleft().image
        if image is None:
            raise RuntimeError("results and images are out of step")
        return image

    def _take(self, result: ImageResult, pixels: Tensor) -> None:
        self.summary.add(result)
        self.recorder.add(image_row(result, self.suspect))
        self.highest.add(result.score, lambda: result)
        if not result.flagged:
            return
        if self.recorder.pictures:
            self.pictures.add(result.score, lambda: (result, pixels))
        copies, archive = self.recorder.copies, self.recorder.archive
        if copies is not None and archive is not None:
            index = self.summary.images + self.summary.unreadable - 1
            copies.add_pixels(f"{Path(archive).stem}-{index:06d}", pixels)
        elif copies is not None:
            copies.add_file(result.path)
