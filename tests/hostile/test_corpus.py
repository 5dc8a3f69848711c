"""Every file of the corpus: what becomes of it, how long it takes, and that nothing in it runs."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.hostile.case import LOADS, REFUSED, UNSAFE, Canary, Case
from tests.hostile.corpus import CASES
from tests.hostile.fuzz import CONTROL
from tests.hostile.outcome import loaded, surveyed

SECONDS = 2.0
UNPICKLE = """
import pickle, sys
for name in sys.argv[1:]:
    with open(name, "rb") as file:
        try:
            while True:
                pickle.load(file)
        except BaseException:
            pass
"""


def label(case: Case) -> str:
    return f"{case.name} [{case.advisory}]" if case.advisory else case.name


def cases(*expected: str) -> list[object]:
    return [
        pytest.param(case, id=label(case)) for case in CASES.values() if case.expected in expected
    ]


@pytest.mark.parametrize("case", cases(UNSAFE, REFUSED, LOADS))
def test_it_is_judged_rightly_and_runs_nothing(case: Case, tmp_path: Path) -> None:
    canary = Canary(tmp_path / "canary")
    path = case.build(tmp_path, canary)
    start = time.thread_time()
    outcome = surveyed(path)
    assert time.thread_time() - start < SECONDS
    # A survey knows no more than the file says: loading refuses what it lets pass.
    if outcome.result == LOADS or case.expected == UNSAFE:
        outcome = loaded(path)
    assert not canary.path.exists()
    assert outcome.result == case.expected, outcome.messages
    assert not any(map(CONTROL.search, outcome.messages)), outcome.messages


def test_the_canaries_sing_where_their_files_are_unpickled(tmp_path: Path) -> None:
    live = {case.name: case for case in CASES.values() if case.live}
    canaries = {}
    for name, case in live.items():
        (tmp_path / name).mkdir()
        canaries[name] = Canary(tmp_path / name / "canary")
        case.build(tmp_path / name, canaries[name])
    command = [sys.executable, "-c", UNPICKLE, *map(str, tmp_path.glob("*/*.*"))]
    done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr
    assert len(live) > 40
    assert [name for name in live if not canaries[name].path.exists()] == []
