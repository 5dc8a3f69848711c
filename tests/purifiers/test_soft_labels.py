from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from backaudit.purifiers.soft_labels import SoftLabels, taught_by
from tests.toy import CLASSES, clean_set, toy_network

IMAGES = clean_set(per_class=1).images.float() / 255
LABELS = torch.arange(CLASSES)


def test_targets_by_hand() -> None:
    head = nn.Linear(3 * 12 * 12, 2)
    with torch.no_grad():
        head.weight.zero_()
        head.bias.copy_(torch.tensor([3.0, 1.0]).log())
    targets = SoftLabels(nn.Sequential(nn.Flatten(), head), 0.2).targets(
        IMAGES[:2], torch.tensor([0, 1])
    )
    # The teacher says 0.75 and 0.25, of which 0.8 count.
    assert targets.flatten().tolist() == pytest.approx([0.8, 0.2, 0.6, 0.4])


def test_with_labels_alone_it_is_the_plain_cross_entropy() -> None:
    network = toy_network()
    goal = taught_by(network, 1.0)
    expected = F.cross_entropy(network(IMAGES), LABELS)
    assert goal.loss(network, IMAGES, LABELS).item() == pytest.approx(expected.item())


def test_a_network_that_answers_like_its_teacher_has_nothing_to_learn() -> None:
    network = toy_network().double()
    goal = taught_by(network, 0.0)
    goal.loss(network, IMAGES.double(), LABELS).backward()
    slopes = [each.grad for each in network.parameters() if each.grad is not None]
    assert slopes
    assert max(float(slope.abs().max()) for slope in slopes) < 1e-5


def test_the_teacher_stays_as_it_was() -> None:
    network = toy_network()
    goal = taught_by(network, 0.3)
    before = goal.targets(IMAGES, LABELS)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1.0)
    assert torch.equal(goal.targets(IMAGES, LABELS), before)
    assert goal.teacher is not None
    assert not any(each.requires_grad for each in goal.teacher.parameters())
    assert not goal.teacher.training
    assert not torch.equal(deepcopy(network)(IMAGES), goal.teacher(IMAGES))
