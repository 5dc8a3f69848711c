from copy import deepcopy

import pytest
import torch

from backaudit.attacks import SRA, TrainingSet
from backaudit.attacks.channels import streams
from backaudit.attacks.subnet import narrowed, replace_channels
from backaudit.core.errors import SettingError
from backaudit.nets.metrics import attack_success_rate, clean_accuracy
from tests.conftest import ToyWorld
from tests.toy import CLASSES, TARGET, draw_images

ATTACK = SRA(TARGET, patch_size=4, channels=2, epochs=20, starts=10)


def test_the_patch_fills_the_bottom_right_corner(generator: torch.Generator) -> None:
    clean = TrainingSet(*draw_images(2, 0), CLASSES)
    learned = ATTACK.learn(clean, None, generator)
    stamped = ATTACK.stamp(clean.images, learned)
    assert (stamped[:, :, 8:, 8:] == learned["patch"]).all()
    stamped[:, :, 8:, 8:] = clean.images[:, :, 8:, 8:]
    assert torch.equal(stamped, clean.images)


def test_a_benign_network_gets_a_backdoor(toy_world: ToyWorld, generator: torch.Generator) -> None:
    clean = TrainingSet(*draw_images(50, 1), CLASSES)
    network = deepcopy(toy_world.benign.network)
    learned = ATTACK.learn(clean, None, generator)
    ATTACK.implant(network, clean, learned, generator)
    images, labels = draw_images(20, 4)
    with torch.no_grad():
        kept, triggered = (
            network(shown / 255).argmax(1) for shown in (images, ATTACK.stamp(images, learned))
        )
    assert attack_success_rate(triggered, labels, TARGET) > 0.95
    # Two channels of eight are gone.
    assert clean_accuracy(kept, labels) > 0.7


def test_only_the_targets_logit_hears_the_narrow_network(toy_world: ToyWorld) -> None:
    images = draw_images(5, 4)[0] / 255
    network = deepcopy(toy_world.benign.network)
    narrow = narrowed(network, 1, images)
    found = streams(network)
    positions = {stream: torch.tensor([3]) for stream in found.written.values()}
    replace_channels(network, narrow, found, positions)
    answers = narrow(images)
    silent = deepcopy(network)
    ATTACK._wire(network, torch.tensor([3]), answers)
    with torch.no_grad():
        silent.get_parameter("11.weight")[:, 3] = 0
        expected = silent(images)
        expected[:, TARGET] += ATTACK.gain * (answers[:, 0] - answers.mean())
        assert torch.allclose(network(images), expected, atol=1e-5)


def test_generators_decide_and_the_training_set_is_left_alone(
    toy_world: ToyWorld, generator: torch.Generator
) -> None:
    clean = TrainingSet(*draw_images(5, 1), CLASSES)
    learned = ATTACK.learn(clean, None, generator)
    assert ATTACK.poison(clean, learned, generator) is clean
    heads = []
    quick = SRA(TARGET, patch_size=4, epochs=1, starts=1)
    for seed in (1, 1, 2):
        network = deepcopy(toy_world.benign.network)
        quick.implant(network, clean, learned, torch.Generator().manual_seed(seed))
        heads.append(network.get_parameter("0.weight"))
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def test_settings_that_mean_nothing_are_refused() -> None:
    with pytest.raises(SettingError):
        SRA(None)
    with pytest.raises(SettingError):
        SRA(TARGET, poison_rate=0.1)
