"""One fuzzing step: change a file, survey it, say whether anything went wrong."""

import re
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from tests.hostile.case import Canary
from tests.hostile.corpus import CASES
from tests.hostile.guard import Guard
from tests.hostile.mutations import mutated
from tests.hostile.outcome import Outcome, surveyed

SECONDS = 2.0
LARGEST_SEED = 20_000
# torch numbers the storages of these by their addresses, which differ each time.
CHANGING = ("honest-state-dict-legacy", "honest-whole-module-legacy")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
MARKS = {
    "zip": lambda data, name: data[:2] == b"PK",
    "pickle": lambda data, name: name.endswith((".pkl", ".bin")),
    "legacy": lambda data, name: b"\x6c\xfc\x9c\x46\xf9" in data[:64],
    "safetensors": lambda data, name: name.endswith(".safetensors"),
    "onnx": lambda data, name: name.endswith(".onnx"),
    "torchscript": lambda data, name: b"/code/" in data,
    "export": lambda data, name: b"models/model.json" in data,
    "survey": lambda data, name: True,
}


@dataclass
class Tally:
    """What a run has seen.

    Args:
        inputs: how many files were surveyed.
        results: result -> how many.
        messages: each distinct message, its numbers left out.
        failures: what went wrong, the number of the input -> description.
        slowest: seconds of processor time.
    """

    inputs: int = 0
    results: dict[str, int] = field(default_factory=dict)
    messages: set[str] = field(default_factory=set)
    failures: dict[int, str] = field(default_factory=dict)
    slowest: float = 0.0

    def add(self, outcome: Outcome, seconds: float) -> bool:
        """Count an outcome; tells whether it is new."""
        self.results[outcome.result] = self.results.get(outcome.result, 0) + 1
        self.slowest = max(self.slowest, seconds)
        shapes = {re.sub(r"\d+|'[^']*'|\"[^\"]*\"", "#", text)[:120] for text in outcome.messages}
        new = shapes - self.messages
        self.messages |= new
        return bool(new)


def seeds(reader: str = "survey") -> list[bytes]:
    """Small files of the corpus that a reader would get, written in the order of their names."""
    return [data for name, data in _files() if MARKS[reader](data, name)]


@cache
def _files() -> list[tuple[str, bytes]]:
    found = []
    with TemporaryDirectory() as name:
        for case in CASES.values():
            folder = Path(name) / case.name
            folder.mkdir()
            path = case.build(folder, Canary(Path("/nowhere/canary")))
            small = path.is_file() and path.stat().st_size <= LARGEST_SEED
            if small and case.name not in CHANGING:
                found.append((path.name, path.read_bytes()))
    return found


class Fuzzer:
    """Surveys files in one folder, watched.

    Args:
        folder: gets the file of each step.
        reader: whose files are the seeds.
        seed: of the changes; step n is the same in every run of the same corpus.
    """

    def __init__(self, folder: Path, reader: str, seed: int) -> None:
        self.path = folder / "input.pt"
        self.corpus = seeds(reader)
        self.random = Random(seed)  # noqa: S311
        self.guard = Guard()
        self.tally = Tally()
        for data in self.corpus:
            self.check(data)
        self.tally = Tally()

    def step(self) -> None:
        """Change one file of the corpus and survey it; keep it if its outcome is new."""
        data = mutated(self.random.choice(self.corpus), self.random, self.corpus)
        if self.check(data) and len(data) <= LARGEST_SEED:
            self.corpus.append(data)

    def check(self, data: bytes) -> bool:
        """Survey a file; tells whether the outcome is new."""
        self.path.write_bytes(data)
        self.tally.inputs += 1
        start = time.thread_time()
        with self.guard.watching(self.path.parent) as events:
            try:
                outcome = surveyed(self.path)
            except BaseException as error:  # noqa: BLE001
                outcome = Outcome("escaped", (f"{type(error).__name__}: {error}"[:300],))
        seconds = time.thread_time() - start
        trouble = self._trouble(outcome, seconds, events)
        if trouble:
            self.tally.failures[self.tally.inputs] = trouble
        return self.tally.add(outcome, seconds)

    def _trouble(self, outcome: Outcome, seconds: float, events: list[str]) -> str:
        if outcome.result == "escaped":
            return outcome.messages[0]
        if events:
            return f"did what no reader needs: {events[:3]}"
        if any(map(CONTROL.search, outcome.messages)):
            return f"raw control characters in a message: {outcome.messages!r}"[:300]
        return f"took {seconds:.1f} s" if seconds > SECONDS else ""
