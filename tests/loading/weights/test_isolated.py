import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Timer

import pytest
import torch
from torch import Tensor

from backaudit.core.errors import CheckpointError
from backaudit.loading.weights import isolated as isolation
from backaudit.loading.weights.handover import TYPES, Handed, leave
from backaudit.loading.weights.isolated import isolated

MIB = 2**20
TENSORS: dict[str, Tensor] = {
    "zeta": torch.arange(6.0).reshape(2, 3).t(),
    "__metadata__": torch.tensor([True, False, True]),
    "empty": torch.empty(0, 3),
    "scalar": torch.tensor(7),
    "\x1b\ud800": torch.ones(3, dtype=torch.bfloat16),
}

linux = pytest.mark.skipif(sys.platform != "linux", reason="bounds and forks need Linux")


def run(function: Callable[[object], Handed], argument: object = None) -> Handed:
    return isolated(function, argument, memory=256 * MIB, seconds=60)


def handing(argument: object) -> Handed:
    return Handed(TENSORS, argument)


def refusing(argument: object) -> Handed:
    raise CheckpointError(f"is refused because of {argument}")


def failing(_argument: object) -> Handed:
    raise ZeroDivisionError("no\x1b one")


def crashing(number: int) -> Handed:
    os.kill(os.getpid(), number)
    time.sleep(60)
    return Handed()


def quitting(_argument: object) -> Handed:
    os._exit(3)


def hanging(_argument: object) -> Handed:
    time.sleep(60)
    return Handed()


def computing(_argument: object) -> Handed:
    while True:
        pass


def allocating(how: str) -> Handed:
    if how == "torch":
        return Handed({"big": torch.ones(512 * MIB // 4)})
    return Handed({}, len(bytearray(512 * MIB)))


def chattering(_argument: object) -> Handed:
    sys.stdout.write("standard output")
    os.write(2, b"standard error")
    return Handed()


def counting_threads(_argument: object) -> Handed:
    return Handed({}, torch.get_num_threads())


def children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text("ascii").split())


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def same(handed: Handed) -> bool:
    return list(handed.tensors) == list(TENSORS) and all(
        tensor.dtype == TENSORS[name].dtype and torch.equal(tensor, TENSORS[name])
        for name, tensor in handed.tensors.items()
    )


def test_tensors_keep_their_names_order_types_and_numbers() -> None:
    handed = run(handing, {"a": [1, None, "é"]})
    assert same(handed)
    assert handed.value == {"a": [1, None, "é"]}


def test_every_type_arrives_whole(tmp_path: Path) -> None:
    tensors = {str(dtype): torch.tensor([0, 1, 1]).to(dtype) for dtype in TYPES}
    path = str(tmp_path / "answer")
    leave(Handed(tensors), path)
    arrived = isolation.found(path).tensors
    assert all(torch.equal(arrived[name], tensor) for name, tensor in tensors.items())
    assert all(tensor.data_ptr() % tensor.element_size() == 0 for tensor in arrived.values())


def test_what_arrives_can_be_changed() -> None:
    tensor = run(handing).tensors["zeta"]
    tensor.add_(1)
    assert torch.equal(tensor, TENSORS["zeta"] + 1)


def test_systems_without_fork_leave_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolation, "FORKS", False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert same(run(handing))
    assert list(tmp_path.iterdir()) == []


def test_a_refusal_is_passed_on_word_for_word() -> None:
    with pytest.raises(CheckpointError, match=r"^is refused because of 'a' and “b”$"):
        run(refusing, "'a' and “b”")


def test_any_other_error_is_named_and_printable() -> None:
    with pytest.raises(CheckpointError, match=r"^cannot be read \(ZeroDivisionError: no.x1b one"):
        run(failing)


@linux
@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT])
def test_a_crash_is_reported(number: int, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CheckpointError, match=rf"crashed the reader \(signal {number:d}\)"):
        run(crashing, number)
    assert capfd.readouterr() == ("", "")


def test_an_end_without_an_answer_is_reported() -> None:
    with pytest.raises(CheckpointError, match=r"ended without an answer \(code 3\)"):
        run(quitting)


def test_an_answer_that_is_no_answer_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "leave", lambda _handed, _place: None)
    with pytest.raises(CheckpointError, match="left no usable answer"):
        run(handing)


@linux
@pytest.mark.parametrize("how", ["torch", "python"])
def test_memory_is_bounded(how: str) -> None:
    with pytest.raises(CheckpointError, match=r"needs more than 0.25 GiB .*raise --max-gib"):
        run(allocating, how)


@linux
def test_what_is_handed_over_is_bounded() -> None:
    with pytest.raises(CheckpointError, match="needs more than"):
        isolated(repeating, 2, memory=64 * MIB, seconds=60)
    assert len(isolated(repeating, 1, memory=64 * MIB, seconds=60).tensors) == 1


def repeating(times: int) -> Handed:
    tensor = torch.ones(12 * MIB // 4)
    return Handed({str(index): tensor for index in range(5 * times // 2 * 2 - 3)})


@linux
@pytest.mark.parametrize("work", [hanging, computing])
def test_time_is_bounded_and_nothing_goes_on(work: Callable[[object], Handed]) -> None:
    start, before = time.monotonic(), children()
    with pytest.raises(CheckpointError, match="takes more than 0 s to read"):
        isolated(work, None, memory=64 * MIB, seconds=0.3)
    assert time.monotonic() - start < 5
    assert children() == before


@linux
def test_an_interrupt_ends_the_other_process_too() -> None:
    before = children()
    timer = Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        run(hanging)
    timer.join()
    assert children() == before


@linux
def test_descriptors_and_processes_do_not_accumulate() -> None:
    run(handing)
    before = descriptors(), children()
    for function in (handing, refusing, quitting, handing):
        try:
            run(function)
        except CheckpointError:
            continue
    assert (descriptors(), children()) == before
    assert multiprocessing.active_children() == []


def test_the_other_process_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    run(chattering)
    assert capfd.readouterr() == ("", "")


def test_one_thread_and_the_caller_keeps_its_own() -> None:
    before = torch.get_num_threads()
    assert run(counting_threads).value == 1
    assert torch.get_num_threads() == before
