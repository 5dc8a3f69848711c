from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from backaudit.core.errors import NotApplicableError
from backaudit.core.suspect import Suspect
from backaudit.detectors import MMBD, mm_bd
from backaudit.detectors.mm_bd import robust_score
from backaudit.nets.normalised import LogProbabilities
from tests.conftest import ToyWorld
from tests.toy import TARGET, clean_set, evidence, suspect_of

Step = Callable[[Tensor], Tensor]

USUAL = MMBD(bf16=False)
QUICK = MMBD(starts=3, steps=30, bf16=False)


def linear(weights: list[float], biases: list[float] | None = None) -> Suspect:
    """Each class reads the four pixels of its own channel: logit k = weight k * their mean - 1."""
    classes = len(weights)
    reader = nn.Conv2d(classes, classes, 2, groups=classes)
    with torch.no_grad():
        reader.weight.copy_((torch.tensor(weights) / 4)[:, None, None, None].expand(-1, 1, 2, 2))
        reader.bias = nn.Parameter(torch.tensor(biases or [0.0] * classes) - 1)
    suspect = suspect_of(nn.Sequential(reader, nn.Flatten()), classes, classes)
    return replace(suspect, image_shape=(classes, 2, 2))


def margins(suspect: Suspect, detector: MMBD = USUAL) -> list[float]:
    found: list[float] = evidence(detector, suspect, clean_set()).measurements["per_class"]
    return found


def test_the_largest_margins_of_a_linear_network_are_found() -> None:
    # A class's own pixels at 1 and the others' at 0 is the best image: its margin is its weight.
    weights = [1.0, 2.0, 0.5, 1.5, 3.0]
    assert margins(linear(weights)) == pytest.approx(weights, abs=0.01)


def test_margins_are_over_the_strongest_other_class() -> None:
    biases = [0.0, 0.4, -0.2, 0.3, 0.0]
    expected = [1 + own - max(biases[:k] + biases[k + 1 :]) for k, own in enumerate(biases)]
    assert margins(linear([1.0] * 5, biases)) == pytest.approx(expected, abs=0.01)


def test_margins_do_not_depend_on_a_shift_of_all_logits() -> None:
    low, high = linear([1.0, 2.0, 0.5, 1.5], [-9.0] * 4), linear([1.0, 2.0, 0.5, 1.5], [9.0] * 4)
    assert margins(low) == pytest.approx(margins(high), abs=1e-4)


def test_the_best_of_several_starts_counts() -> None:
    # A logit rises from 0.4 both ways: to 0.16 of its weight at black, to 0.36 at white.
    class Valley(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.tensor([1.0, 2.0, 3.0, 4.0]))

        def forward(self, images: Tensor) -> Tensor:
            return self.weight * (images.flatten(1) - 0.4) ** 2 - 1

    suspect = replace(suspect_of(Valley(), 4, 4), image_shape=(4, 1, 1))
    assert margins(suspect) == pytest.approx([0.36, 0.72, 1.08, 1.44], abs=0.01)


def test_a_planted_class_is_found() -> None:
    reading = evidence(USUAL, linear([1.0, 1.1, 0.9, 1.2, 4.0, 1.0]), clean_set())
    assert reading.target_classes == (4,)
    assert reading.score == pytest.approx(4.0 / 1.2, rel=0.02)


def test_it_does_not_see_two_targets_at_once() -> None:
    reading = evidence(USUAL, linear([1.0, 1.1, 0.9, 4.0, 4.0, 1.0]), clean_set())
    assert reading.score == pytest.approx(1.0, abs=0.02)


def test_a_class_that_overrules_all_others_everywhere_is_the_strongest_evidence() -> None:
    reading = evidence(USUAL, linear([1.0] * 5, [9.0, 0.0, 0.0, 0.0, 0.0]), clean_set())
    assert (reading.score, reading.target_classes) == (pytest.approx(100), (0,))


def test_margins_that_are_all_zero_cannot_be_compared() -> None:
    with pytest.raises(NotApplicableError, match="no class can be reached"):
        evidence(USUAL, linear([0.0] * 5), clean_set())


class Ending(nn.Module):
    """A network, and what stands between its logits and its answers or before it."""

    def __init__(self, before: Step, network: nn.Module, after: Step) -> None:
        super().__init__()
        self.before, self.network, self.after = before, network, after

    def forward(self, images: Tensor) -> Tensor:
        return self.after(self.network(self.before(images)))


def as_it_is(tensor: Tensor) -> Tensor:
    return tensor


def test_a_network_that_hides_its_gradients_has_not_passed_and_is_no_finding() -> None:
    plain = linear([10.0, 10.0, 10.0, 10.0], [5.0, 0.0, 0.0, 0.0])
    rounded = Ending(lambda images: images.mul(64).round() / 64, plain.network, as_it_is).eval()
    with pytest.raises(NotApplicableError, match="gives no gradient"):
        evidence(QUICK, replace(plain, network=rounded), clean_set())


def test_scores_that_a_sigmoid_compressed_are_not_compared() -> None:
    plain = linear([10.0, 20.0, 10.0, 10.0])
    compressed = Ending(as_it_is, plain.network, torch.sigmoid).eval()
    with pytest.raises(NotApplicableError, match="between 0 and 1"):
        evidence(QUICK, replace(plain, network=compressed), clean_set())


@pytest.mark.parametrize(("weight", "bounded"), [(20.0, False), (300.0, True)])
def test_probabilities_that_are_rounded_to_zero_are_not_compared(
    weight: float, *, bounded: bool
) -> None:
    plain = linear([weight, weight / 2, weight / 2, weight / 2])
    answers = Ending(as_it_is, plain.network, partial(torch.softmax, dim=1)).eval()
    probable = replace(plain, network=LogProbabilities(answers).eval())
    if bounded:
        with pytest.raises(NotApplicableError, match="rounded to zero"):
            evidence(USUAL, probable, clean_set())
    else:
        assert evidence(USUAL, probable, clean_set()).score == pytest.approx(2, rel=0.02)


def test_the_robust_score_by_hand() -> None:
    # Median 3, deviations 2, 1, 0, 1, 7: their median is 1.
    assert robust_score(torch.tensor([1.0, 2.0, 3.0, 4.0, 10.0])) == pytest.approx(7 / 1.4826)
    assert robust_score(torch.zeros(4)) == 0


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_backdoored_network_stands_out_and_its_target_is_named(
    toy_world: ToyWorld, seed: int
) -> None:
    backdoored = evidence(QUICK, toy_world.backdoored, toy_world.clean, seed)
    benign = evidence(QUICK, toy_world.benign, toy_world.clean, seed)
    assert backdoored.target_classes == (TARGET,)
    assert backdoored.score > 1.3 * benign.score


def test_clean_images_are_not_used(toy_world: ToyWorld) -> None:
    first = evidence(QUICK, toy_world.benign, toy_world.clean)
    assert evidence(QUICK, toy_world.benign, toy_world.clean.take(torch.tensor([0]))) == first


def test_the_parts_that_memory_forces_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    suspect = linear([1.0, 2.0, 0.5, 1.5, 3.0])
    whole = margins(suspect, QUICK)
    monkeypatch.setattr(mm_bd, "images_at_once", lambda *_: 4)
    assert margins(suspect, QUICK) == pytest.approx(whole, abs=1e-5)


def test_images_stay_images() -> None:
    suspect, seen = linear([1.0] * 4), []

    def look(_module: nn.Module, inputs: tuple[Tensor]) -> None:
        seen.append((inputs[0].detach().min().item(), inputs[0].detach().max().item()))

    handle = suspect.network.register_forward_pre_hook(look)
    margins(suspect, QUICK)
    handle.remove()
    assert min(low for low, _ in seen) >= 0
    assert max(high for _, high in seen) <= 1


def test_margins_that_are_no_numbers_are_no_pass() -> None:
    reading = evidence(QUICK, linear([1.0, 1.0, float("nan"), 1.0]), clean_set())
    assert not reading.fires
    assert not reading.decides
