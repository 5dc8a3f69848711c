"""Images to screen -> batches, in bounded memory, read ahead of the network on other threads."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Empty, Full, Queue
from threading import Event, Thread

import torch
from torch import Tensor

THREADS = 4
# How long a batch that is not full waits for the next image of a live stream, in seconds.
PATIENCE = 0.05
# How often the reading thread looks whether anyone still wants its images, in seconds.
CHECKED = 0.2


@dataclass(frozen=True)
class Picture:
    """One image, or why there is none.

    Args:
        path: as the report calls it: a file's path, or an archive's with the image's number.
        image: (C, H, W) uint8 at the network's size; None if it could not be read.
        resized: whether the file's own size is another one.
        problem: why it could not be read; empty if it was.
    """

    path: str
    image: Tensor | None
    resized: bool = False
    problem: str = ""


@dataclass(frozen=True)
class Batch:
    """Images that are screened together.

    Args:
        pictures: in the order of their source, those that could not be read among them.
        images: (N, C, H, W) uint8 on the CPU of the N that could; N may be 0.
    """

    pictures: tuple[Picture, ...]
    images: Tensor

    @property
    def paths(self) -> tuple[str, ...]:
        """Of the N images."""
        return tuple(picture.path for picture in self.pictures if picture.image is not None)

    @property
    def resized(self) -> int:
        """How many images have another size than the network's."""
        return sum(picture.resized for picture in self.pictures)


Task = Callable[[], Picture]


def batches(
    tasks: Iterator[Task], size: int, shape: tuple[int, int, int], *, live: bool = False
) -> Iterator[Batch]:
    """Read pictures on other threads and put them together, in order.

    At most three batches are held, however many tasks there are.

    Args:
        tasks: each reads one picture; drawn from on another thread, so that it may block.
        size: images of a batch, at least 1.
        shape: (C, H, W) of every image.
        live: whether a batch that is not full goes on when the tasks pause.
    """
    with _read_ahead(tasks, size) as pending:
        over = False
        while not over:
            pictures, over = _gathered(pending, size, live=live)
            if pictures:
                yield _batch(pictures, shape)


Pending = Queue[Future[Picture] | Exception | None]


def _gathered(pending: Pending, size: int, *, live: bool) -> tuple[list[Picture], bool]:
    """Up to ``size`` pictures, and whether they are the last."""
    pictures: list[Picture] = []
    until = 0.0
    while len(pictures) < size:
        wait = max(0.0, until - time.monotonic()) if live and pictures else None
        try:
            future = pending.get(timeout=wait)
        except Empty:
            return pictures, False
        if future is None:
            return pictures, True
        if isinstance(future, Exception):
            raise future
        pictures.append(future.result())
        # From the first image on, so that a slow but steady stream is not held back either.
        until = until or time.monotonic() + PATIENCE
    return pictures, False


def _batch(pictures: list[Picture], shape: tuple[int, int, int]) -> Batch:
    images = [picture.image for picture in pictures if picture.image is not None]
    stacked = torch.stack(images) if images else torch.empty((0, *shape), dtype=torch.uint8)
    return Batch(tuple(pictures), stacked)


@contextmanager
def _read_ahead(tasks: Iterator[Task], size: int) -> Iterator[Pending]:
    """Futures of the pictures in order, at most two batches of them; None is the end."""
    pending: Pending = Queue(2 * size)
    unwanted = Event()
    pool = ThreadPoolExecutor(THREADS)

    def produce() -> None:
        end: Exception | None = None
        try:
            for task in tasks:
                if unwanted.is_set() or not _put(pending, pool.submit(task), unwanted):
                    return
        except Exception as error:  # noqa: BLE001 - raised again on the thread that asked
            end = error
        _put(pending, end, unwanted)

    # A daemon, because a live stream may never say another word.
    Thread(target=produce, daemon=True).start()
    try:
        yield pending
    finally:
        unwanted.set()
        pool.shutdown(wait=False, cancel_futures=True)


def _put(pending: Pending, item: Future[Picture] | Exception | None, unwanted: Event) -> bool:
    """Put an item once there is room; False if nobody wants it any more."""
    while not unwanted.is_set():
        try:
            pending.put(item, timeout=CHECKED)
        except Full:
            continue
        return True
    return False
