from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from backaudit.core.clean_set import CleanSet
from backaudit.core.errors import NotApplicableError
from backaudit.core.suspect import Suspect
from backaudit.detectors import IBDPSC
from tests.conftest import ToyWorld
from tests.toy import clean_set, evidence, suspect_of, toy_network

# The toy networks have few layers and large margins: at the paper's scale nothing breaks.
BREAKING = IBDPSC(scale=3.0, error=0.2, depths=2)


def calibration(suspect: Suspect, clean: CleanSet, detector: IBDPSC = BREAKING) -> dict[str, Any]:
    found: dict[str, Any] = evidence(detector, suspect, clean).measurements["calibration"]
    return found


def multiplied(suspect: Suspect, deepest: int, scale: float) -> nn.Module:
    """A copy whose last layers have gamma and beta times ``scale``, as the paper writes it."""
    copied = deepcopy(suspect.network)
    layers = [module for module in copied.modules() if isinstance(module, nn.BatchNorm2d)]
    with torch.no_grad():
        for layer in layers[len(layers) - deepest :]:
            layer.weight *= scale
            layer.bias *= scale
    return copied


def published_error(suspect: Suspect, clean: CleanSet, k: int, scale: float) -> float:
    logits = multiplied(suspect, k, scale)(clean.images / 255)
    return float((logits.argmax(1) != clean.labels).double().mean())


def published_scores(suspect: Suspect, images: Tensor, depths: range, scale: float) -> Tensor:
    inputs = images / 255
    own = suspect.network(inputs).argmax(1)
    probabilities = [multiplied(suspect, k, scale)(inputs).softmax(1) for k in depths]
    return torch.stack(probabilities).mean(0)[torch.arange(len(images)), own]


def folded(suspect: Suspect) -> Suspect:
    """The same network with each batch norm folded into the convolution before it."""
    network = deepcopy(suspect.network)
    assert isinstance(network, nn.Sequential)
    for index in (0, 3, 6):
        conv, norm = network[index], network[index + 1]
        network[index] = fuse_conv_bn_eval(conv, norm)  # type: ignore[arg-type]
        network[index + 1] = nn.Identity()
    return replace(suspect, network=network.requires_grad_(False))


@pytest.mark.parametrize(
    ("seed", "scale", "error", "k"),
    [
        *[(1, 2.0, 0.05, 2), (1, 2.0, 0.6, 3), (1, 3.0, 0.5, 1)],
        *[(4, 2.0, 0.5, 2), (4, 2.0, 35 / 60, 3), (4, 1.5, 0.01, 3)],
    ],
)
def test_the_depth_found_is_the_first_that_breaks_clean_accuracy(
    seed: int, scale: float, error: float, k: int
) -> None:
    suspect = suspect_of(toy_network(seed=seed))
    images = clean_set()
    clean = replace(images, labels=suspect.logits(images.images).argmax(1))
    errors = [published_error(suspect, clean.split()[0], depth, scale) for depth in (1, 2, 3)]
    assert max(errors[: k - 1], default=0) <= error < errors[k - 1]
    found = calibration(suspect, clean, IBDPSC(scale=scale, error=error, depths=2))
    assert (found["k"], found["scale"], found["breaks"]) == (k, scale, True)
    assert found["error_at_k"] == pytest.approx(errors[k - 1])
    assert found["depths"] == [k, k + 1][: 4 - k]
    held_out = clean.split()[1].images
    scores = published_scores(suspect, held_out, range(k, min(k + 2, 4)), scale)
    assert found["threshold_at_5_percent"] == pytest.approx(float(scores.sort().values[57]))


def test_no_depth_beyond_the_number_of_layers_and_none_twice(toy_world: ToyWorld) -> None:
    found = calibration(toy_world.backdoored, toy_world.clean, replace(BREAKING, depths=9))
    assert found["depths"] == list(range(found["k"], 4))


def test_held_out_images_are_flagged_above_the_threshold(toy_world: ToyWorld) -> None:
    suspect, clean = toy_world.backdoored, toy_world.clean
    reading = evidence(replace(BREAKING, threshold=0.5), suspect, clean)
    found = reading.measurements["calibration"]
    depths = range(found["depths"][0], found["depths"][-1] + 1)
    scores = published_scores(suspect, clean.split()[1].images, depths, 3.0)
    rate = float((scores > 0.5).double().mean())
    assert 0 < rate < 1
    assert reading.score == found["false_flag_rate"] == pytest.approx(rate)
    low, high = found["false_flag_interval"]
    assert low < rate < high
    assert found["clean_images"] == len(scores) == 60
    assert found["threshold_at_5_percent"] == pytest.approx(float(scores.sort().values[57]))
    assert found["threshold_at_1_percent"] is None


def test_it_is_no_evidence_about_the_network(toy_world: ToyWorld) -> None:
    reading = evidence(replace(BREAKING, threshold=-1.0), toy_world.backdoored, toy_world.clean)
    assert reading.score == 1
    assert (reading.fires, reading.threshold) == (False, None)


def test_where_nothing_breaks_it_says_so(toy_world: ToyWorld) -> None:
    stubborn = IBDPSC(larger_scales=(2.0,), error=0.99)
    reading = evidence(stubborn, toy_world.benign, toy_world.clean)
    found, notes = reading.measurements["calibration"], reading.measurements["notes"]
    assert (found["breaks"], found["k"], found["scale"]) == (False, 3, 2.0)
    assert "No depth up to all 3 layers and no scale up to 2" in notes[0]


def test_where_only_a_larger_scale_breaks_it_says_so(toy_world: ToyWorld) -> None:
    patient = IBDPSC(scale=1.001, larger_scales=(1.002, 3.0), error=0.1)
    reading = evidence(patient, toy_world.backdoored, toy_world.clean)
    assert reading.measurements["calibration"]["scale"] == 3.0
    assert "At scale 1.001 no depth breaks clean accuracy" in reading.measurements["notes"][0]


def test_images_too_few_for_one_percent_are_noted(toy_world: ToyWorld) -> None:
    few = evidence(BREAKING, toy_world.backdoored, toy_world.clean)
    assert "60 held-out clean images are too few" in few.measurements["notes"][-1]
    enough = evidence(BREAKING, toy_world.backdoored, clean_set(per_class=34))
    assert enough.measurements["notes"] == []
    assert enough.measurements["calibration"]["threshold_at_1_percent"] is not None


def test_a_folded_network_is_calibrated_as_if_it_were_not(toy_world: ToyWorld) -> None:
    suspect, clean = toy_world.backdoored, toy_world.clean
    whole, fused = calibration(suspect, clean), calibration(folded(suspect), clean)
    assert (whole.pop("layer_kind"), fused.pop("layer_kind")) == ("normalisation", "convolution")
    assert (whole.pop("layers"), fused.pop("layers")) == (["7", "4", "1"], ["6", "3", "0"])
    for name, value in whole.items():
        assert fused[name] == pytest.approx(value, abs=1e-5), name


def test_layers_are_amplified_in_the_order_they_run() -> None:
    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.second, self.first = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
            self.head = nn.Sequential(nn.Flatten(), nn.Linear(3 * 12 * 12, 6))

        def forward(self, images: Tensor) -> Tensor:
            logits: Tensor = self.head(self.second(self.first(images).relu()))
            return logits

    found = calibration(suspect_of(Backwards()), clean_set())
    assert found["layers"] == ["second", "first"]


def test_other_normalisation_layers_will_do() -> None:
    suspect = suspect_of(toy_network(norm=lambda width: nn.GroupNorm(4, width)))
    found = calibration(suspect, clean_set())
    assert (found["layer_kind"], len(found["layers"])) == ("normalisation", 3)


def test_nothing_to_amplify_does_not_apply() -> None:
    bare = suspect_of(toy_network(norm=lambda _: nn.Identity(), bias=False))
    with pytest.raises(NotApplicableError, match="no convolution with a bias"):
        evidence(BREAKING, bare, clean_set())
