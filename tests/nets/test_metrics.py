import math

import pytest
import torch

from backaudit.nets.metrics import (
    attack_success_rate,
    auroc,
    clean_accuracy,
    defence_effectiveness,
    robust_accuracy,
)

LABELS = torch.tensor([0, 0, 1, 1, 2])


def test_clean_accuracy_is_the_share_predicted_as_labelled() -> None:
    assert clean_accuracy(torch.tensor([0, 1, 1, 1, 0]), LABELS) == pytest.approx(0.6)


def test_success_leaves_out_images_of_the_target_itself() -> None:
    predictions = torch.tensor([2, 2, 2, 1, 2])
    assert attack_success_rate(predictions, LABELS, 2) == pytest.approx(3 / 4)


def test_success_of_an_all_to_all_attack_has_a_target_for_each_image() -> None:
    predictions = torch.tensor([1, 0, 2, 2, 2])
    assert attack_success_rate(predictions, LABELS, (LABELS + 1) % 3) == pytest.approx(3 / 5)


def test_robust_accuracy_is_the_share_still_predicted_right() -> None:
    assert robust_accuracy(torch.tensor([0, 2, 2, 2, 2]), LABELS) == pytest.approx(2 / 5)


@pytest.mark.parametrize(
    ("accuracies", "success_rates", "published"),
    [
        ((91.32, 89.96), (95.03, 1.48), 96.10),
        ((90.67, 93.12), (98.26, 1.72), 98.27),
        ((84.48, 84.48), (98.27, 98.27), 50.00),
        ((93.47, 91.32), (99.92, 99.74), 49.01),
    ],
)
def test_defence_effectiveness_is_that_of_the_published_table(
    accuracies: tuple[float, float], success_rates: tuple[float, float], published: float
) -> None:
    found = defence_effectiveness(
        accuracies=(accuracies[0] / 100, accuracies[1] / 100),
        success_rates=(success_rates[0] / 100, success_rates[1] / 100),
    )
    assert 100 * found == pytest.approx(published, abs=0.006)


def test_what_an_attack_wins_is_no_defence_and_no_loss_of_it() -> None:
    found = defence_effectiveness(accuracies=(0.9, 0.8), success_rates=(0.5, 0.9))
    assert found == pytest.approx(0.45)


def test_rates_of_nothing_are_not_numbers() -> None:
    nothing = torch.tensor([], dtype=torch.long)
    assert math.isnan(clean_accuracy(nothing, nothing))
    assert math.isnan(attack_success_rate(torch.tensor([1]), torch.tensor([1]), 1))
    assert math.isnan(auroc(torch.tensor([]), torch.tensor([1.0])))


def test_auroc_of_known_cases() -> None:
    assert auroc(torch.tensor([0.1, 0.2]), torch.tensor([0.3, 0.4])) == 1
    assert auroc(torch.tensor([0.3, 0.4]), torch.tensor([0.1, 0.2])) == 0
    assert auroc(torch.tensor([0.5, 0.5]), torch.tensor([0.5])) == 0.5
    # Of six pairs four are in order and one is tied.
    benign, backdoored = torch.tensor([0.1, 0.4, 0.6]), torch.tensor([0.4, 0.7])
    assert auroc(benign, backdoored) == pytest.approx((1 + 0.5 + 3) / 6)


def test_auroc_is_the_share_of_pairs_in_order() -> None:
    generator = torch.Generator().manual_seed(0)
    benign = torch.randint(0, 20, (50,), generator=generator).float()
    backdoored = torch.randint(5, 25, (40,), generator=generator).float()
    gap = backdoored[:, None] - benign[None]
    pairs = (gap > 0).double().mean() + (gap == 0).double().mean() / 2
    assert auroc(benign, backdoored) == pytest.approx(float(pairs))
