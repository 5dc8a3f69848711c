import pytest
from torch import nn

from backaudit.loading.recognition.parts import follow
from tests.loading.samples import parts_of


def layers(dropped: float, *, inplace: bool) -> nn.Sequential:
    return nn.Sequential(nn.ReLU(inplace), nn.Dropout(dropped, inplace)).eval()


@pytest.mark.parametrize("inplace", [False, True])
def test_whether_a_layer_works_in_place_is_no_difference(inplace: bool) -> None:
    network = layers(0.2, inplace=inplace)
    before = list(network)
    assert follow(network, parts_of(layers(0.2, inplace=not inplace)), {}) == ""
    assert list(network) == before


def test_layers_that_are_exchanged_stay_in_eval_mode() -> None:
    network = layers(0.2, inplace=True)
    assert "Settings of 1 were taken" in follow(network, parts_of(layers(0.5, inplace=False)), {})
    assert repr(network[1]) == "Dropout(p=0.5, inplace=True)"
    assert not network[1].training
