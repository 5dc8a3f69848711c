import threading
from pathlib import Path

import pytest

from backaudit.bench.zoo.locks import locked

pytest.importorskip("fcntl")


def test_a_lock_is_held_by_one_until_the_block_ends(tmp_path: Path) -> None:
    with locked(tmp_path, "model", wait=False) as first:
        with locked(tmp_path, "model", wait=False) as second:
            assert (first, second) == (True, False)
        with locked(tmp_path, "another", wait=False) as other:
            assert other
    with locked(tmp_path, "model", wait=False) as again:
        assert again


def test_one_that_waits_gets_it_in_the_end(tmp_path: Path) -> None:
    seen: list[bool] = []

    def wait() -> None:
        with locked(tmp_path, "model", wait=True) as held:
            seen.append(held)

    waiting = threading.Thread(target=wait)
    with locked(tmp_path, "model", wait=False):
        waiting.start()
        waiting.join(0.1)
        assert seen == []
    waiting.join(10)
    assert seen == [True]
