from pathlib import Path

import pytest
import torch

from backaudit.cli.device import choose_device
from backaudit.core.errors import SettingError


def cuda(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


def test_auto_takes_the_first_cuda_device(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda(monkeypatch, 2)
    assert choose_device("auto") == (torch.device("cuda:0"), "")


@pytest.mark.parametrize("present", [True, False])
def test_auto_falls_back_to_the_cpu_and_hides_no_failure(
    monkeypatch: pytest.MonkeyPatch, present: bool
) -> None:
    cuda(monkeypatch, 0)
    monkeypatch.setattr(Path, "exists", lambda path: present)
    device, note = choose_device("auto")
    assert device == torch.device("cpu")
    assert ("NVIDIA device that torch cannot use" in note) is present


def test_a_named_device_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda(monkeypatch, 2)
    assert choose_device("cuda:1")[0] == torch.device("cuda:1")
    assert choose_device("cuda")[0] == torch.device("cuda")
    assert choose_device("cpu")[0] == torch.device("cpu")


@pytest.mark.parametrize(
    ("name", "count", "message"),
    [
        ("cuda", 0, "no CUDA device"),
        ("cuda:2", 2, "2 CUDA devices"),
        ("mps", 0, "MPS"),
        ("tpu", 0, "use auto, cpu, cuda, cuda:N or mps"),
        ("cpu:1", 0, "use auto"),
        ("cuda:-1", 1, "use auto"),
        ("", 0, "use auto"),
    ],
)
def test_a_device_that_cannot_be_used_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, count: int, message: str
) -> None:
    cuda(monkeypatch, count)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(SettingError, match=message):
        choose_device(name)
