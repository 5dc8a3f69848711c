import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from backaudit.core.errors import NotApplicableError
from backaudit.screeners import IBDPSC
from backaudit.screeners.ibd_psc.search import DepthSearch, Found
from tests.conftest import ToyWorld
from tests.toy import clean_set, suspect_of, toy_network

BREAKING = IBDPSC(scale=3.0, error=0.2, depths=2)


def fit_of(network: nn.Module, settings: IBDPSC = BREAKING) -> dict[str, Any]:
    return dict(settings.fit(suspect_of(network), clean_set(per_class=2)))


class Flat(nn.Module):
    """Normalises the flattened images, and in front of that the images."""

    def __init__(self, *norms: nn.Module) -> None:
        super().__init__()
        self.norms = nn.Sequential(*norms)
        self.head = nn.Linear(3 * 12 * 12, 6)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.norms(images))
        return logits


def test_what_was_learned_survives_json(toy_world: ToyWorld) -> None:
    suspect, clean = toy_world.backdoored, toy_world.clean
    fit = BREAKING.fit(suspect, clean)
    read = json.loads(json.dumps(fit))
    assert read == fit
    images = clean.images / 255
    first, second = (BREAKING.scorer(suspect.network, each, images[:1]) for each in (fit, read))
    assert torch.equal(first(images).scores, second(images).scores)


@pytest.mark.parametrize(
    "norm",
    [
        nn.Sequential(nn.Flatten(), nn.BatchNorm1d(432)),
        nn.Sequential(nn.BatchNorm2d(3), nn.Flatten()),
        nn.Sequential(nn.Unflatten(1, (3, 1)), nn.BatchNorm3d(3), nn.Flatten()),
        nn.Sequential(nn.SyncBatchNorm(3), nn.Flatten()),
    ],
)
def test_batch_norm_of_any_kind_is_amplified(norm: nn.Module) -> None:
    fit = fit_of(Flat(norm))
    assert (len(fit["layers"]), fit["layer_kind"], fit["experimental"]) == (
        1,
        "normalisation",
        False,
    )
    assert fit["notes"] == [] or "No depth" in fit["notes"][0]


@pytest.mark.parametrize(
    "norm", [lambda width: nn.GroupNorm(4, width), lambda width: nn.GroupNorm(1, width)]
)
def test_other_normalisation_is_experimental(norm: Callable[[int], nn.Module]) -> None:
    fit = fit_of(toy_network(norm=norm))
    assert (len(fit["layers"]), fit["layer_kind"], fit["experimental"]) == (
        3,
        "normalisation",
        True,
    )
    assert "no batch norm" in fit["notes"][-1]


def test_beside_batch_norm_other_normalisation_is_left_alone() -> None:
    network = Flat(nn.BatchNorm2d(3), nn.Flatten(), nn.LayerNorm(432))
    assert fit_of(network)["layers"] == ["norms.0"]


def test_folded_convolutions_are_noted() -> None:
    fit = fit_of(toy_network(norm=lambda _: nn.Identity(), bias=True))
    assert (fit["layers"], fit["layer_kind"]) == (["6", "3", "0"], "convolution")
    assert "outside the paper if there was none" in fit["notes"][-1]


def test_the_collapse_class_is_what_the_amplified_network_predicts_most(
    toy_world: ToyWorld,
) -> None:
    suspect, clean = toy_world.backdoored, toy_world.clean
    fit = BREAKING.fit(suspect, clean)
    at_k = replace(BREAKING, depths=1)
    scorer = at_k.scorer(suspect.network, {**fit, "depths": [fit["k"]]}, clean.images[:1] / 255)
    amplified = scorer.amplified(clean.images / 255)[1].argmax(1)
    counts = torch.bincount(amplified, minlength=6)
    assert fit["collapse_class"] == int(counts.argmax())
    assert fit["collapse_share"] == pytest.approx(int(counts.max()) / len(clean))
    wrong = float((amplified != clean.labels).double().mean())
    assert fit["error_at_k"] == fit["errors"][-1] == pytest.approx(wrong)
    assert len(fit["errors"]) == fit["k"]
    assert all(error <= BREAKING.error for error in fit["errors"][:-1])


def test_without_labels_an_error_is_another_prediction_than_before(toy_world: ToyWorld) -> None:
    suspect = suspect_of(toy_network(seed=4))
    mislabelled = replace(toy_world.clean, labels=torch.zeros_like(toy_world.clean.labels))
    predicted = suspect.logits(mislabelled.images).argmax(1)
    relabelled = replace(mislabelled, labels=predicted)
    patient = IBDPSC(scale=2.0, error=0.5, depths=2)
    fit = patient.fit(suspect, replace(mislabelled, labelled=False))
    assert fit == patient.fit(suspect, relabelled)
    assert fit["errors"] != patient.fit(suspect, mislabelled)["errors"]


def test_the_search_stops_at_the_first_scale_that_breaks(
    toy_world: ToyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    scales: list[float] = []
    search = DepthSearch._at

    def recorded(self: DepthSearch, scale: float) -> Found:
        scales.append(scale)
        return search(self, scale)

    monkeypatch.setattr(DepthSearch, "_at", recorded)
    patient = IBDPSC(scale=1.001, larger_scales=(1.002, 3.0, 4.0), error=0.1)
    fit = patient.fit(toy_world.backdoored, toy_world.clean)
    assert scales == [1.001, 1.002, 3.0]
    assert (fit["scale"], fit["breaks"]) == (3.0, True)
    assert "At scale 1.001 no depth breaks" in fit["notes"][0]


def test_without_images_or_classes_enough_it_does_not_apply() -> None:
    suspect = suspect_of(toy_network())
    with pytest.raises(NotApplicableError, match="no clean image"):
        BREAKING.fit(suspect, clean_set().take(torch.tensor([], dtype=torch.long)))
    two = suspect_of(toy_network(classes=2), classes=2)
    with pytest.raises(NotApplicableError, match="with 2 classes the margin"):
        IBDPSC(score="margin", threshold=None).fit(two, clean_set())


def test_a_calibration_of_another_network_is_refused(toy_world: ToyWorld) -> None:
    fit = BREAKING.fit(toy_world.benign, toy_world.clean)
    with pytest.raises(NotApplicableError, match="names a layer '7'"):
        BREAKING.scorer(Flat(nn.Flatten()), fit, toy_world.clean.images[:1] / 255)


def test_settings_that_contradict_one_another_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1, not 0"):
        IBDPSC(depths=0)
    with pytest.raises(ValueError, match="set threshold=none"):
        IBDPSC(score="margin")
