import pytest
import torch

from backaudit.attacks import BATT, IAD, SRA, SSDT, AdaptiveConfidence, Attack, PhysicalBA
from backaudit.attacks.interface import TrainingSet
from tests.toy import CLASSES, TARGET, draw_images

CLEAN = TrainingSet(*draw_images(10, 0), CLASSES)


@pytest.mark.parametrize("kind", [AdaptiveConfidence, IAD, SRA, SSDT])
def test_the_training_set_stays_clean(kind: type[Attack], generator: torch.Generator) -> None:
    assert kind(TARGET).poison(CLEAN, {}, generator) is CLEAN


@pytest.mark.parametrize("kind", [BATT, PhysicalBA])
def test_the_images_to_poison_are_drawn_once_and_of_other_classes(
    kind: type[Attack], generator: torch.Generator
) -> None:
    attack = kind(TARGET, poison_rate=0.1)
    assert attack.online
    poisoned = attack.learn(CLEAN, None, generator)["poisoned"]
    assert len(set(poisoned.tolist())) == 6
    assert (CLEAN.labels[poisoned] != TARGET).all()
    again = attack.learn(CLEAN, None, generator)["poisoned"]
    assert set(again.tolist()) != set(poisoned.tolist())
