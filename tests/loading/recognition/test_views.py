import pytest
import torch
from torch import Tensor

from backaudit.loading.recognition.views import View, views

NETWORK = {"conv.weight": torch.ones(4, 3, 3, 3), "fc.weight": torch.ones(2, 4)}


def prefixed(prefix: str) -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in NETWORK.items()}


def last(state: dict[str, Tensor]) -> View:
    return list(views(state))[-1]


def test_plain_names_are_left_as_they_are() -> None:
    assert [dict(view.state) for view in views(NETWORK)] == [NETWORK]


@pytest.mark.parametrize(
    ("mean", "std", "prefix"),
    [
        ("0.mean", "0.std", "1."),
        ("normalize.mean", "normalize.std", "model."),
        ("normalization_layer.mean", "normalization_layer.std", "1."),
        ("mean", "std", ""),
        ("mu", "sigma", "net.inner."),
    ],
)
@pytest.mark.parametrize("shape", [(3,), (3, 1, 1), (1, 3, 1, 1)])
def test_normalisation_is_taken_out(
    mean: str, std: str, prefix: str, shape: tuple[int, ...]
) -> None:
    buffers = {mean: torch.full(shape, 0.5), std: torch.full(shape, 0.25)}
    view = last(buffers | prefixed(prefix))
    assert dict(view.state).keys() == NETWORK.keys()
    assert view.stated == {"mean": [0.5] * 3, "std": [0.25] * 3}
    assert mean in view.note


def test_numbers_without_data_are_not_read() -> None:
    buffers = {name: torch.ones(3, device="meta") for name in ("0.mean", "0.std")}
    view = last(buffers | prefixed("1."))
    assert dict(view.state).keys() == NETWORK.keys()
    assert view.stated == {}


@pytest.mark.parametrize("mean", [torch.ones(3, 2), torch.ones(64), torch.ones(3).long()])
def test_other_tensors_of_such_names_are_kept(mean: Tensor) -> None:
    state = {"norm.mean": mean, "norm.std": mean, **NETWORK}
    assert dict(last(state).state).keys() == state.keys()


def test_shared_prefixes_come_off_one_after_the_other_and_are_said() -> None:
    seen = list(views(prefixed("outer.inner.")))
    assert [next(iter(view.state)).split(".")[0] for view in seen] == ["outer", "inner", "conv"]
    assert [bool(view.note) for view in seen] == [False, True, True]


def test_the_name_of_an_only_layer_is_no_prefix() -> None:
    state = {"fc.weight": torch.ones(2, 4), "fc.bias": torch.ones(2)}
    assert dict(last(state).state).keys() == state.keys()
