import pytest
import torch

from backaudit.nets.precision import fast_autocast, has_fast_bf16

CPU = torch.device("cpu")


@pytest.mark.parametrize("supported", [False, True])
def test_bfloat16_is_used_where_wanted_and_fast(
    monkeypatch: pytest.MonkeyPatch, supported: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: supported)
    assert has_fast_bf16(CPU) == supported
    matrix = torch.rand(2, 2)
    for wanted in (False, True):
        with fast_autocast(CPU, wanted=wanted):
            product = matrix @ matrix
        expected = torch.bfloat16 if wanted and supported else torch.float32
        assert product.dtype == expected


@pytest.mark.parametrize("supported", [False, True])
def test_emulated_bfloat16_is_not_fast(monkeypatch: pytest.MonkeyPatch, supported: bool) -> None:
    asked = []

    def answer(including_emulation: bool = True) -> bool:
        asked.append(including_emulation)
        return supported

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", answer)
    assert has_fast_bf16(torch.device("cuda")) == supported
    assert asked == [False]


def test_other_devices_compute_in_float32() -> None:
    assert not has_fast_bf16(torch.device("mps"))
