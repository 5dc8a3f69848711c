import threading
import time
from collections.abc import Iterator
from functools import partial

import pytest
import torch

from backaudit.firewall.stream import THREADS, Picture, Task, batches

SHAPE = (1, 2, 2)
SOON = 5.0


def picture(index: int) -> Picture:
    image = torch.full(SHAPE, index % 256, dtype=torch.uint8)
    return Picture(f"{index}.png", image, resized=index % 2 == 0)


def tasks(count: int) -> Iterator[Task]:
    return (partial(picture, index) for index in range(count))


def test_every_picture_comes_once_and_in_order() -> None:
    made = list(batches(tasks(11), 4, SHAPE))
    assert [len(batch.paths) for batch in made] == [4, 4, 3]
    assert [path for batch in made for path in batch.paths] == [f"{i}.png" for i in range(11)]
    assert torch.cat([batch.images for batch in made])[:, 0, 0, 0].tolist() == list(range(11))
    assert sum(batch.resized for batch in made) == 6


def test_the_slowest_picture_does_not_lose_its_place() -> None:
    def slow() -> Picture:
        time.sleep(0.05)
        return picture(0)

    made = list(batches(iter([slow, partial(picture, 1), partial(picture, 2)]), 3, SHAPE))
    assert made[0].paths == ("0.png", "1.png", "2.png")


def test_unreadable_pictures_are_beside_the_batch_and_not_in_it() -> None:
    broken = partial(Picture, "bad.png", None, problem="truncated")
    made = list(batches(iter([broken, partial(picture, 1)]), 4, SHAPE))
    assert [batch.paths for batch in made] == [("1.png",)]
    assert [each.problem for each in made[0].pictures] == ["truncated", ""]
    assert len(made[0].images) == 1


def test_a_batch_of_unreadable_pictures_has_no_images() -> None:
    (batch,) = batches(iter([partial(Picture, "bad.png", None, problem="no")]), 4, SHAPE)
    assert batch.images.shape == (0, *SHAPE)
    assert batch.images.dtype == torch.uint8


def test_nothing_gives_no_batch() -> None:
    assert list(batches(tasks(0), 4, SHAPE)) == []


@pytest.mark.parametrize("live", [False, True])
def test_a_live_stream_that_pauses_gets_its_answer_and_a_folder_a_full_batch(live: bool) -> None:
    go_on = threading.Event()

    def halting() -> Iterator[Task]:
        yield partial(picture, 0)
        go_on.wait(SOON)
        yield partial(picture, 1)

    made = batches(halting(), 2, SHAPE, live=live)
    if not live:
        threading.Timer(0.2, go_on.set).start()
    first = next(made)
    assert len(first.paths) == (1 if live else 2)
    go_on.set()
    assert sum(len(batch.paths) for batch in made) == (1 if live else 0)


def test_pictures_are_read_at_most_two_batches_ahead() -> None:
    started = []

    def counted(index: int) -> Picture:
        started.append(index)
        return picture(index)

    endless = (partial(counted, index) for index in range(10_000))
    made = batches(endless, 4, SHAPE)
    next(made)
    time.sleep(0.3)
    # Four were handed out, eight wait, and each thread and the reader may hold one more.
    assert len(started) <= 4 + 8 + THREADS + 1
    made.close()  # type: ignore[attr-defined]


def test_an_abandoned_stream_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    made = batches(tasks(1000), 2, SHAPE)
    next(made)
    made.close()  # type: ignore[attr-defined]
    until = time.monotonic() + SOON
    while threading.active_count() > before and time.monotonic() < until:
        time.sleep(0.02)
    # Threads of earlier tests may have ended meanwhile.
    assert threading.active_count() <= before


def test_an_error_of_the_source_reaches_who_asked() -> None:
    def broken() -> Iterator[Task]:
        yield partial(picture, 0)
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        list(batches(broken(), 4, SHAPE))


def test_an_error_that_is_no_unreadable_picture_is_not_hidden() -> None:
    def bug() -> Picture:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(batches(iter([bug]), 4, SHAPE))
