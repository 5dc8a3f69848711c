"""Work on a stranger's file in another process, bounded in memory and time."""

import errno
import faulthandler
import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from multiprocessing.context import ForkProcess, SpawnProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import torch
from safetensors import SafetensorError

from backaudit.core.errors import CheckpointError
from backaudit.core.printable import printable
from backaudit.files.opened import GIB
from backaudit.loading.weights.handover import Handed, found, leave

Argument = TypeVar("Argument")
Process = ForkProcess | SpawnProcess

# A copy of this process has torch imported already; a new one needs seconds for that.
FORKS = sys.platform == "linux"
LONGEST_PROBLEM = 2000
PROBLEM = "problem"
UNUSABLE = (SafetensorError, ValueError, KeyError, TypeError, OSError)


@dataclass(frozen=True)
class Task:
    """What another process does, in the words of its refusals.

    Args:
        goal: of the process: "to read".
        short: what to think and to do if it needs too much memory.
    """

    goal: str
    short: str


@dataclass(frozen=True)
class Bounds:
    """How much another process may use.

    Args:
        memory: in bytes, beyond what this process uses.
        seconds: on the clock, and of processor time.
        task: what it does.
    """

    memory: int
    seconds: float
    task: Task


READING = Task("to read", "too much for its size: raise --max-gib if you trust it")


def isolated(
    function: Callable[[Argument], Handed],
    argument: Argument,
    *,
    memory: int,
    seconds: float,
    task: Task = READING,
) -> Handed:
    """Call a function in a process of its own, which cannot crash, fill or stop this one.

    On Linux nothing is written to disk; elsewhere the tensors pass through a private temporary
    folder, and memory is bounded only where the system bounds it.

    Args:
        function: at the top level of a module.
        argument: for it.
        memory: in bytes, that it may use beyond what this process uses.
        seconds: on the clock, and of processor time.
        task: for the text of errors.

    Returns:
        What the function returned, its tensors in the same order.

    Raises:
        CheckpointError: that the function raised, or that says how its process ended.
    """
    bounds = Bounds(memory, seconds, task)
    with _place() as place:
        process = _process(_answer, (function, argument, place, bounds))
        try:
            _start(process)
            process.join(seconds)
            _check(process.exitcode, bounds)
        finally:
            _end(process)
        return _taken(place)


@contextmanager
def _place() -> Iterator[str]:
    """Where the other process leaves its answer: in memory if both can see it there."""
    if FORKS:
        descriptor = os.memfd_create("backaudit")
        try:
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
    else:
        with TemporaryDirectory(prefix="backaudit-") as folder:
            yield str(Path(folder) / "answer")


def _process(target: Callable[..., None], args: tuple[object, ...]) -> Process:
    if FORKS:
        return multiprocessing.get_context("fork").Process(target=target, args=args, daemon=True)
    return multiprocessing.get_context("spawn").Process(target=target, args=args, daemon=True)


def _start(process: Process) -> None:
    with warnings.catch_warnings():
        # Python 3.12 warns that a lock which another thread holds stays locked in the copy. The
        # threads here are torch's, which the copy is told not to use, and one that takes a digest.
        warnings.filterwarnings("ignore", ".*multi-threaded", DeprecationWarning)
        process.start()


def _end(process: Process) -> None:
    if process.pid is not None:
        process.kill()
        process.join()
    process.close()


def _check(code: int | None, bounds: Bounds) -> None:
    if code is None or code == -getattr(signal, "SIGXCPU", 0):
        raise CheckpointError(
            f"takes more than {bounds.seconds:.0f} s {bounds.task.goal}: it is damaged or hostile"
        )
    if code == -getattr(signal, "SIGKILL", 0):
        raise CheckpointError(f"{_needs_more(bounds)}, or its reader was stopped (signal {-code})")
    if code < 0:
        raise CheckpointError(
            f"cannot be read: reading it crashed the reader (signal {-code}); it is damaged or "
            "hostile"
        )
    if code > 0:
        raise CheckpointError(f"cannot be read: its reader ended without an answer (code {code})")


def _taken(place: str) -> Handed:
    try:
        handed = found(place)
        if not FORKS:
            # The file is removed, which some systems refuse while it is mapped.
            handed = Handed({name: t.clone() for name, t in handed.tensors.items()}, handed.value)
        problem = handed.value.get(PROBLEM) if isinstance(handed.value, dict) else None
    except UNUSABLE as error:
        raise CheckpointError("cannot be read: its reader left no usable answer") from error
    if problem is not None:
        raise CheckpointError(printable(problem, limit=LONGEST_PROBLEM))
    return handed


def _answer(
    function: Callable[[Argument], Handed],
    argument: Argument,
    place: str,
    bounds: Bounds,
) -> None:
    """What the other process does."""
    _mute()
    torch.set_num_threads(1)
    _bound(bounds.memory, bounds.seconds)
    try:
        leave(function(argument), place)
    except CheckpointError as error:
        problem = str(error)
    except Exception as error:  # noqa: BLE001 - damaged or hostile bytes make libraries raise anything
        short = isinstance(error, MemoryError) or _is_short_of_memory(error)
        brief = printable(f"{type(error).__name__}: {error}", limit=200)
        problem = _needs_more(bounds) if short else f"cannot be read ({brief})"
    else:
        return
    leave(Handed({}, {PROBLEM: problem}), place)


def _mute() -> None:
    """Say nothing, whatever a library or a crash would print, and die of Ctrl-C without a word."""
    faulthandler.disable()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    nowhere = open(os.devnull, "r+")  # noqa: PTH123, SIM115 - stays open as long as the process
    sys.stdin = sys.stdout = sys.stderr = nowhere
    for stream in (0, 1, 2):
        os.dup2(nowhere.fileno(), stream)


def _bound(memory: int, seconds: float) -> None:
    if sys.platform != "linux":
        return
    import resource

    pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    bounds = {
        resource.RLIMIT_AS: pages * resource.getpagesize() + memory,
        resource.RLIMIT_CPU: ceil(seconds),
        resource.RLIMIT_FSIZE: memory,
        resource.RLIMIT_CORE: 0,
    }
    for kind, bound in bounds.items():
        _, most = resource.getrlimit(kind)
        bound = bound if most == resource.RLIM_INFINITY else min(bound, most)
        resource.setrlimit(kind, (bound, bound))


def _is_short_of_memory(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOMEM, errno.EFBIG)
    return isinstance(error, RuntimeError) and "allocate memory" in str(error)


def _needs_more(bounds: Bounds) -> str:
    return (
        f"needs more than {bounds.memory / GIB:.3g} GiB of memory {bounds.task.goal}, "
        f"{bounds.task.short}"
    )
