import pytest
import torch
from torch import Tensor

from backaudit.core.errors import CleanSetError
from backaudit.loading.clean_images.class_names import ClassNames
from backaudit.loading.clean_images.images import RawImages
from backaudit.loading.clean_images.matching import (
    agreed_labels,
    best_agreement,
    match_classes,
    near_chance,
)

DOTS = tuple(torch.zeros(1, 1, 1, dtype=torch.uint8) for _ in range(120))


def named(labels: list[str]) -> RawImages:
    return RawImages(DOTS[: len(labels)], tuple(labels), None, "memory")


def right(truth: Tensor, wrong: int = 0) -> Tensor:
    """Predictions (N,) that are wrong on the first few images."""
    predictions = truth.clone()
    predictions[:wrong] = (predictions[:wrong] + 1) % (int(truth.max()) + 1)
    return predictions


def test_alphabetical_folders_are_outputs_in_order() -> None:
    truth = torch.arange(60) % 3
    raw = named([("ape", "bee", "cow")[index] for index in truth])
    matching = match_classes(raw, right(truth, 6), 3, None)
    assert torch.equal(matching.labels, truth)
    assert matching.accuracy == pytest.approx(0.9)
    assert matching.class_names == ("ape", "bee", "cow")
    assert matching.how == "classes in alphabetical order are the outputs in order"


@pytest.mark.parametrize(("natural", "said"), [(True, "natural"), (False, "alphabetical")])
def test_order_of_numbered_folders_is_the_one_predictions_agree_with(
    natural: bool, said: str
) -> None:
    names = [f"class{number}" for number in range(1, 13)]
    outputs = {name: index for index, name in enumerate(names if natural else sorted(names))}
    labels = names * 10
    truth = torch.tensor([outputs[label] for label in labels])
    matching = match_classes(named(labels), right(truth, 12), 12, None)
    assert torch.equal(matching.labels, truth)
    assert matching.how.startswith(f"classes in {said} order")
    assert "as 90% accuracy says" in matching.how
    assert matching.class_names[outputs["class10"]] == "class10"


def test_numeric_folders_are_output_indices() -> None:
    truth = torch.tensor([2, 7, 11]).repeat(20)
    matching = match_classes(named([str(index) for index in truth.tolist()]), truth, 12, None)
    assert torch.equal(matching.labels, truth)
    assert matching.how == "class names are output indices"


def test_numeric_folders_from_one_are_not_shifted_indices() -> None:
    truth = torch.arange(120) % 12
    labels = [str(index + 1) for index in truth.tolist()]
    matching = match_classes(named(labels), right(truth, 6), 12, None)
    assert torch.equal(matching.labels, truth)
    assert "natural order" in matching.how


def test_names_in_a_file_win_over_the_order_of_folders() -> None:
    names = ClassNames(("Wild Boar", "ape", "bee"), "names.txt", trusted=True)
    truth = torch.tensor([0, 1]).repeat(30)
    raw = named([("wild_boar", "ape")[index] for index in truth])
    matching = match_classes(raw, right(truth, 6), 3, names)
    assert torch.equal(matching.labels, truth)
    assert matching.how == "by name, from names.txt"
    assert matching.class_names == names.names


def test_folders_that_the_file_does_not_name_are_refused() -> None:
    names = ClassNames(("ape", "bee", "cow"), "names.txt", trusted=True)
    with pytest.raises(CleanSetError, match=r"1 of the 2 classes .* not in it: 'cat'"):
        match_classes(named(["ape", "cat"] * 30), torch.zeros(60).long(), 3, names)


def test_names_of_a_checkpoint_that_fit_nothing_are_ignored() -> None:
    names = ClassNames(("LABEL_0", "LABEL_1"), "the checkpoint", trusted=False)
    truth = torch.arange(60) % 2
    matching = match_classes(named(["ape", "bee"] * 30), truth, 2, names)
    assert "alphabetical" in matching.how
    assert matching.accuracy == 1


def test_fewer_folders_are_matched_by_strong_agreement_and_it_is_said() -> None:
    labels = ["ship", "cat"] * 30
    truth = torch.tensor([8, 3]).repeat(30)
    matching = match_classes(named(labels), right(truth, 12), 10, None)
    assert torch.equal(matching.labels, truth)
    assert matching.how.startswith("by agreement with predictions (80%)")
    assert matching.class_names[8] == "ship"
    assert matching.class_names[0] == "0"


def test_weak_agreement_matches_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    predictions = torch.randint(10, (60,), generator=generator)
    with pytest.raises(CleanSetError, match="nothing says which"):
        match_classes(named(["ship", "cat"] * 30), predictions, 10, None)


def test_two_folders_never_become_one_output() -> None:
    with pytest.raises(CleanSetError, match="nothing says which"):
        match_classes(named(["ship", "cat"] * 30), torch.full((60,), 4), 10, None)


def test_a_permutation_is_refused_not_realigned() -> None:
    truth = torch.arange(60) % 3
    raw = named([("ape", "bee", "cow")[index] for index in truth])
    shuffled = (truth + 1) % 3
    matching = match_classes(raw, shuffled, 3, None)
    assert torch.equal(matching.labels, truth)
    assert near_chance(matching, shuffled) is not None
    assert best_agreement(raw, shuffled) == 1


def test_more_folders_than_outputs_are_refused() -> None:
    with pytest.raises(CleanSetError, match="have 3 classes, but the network has 2"):
        match_classes(named(["a", "b", "c"] * 20), torch.zeros(60).long(), 2, None)


def test_numbers_in_a_file_are_indices() -> None:
    raw = RawImages(DOTS[:60], None, (0, 9) * 30, "memory")
    matching = match_classes(raw, torch.tensor([0, 9] * 30), 10, None)
    assert matching.labels.tolist() == [0, 9] * 30
    assert matching.accuracy == 1


@pytest.mark.parametrize("indices", [(0, 10) * 30, (-1, 3) * 30])
def test_numbers_beyond_the_outputs_are_refused(indices: tuple[int, ...]) -> None:
    raw = RawImages(DOTS[:60], None, indices, "memory")
    with pytest.raises(CleanSetError, match="0 to 9"):
        match_classes(raw, torch.zeros(60).long(), 10, None)


def test_without_labels_predictions_stand_in() -> None:
    raw = RawImages(DOTS[:60], None, None, "memory")
    predictions = torch.arange(60) % 3
    matching = match_classes(raw, predictions, 3, None)
    assert torch.equal(matching.labels, predictions)
    assert not matching.labelled
    assert matching.accuracy is None
    assert near_chance(matching, predictions) is None


@pytest.mark.parametrize(
    ("classes", "count", "wrong", "refused"),
    [
        (10, 120, 108, True),  # exactly chance
        (10, 120, 80, False),
        (2, 100, 45, True),  # 55 of 100 could be luck
        (2, 100, 20, False),
        (100, 100, 94, True),  # 6 % of 100 classes is more than luck, but not worth an audit
        (100, 100, 60, False),
    ],
)
def test_accuracy_near_chance_is_noticed(
    classes: int, count: int, wrong: int, refused: bool
) -> None:
    truth = torch.arange(count) % classes
    raw = RawImages(DOTS[:count], None, tuple(truth.tolist()), "memory")
    predictions = right(truth, wrong)
    matching = match_classes(raw, predictions, classes, None)
    assert (near_chance(matching, predictions) is not None) == refused


def test_always_answering_the_most_frequent_class_is_chance() -> None:
    raw = RawImages(DOTS[:100], None, (0,) * 80 + (1,) * 20, "memory")
    predictions = torch.zeros(100).long()
    matching = match_classes(raw, predictions, 10, None)
    assert matching.accuracy == 0.8
    assert "chance is 80%" in str(near_chance(matching, predictions))


def test_a_single_class_is_compared_with_one_in_all() -> None:
    raw = RawImages(DOTS[:60], None, (4,) * 60, "memory")
    predictions = torch.full((60,), 4)
    assert near_chance(match_classes(raw, predictions, 10, None), predictions) is None


def test_agreed_labels_count_an_unseen_class_as_wrong() -> None:
    labels = agreed_labels(named(["a", "b"] * 30), torch.full((60,), 2), 3)
    assert labels.tolist() == [2, 0] * 30
