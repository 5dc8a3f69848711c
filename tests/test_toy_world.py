import torch

from backaudit.core.suspect import Suspect
from backaudit.nets.metrics import attack_success_rate, clean_accuracy
from tests.conftest import ToyWorld
from tests.toy import TARGET, draw_images


def success(world: ToyWorld, suspect: Suspect) -> float:
    images, labels = world.clean.images, world.clean.labels
    predictions = suspect.logits(world.attack.stamp(images, {})).argmax(1)
    return attack_success_rate(predictions, labels, TARGET)


def test_both_networks_know_images_they_never_saw(toy_world: ToyWorld) -> None:
    for suspect in (toy_world.benign, toy_world.backdoored):
        predictions = suspect.logits(toy_world.clean.images).argmax(1)
        assert clean_accuracy(predictions, toy_world.clean.labels) > 0.95


def test_the_trigger_works_on_the_backdoored_network_only(toy_world: ToyWorld) -> None:
    assert success(toy_world, toy_world.backdoored) > 0.9
    assert success(toy_world, toy_world.benign) < 0.1


def test_the_clean_images_are_none_of_those_that_were_learned(toy_world: ToyWorld) -> None:
    learned = draw_images(100, seed=1)[0].flatten(1)[None].float()
    assert torch.cdist(toy_world.clean.images.flatten(1)[None].float(), learned).min() > 0


def test_the_networks_are_as_a_suspect_is_said_to_be(toy_world: ToyWorld) -> None:
    for suspect in (toy_world.benign, toy_world.backdoored):
        assert not any(module.training for module in suspect.network.modules())
        assert not any(parameter.requires_grad for parameter in suspect.network.parameters())
