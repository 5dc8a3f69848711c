from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from backaudit.core.errors import NotApplicableError, SettingError
from backaudit.core.suspect import Suspect
from backaudit.detectors import UAP, race
from backaudit.detectors.uap import sizes_needed
from tests.conftest import ToyWorld
from tests.toy import CLASSES, TARGET, evidence, suspect_of

QUICK = UAP(budgets=(0.01, 0.02, 0.04, 0.08, 0.16), steps=2, bf16=False)


class Shortcut(nn.Module):
    """Sends images to the target that agree with a chequered pattern, which none does by nature."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        rows, columns = torch.arange(images.shape[2]), torch.arange(images.shape[3])
        pattern = 1 - 2.0 * ((rows[:, None] + columns) % 2)
        agreement = (images * pattern).mean((1, 2, 3))
        logits: Tensor = self.network(images)
        return logits + 3000 * (agreement - 0.01).relu()[:, None] * torch.eye(CLASSES)[TARGET]


def with_shortcut(suspect: Suspect) -> Suspect:
    return replace(suspect, network=Shortcut(suspect.network).eval())


def test_sizes_needed_by_hand() -> None:
    # Half way between 0.1 and 0.4 in ratio is 0.2; what nobody reaches needs the next budget, 1.6.
    shares = torch.tensor([[0.2, 0.6, 0.0, 0.5], [0.8, 0.0, 0.4, 0.9]])
    found = sizes_needed(shares, (0.1, 0.4), wanted=0.5)
    assert found.tolist() == pytest.approx([0.2, 0.1 * 4 ** (-1 / 6), 1.6, 0.1])


def test_a_walk_that_was_cut_short_counts_as_far_as_it_went() -> None:
    found = sizes_needed(torch.tensor([[0.5, 0.1]]), (0.1, 0.2, 0.4), wanted=0.5)
    assert found.tolist() == pytest.approx([0.1, 0.2])


def test_the_walk_ends_when_two_classes_are_there(toy_world: ToyWorld) -> None:
    (walked,) = evidence(QUICK, toy_world.benign, toy_world.clean).measurements["shares"]
    furthest = torch.tensor(walked).cummax(0).values
    assert ((furthest >= 0.5).sum(1) > 1).tolist() == [*[False] * (len(walked) - 1), True]
    assert len(walked) < len(QUICK.budgets)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_class_that_a_small_change_reaches_stands_out(toy_world: ToyWorld, seed: int) -> None:
    benign = evidence(QUICK, toy_world.benign, toy_world.clean, seed)
    backdoored = evidence(QUICK, with_shortcut(toy_world.benign), toy_world.clean, seed)
    assert backdoored.target_classes == (TARGET,)
    assert backdoored.score > 2 > 1.5 > benign.score
    assert backdoored.measurements["per_class"][TARGET] == 1


def test_classes_in_one_batch_are_classes_one_by_one(
    toy_world: ToyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = evidence(QUICK, toy_world.backdoored, toy_world.clean)
    monkeypatch.setattr(race, "images_at_once", lambda *_: QUICK.batch_size)
    one_by_one = evidence(QUICK, toy_world.backdoored, toy_world.clean)
    assert one_by_one.score == pytest.approx(together.score, rel=1e-4)


def test_a_class_without_clean_images_can_still_be_the_target(toy_world: ToyWorld) -> None:
    others = (toy_world.clean.labels != TARGET).nonzero().flatten()
    reading = evidence(QUICK, with_shortcut(toy_world.benign), toy_world.clean.take(others))
    assert reading.target_classes == (TARGET,)


def test_a_network_without_normalisation_layers_is_read(toy_world: ToyWorld) -> None:
    folded = deepcopy(toy_world.benign.network)
    assert isinstance(folded, nn.Sequential)
    for place in (0, 3, 6):
        conv, norm = folded[place], folded[place + 1]
        assert isinstance(conv, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        folded[place] = fuse_conv_bn_eval(conv, norm)
        folded[place + 1] = nn.Identity()
    assert evidence(QUICK, suspect_of(folded), toy_world.clean).decides


def test_no_heat_goes_further_than_two_classes_need(
    toy_world: ToyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = with_shortcut(toy_world.benign)
    together = evidence(QUICK, target, toy_world.clean)
    monkeypatch.setattr(race, "images_at_once", lambda *_: QUICK.batch_size)
    one_by_one = evidence(QUICK, target, toy_world.clean)
    assert one_by_one.score == pytest.approx(together.score, rel=1e-4)
    walked = [len(course) for course in one_by_one.measurements["shares"]]
    second = sorted(one_by_one.measurements["size_needed"])[1]
    needed = 1 + sum(budget < second for budget in QUICK.budgets)
    assert walked[TARGET + 1 :] == [needed] * (CLASSES - TARGET - 1)


@pytest.mark.parametrize("budgets", [(), (0.1,), (0.2, 0.1), (0.0, 0.1)])
def test_budgets_that_tell_no_size_are_refused(budgets: tuple[float, ...]) -> None:
    with pytest.raises(SettingError, match="two numbers or more, rising"):
        UAP(budgets=budgets)


@pytest.mark.parametrize("wanted", [0.0, 1.0])
def test_a_share_that_means_nothing_is_refused(wanted: float) -> None:
    with pytest.raises(SettingError, match="between 0 and 1"):
        UAP(wanted=wanted)


class Rounding(nn.Module):
    """Answers as its network does, and gives no gradient."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images.mul(64).round() / 64)
        return logits


def test_a_network_that_hides_its_gradients_has_not_passed(toy_world: ToyWorld) -> None:
    hidden = replace(toy_world.benign, network=Rounding(toy_world.benign.network).eval())
    with pytest.raises(NotApplicableError, match="no class can be reached"):
        evidence(QUICK, hidden, toy_world.clean)
