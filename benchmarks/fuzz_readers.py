"""Fuzzes the readers of files: changed files of the hostile corpus, surveyed and watched.

Run from a source checkout::

    python -m benchmarks.fuzz_readers --seconds 3600 --seed 0 --output report.json

Guided by coverage where ``atheris`` is installed (Python 3.11 to 3.13), by new outcomes otherwise.
A failure is any exception but the package's own, any event that no reader of files needs (an
import, a process, a socket, a file opened elsewhere or for writing, an unpickled name), more than
2 s of processor time, more than 1 GiB of memory, or raw control characters in a message. Inputs
that fail are saved beside the report's folder of failures, named by their number.
"""

import argparse
import gc
import json
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import CodeType, FrameType
from typing import Any, NoReturn

try:
    import atheris
except ImportError:
    atheris = None

MEMORY = 2**30
STUCK = 60
REPORTED = 30.0
REPLAYED = 4000
READERS = (*("pickle", "zip", "legacy", "safetensors", "onnx", "torchscript", "export", "survey"),)


def main() -> None:
    """Fuzz for a while and write a report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--inputs", type=int, default=10**12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reader", choices=READERS, default="survey")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--failures", type=Path, default=Path(tempfile.gettempdir()) / "failures")
    parser.add_argument("--unguided", action="store_true")
    chosen = parser.parse_args()
    guided = atheris is not None and not chosen.unguided
    if guided:
        with atheris.instrument_imports(include=["backaudit.files"]):
            import backaudit.files.survey  # noqa: F401
    run = Run(chosen, guided)
    signal.signal(signal.SIGALRM, _stuck)
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (max(mapped, used) + MEMORY,) * 2)
    if guided:
        _guided(run)
    while not run.over():
        run.watched(run.fuzzer.step)
    run.finish()


class Run:
    """A fuzzer at work, and when to stop.

    Args:
        chosen: options.
        guided: whether coverage leads it.
    """

    def __init__(self, chosen: argparse.Namespace, guided: bool) -> None:
        from tests.hostile.fuzz import Fuzzer

        self.chosen, self.guided = chosen, guided
        place = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108
        self.folder = Path(tempfile.mkdtemp(dir=place))
        self.fuzzer = Fuzzer(self.folder, chosen.reader, chosen.seed)
        self.start = self.told = time.monotonic()

    def over(self) -> bool:
        """Whether time or inputs are used up."""
        spent = time.monotonic() - self.start
        return spent > self.chosen.seconds or self.fuzzer.tally.inputs >= self.chosen.inputs

    def watched(self, step: Callable[[], object]) -> None:
        """One step; saves its file if it fails, and says now and then how far the run is."""
        known = len(self.fuzzer.tally.failures)
        signal.alarm(STUCK)
        step()
        signal.alarm(0)
        if len(self.fuzzer.tally.failures) > known:
            self._save()
        if time.monotonic() - self.told > REPORTED:
            self.told = time.monotonic()
            print(json.dumps(self.report()), file=sys.stderr, flush=True)

    def _save(self) -> None:
        tally, folder = self.fuzzer.tally, self.chosen.failures
        folder.mkdir(parents=True, exist_ok=True)
        number = f"{self.chosen.reader}-{self.chosen.seed}-{tally.inputs}"
        (folder / number).write_bytes(self.fuzzer.path.read_bytes())
        (folder / f"{number}.txt").write_text(tally.failures[tally.inputs])

    def report(self) -> dict[str, Any]:
        """What has been seen so far."""
        tally, spent = self.fuzzer.tally, time.monotonic() - self.start
        return {
            "reader": self.chosen.reader,
            "seed": self.chosen.seed,
            "guided": self.guided,
            "seconds": round(spent, 1),
            "inputs": tally.inputs,
            "inputs_per_second": round(tally.inputs / max(spent, 1e-9), 1),
            "results": tally.results,
            "distinct_messages": len(tally.messages),
            "corpus": len(self.fuzzer.corpus),
            "slowest_seconds": round(tally.slowest, 2),
            "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "failures": len(tally.failures),
            "kinds_of_failure": sorted(set(tally.failures.values()))[:20],
        }

    def finish(self) -> NoReturn:
        """Write the report and end the process, as libFuzzer would otherwise do."""
        report = self.report() | {"lines_covered": _lines(self.fuzzer)}
        text = json.dumps(report, indent=1)
        print(text, flush=True)
        if self.chosen.output:
            self.chosen.output.write_text(text + "\n")
        for path in self.folder.iterdir():
            path.unlink()
        self.folder.rmdir()
        os._exit(1 if report["failures"] else 0)


def _guided(run: Run) -> None:
    """Let libFuzzer choose what to change, and the corpus' own mutators how."""
    from tests.hostile.mutations import mutated

    corpus = Path(tempfile.mkdtemp())
    for index, data in enumerate(run.fuzzer.corpus):
        (corpus / f"{index:05}").write_bytes(data)
    donors = run.fuzzer.corpus

    def change(data: bytes, longest: int, seed: int) -> bytes:
        return mutated(data, Random(seed), donors)[:longest]  # noqa: S311

    def check(data: bytes) -> None:
        if run.over():
            for path in corpus.iterdir():
                donors.append(path.read_bytes())
            run.finish()
        run.watched(lambda: run.fuzzer.check(data))

    options = (
        "-max_len=60000",
        "-timeout=100",
        "-rss_limit_mb=0",
        "-len_control=0",
        "-verbosity=0",
    )
    atheris.Setup(
        [sys.argv[0], str(corpus), f"-seed={run.chosen.seed + 1}", *options],
        check,
        custom_mutator=change,
    )
    atheris.Fuzz()


def _stuck(signum: int, frame: FrameType | None) -> NoReturn:
    raise TimeoutError(f"no end after {STUCK} s")


def _lines(fuzzer: Any) -> str:
    """Lines of the readers that the corpus reaches, of how many there are."""
    import backaudit.files

    place = str(Path(backaudit.files.__file__).parent)
    seen: set[tuple[str, int]] = set()

    def line(frame: FrameType, event: str, _: object) -> Any:
        if event == "line":
            seen.add((frame.f_code.co_filename, frame.f_lineno))
        return line

    def call(frame: FrameType, event: str, _: object) -> Any:
        return line if frame.f_code.co_filename.startswith(place) else None

    gc.collect()
    sys.settrace(call)
    for data in fuzzer.corpus[:REPLAYED]:
        fuzzer.check(data)
    sys.settrace(None)
    every = {
        (str(path), number)
        for path in Path(place).rglob("*.py")
        for code in _codes(compile(path.read_text(), str(path), "exec"))
        for _, _, number in code.co_lines()
        if number and code.co_name != "<module>"
    }
    return f"{len(seen & every)} of {len(every)}"


def _codes(code: CodeType) -> list[CodeType]:
    inner = [each for each in code.co_consts if isinstance(each, CodeType)]
    return [code, *(deeper for each in inner for deeper in _codes(each))]


if __name__ == "__main__":
    main()
