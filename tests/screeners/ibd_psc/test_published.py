"""Against a straightforward reference of the published code: copies with other gamma and beta."""

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from backaudit.core.clean_set import CleanSet
from backaudit.core.suspect import Suspect
from backaudit.screeners import IBDPSC
from tests.conftest import ToyWorld
from tests.toy import TARGET, clean_set, suspect_of, toy_network

BREAKING = IBDPSC(scale=3.0, error=0.2, depths=2)


def scaled_copy(network: nn.Module, deepest: int, scale: float) -> nn.Module:
    copied = deepcopy(network)
    layers = [module for module in copied.modules() if isinstance(module, nn.BatchNorm2d)]
    with torch.no_grad():
        for layer in layers[::-1][:deepest]:
            layer.weight.mul_(scale)
            layer.bias.mul_(scale)
    return copied


def published_depth(
    network: nn.Module, clean: CleanSet, tried: range, settings: IBDPSC
) -> int | None:
    for k in tried:
        predicted = scaled_copy(network, k, settings.scale)(clean.images / 255).argmax(1)
        if (predicted != clean.labels).double().mean() > settings.error:
            return k
    return None


def published_scores(network: nn.Module, images: Tensor, depths: list[int], scale: float) -> Tensor:
    own = network(images).argmax(1)
    total = torch.zeros(len(images))
    for depth in depths:
        confidence = scaled_copy(network, depth, scale)(images).softmax(1)
        total += confidence[torch.arange(len(images)), own]
    return total / len(depths)


def fit_and_score(settings: IBDPSC, suspect: Suspect, clean: CleanSet) -> tuple[list[int], Tensor]:
    fit = settings.fit(suspect, clean)
    images = clean.images / 255
    return fit["depths"], settings.scorer(suspect.network, fit, images[:1])(images).scores


@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("scale", [2.0, 3.0])
def test_scores_are_those_of_the_published_code_in_its_indexing(
    toy_world: ToyWorld, scale: float, n: int
) -> None:
    settings = IBDPSC(scale=scale, error=0.05, depths=n, indexing="backdoorbox")
    for suspect in (toy_world.backdoored, suspect_of(toy_network(seed=4))):
        clean = replace(toy_world.clean, labels=suspect.logits(toy_world.clean.images).argmax(1))
        k = published_depth(suspect.network, clean, range(1, 3), settings)
        assert k is not None
        published = [min(i + 1, 3) for i in range(k, k + n)]
        depths, scores = fit_and_score(settings, suspect, clean)
        expected = published_scores(suspect.network, clean.images / 255, published, scale)
        assert depths == published
        assert float(expected.std()) > 0.001
        assert torch.allclose(scores, expected, atol=1e-6)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_scores_are_those_of_the_paper_in_its_indexing(toy_world: ToyWorld, n: int) -> None:
    suspect, clean = toy_world.backdoored, toy_world.clean
    settings = replace(BREAKING, depths=n)
    k = published_depth(suspect.network, clean, range(1, 4), settings)
    assert k is not None
    depths, scores = fit_and_score(settings, suspect, clean)
    assert depths == [depth for depth in range(k, k + n) if depth <= 3]
    expected = published_scores(suspect.network, clean.images / 255, depths, 3.0)
    assert torch.allclose(scores, expected, atol=1e-6)


def test_where_the_published_search_finds_nothing_the_deepest_network_is_used() -> None:
    settings = IBDPSC(error=0.99, larger_scales=(), depths=3, indexing="backdoorbox")
    suspect, clean = suspect_of(toy_network()), clean_set()
    assert published_depth(suspect.network, clean, range(1, 3), settings) is None
    fit = settings.fit(suspect, clean)
    assert (fit["k"], fit["depths"], fit["breaks"]) == (2, [3, 3, 3], False)


@pytest.mark.parametrize(("score", "least"), [("psc", 0.65), ("margin", 0.9)])
def test_triggered_images_score_higher_than_clean_ones(
    toy_world: ToyWorld, score: Any, least: float
) -> None:
    suspect, clean = toy_world.backdoored, toy_world.clean
    others = clean.take((clean.labels != TARGET).nonzero().flatten())
    triggered = toy_world.attack.stamp(others.images, {}) / 255
    settings = replace(BREAKING, score=score, threshold=None)
    fit = settings.fit(suspect, clean)
    scorer = settings.scorer(suspect.network, fit, triggered)
    benign, bad = scorer(others.images / 255).scores, scorer(triggered).scores[:, None]
    area = ((bad > benign).double() + (bad == benign).double() / 2).mean()
    assert float(area) > least
    assert fit["collapse_class"] == TARGET
