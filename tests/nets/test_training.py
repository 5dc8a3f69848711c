from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backaudit.core.progress import observed_by
from backaudit.nets.training import Training, _augmented, train
from tests.toy import draw_images, toy_network

SHORT = Training(epochs=2, batch_size=32, shift=1)


def trained(training: Training = SHORT, seed: int = 0) -> nn.Module:
    network = toy_network()
    data = draw_images(20, 1)
    train(network, lambda _: data, training, seed=seed)
    return network


def same(first: nn.Module, second: nn.Module) -> bool:
    one, two = first.state_dict(), second.state_dict()
    return all(torch.equal(one[name], two[name]) for name in one)


def augmented(images: Tensor, **changes: int) -> Tensor:
    training, every = replace(SHORT, **changes), torch.arange(len(images))
    return _augmented(images, every, training, torch.Generator().manual_seed(1))


def shifts(image: Tensor, reach: int) -> list[Tensor]:
    """Every way to shift an image (C, H, W), its borders reflected."""
    padded = F.pad(image[None].float(), (reach,) * 4, mode="reflect")[0].to(torch.uint8)
    windows = padded.unfold(1, image.shape[1], 1).unfold(2, image.shape[2], 1)
    return list(windows.permute(1, 2, 0, 3, 4).flatten(0, 1))


def test_training_lowers_the_loss_and_leaves_evaluation_mode() -> None:
    images, labels = draw_images(20, 1)
    losses = [
        float(F.cross_entropy(network(images / 255), labels).detach())
        for network in (toy_network(), trained(replace(SHORT, epochs=8)))
    ]
    assert losses[1] < 0.6 < losses[0] - 0.6
    assert not any(module.training for module in trained().modules())


def test_a_seed_trains_the_same_network_to_the_bit() -> None:
    assert same(trained(seed=1), trained(seed=1))
    assert not same(trained(seed=1), trained(seed=2))


@pytest.mark.parametrize("change", [{"shift": 2}, {"flip": True}, {"weight_decay": 0.1}])
def test_every_setting_counts(change: dict[str, float]) -> None:
    assert not same(trained(), trained(replace(SHORT, **change)))


def test_the_callers_random_state_is_left_alone() -> None:
    before = torch.random.get_rng_state()
    trained()
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("batches", [1, 2, 3, 4, 5, 8])
@pytest.mark.parametrize("epochs", [1, 2])
def test_any_number_of_steps_will_do(batches: int, epochs: int) -> None:
    images, labels = draw_images(4, 1)
    training = Training(epochs=epochs, batch_size=-(-24 // batches), shift=0)
    train(toy_network(), lambda _: (images, labels), training, seed=0)


def test_every_image_is_seen_once_an_epoch_and_each_epoch_has_its_own() -> None:
    images, labels = draw_images(7, 1)
    asked: list[int] = []
    seen: list[Tensor] = []

    def epoch_data(epoch: int) -> tuple[Tensor, Tensor]:
        asked.append(epoch)
        return (images + epoch).clamp(max=255), labels

    network = toy_network()
    network.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    train(network, epoch_data, Training(epochs=2, batch_size=16, shift=0), seed=0)
    assert (min(asked), max(asked)) == (0, 1)
    assert [len(batch) for batch in seen] == [16, 16, 10] * 2
    for epoch in (0, 1):
        shown = (torch.cat(seen[3 * epoch : 3 * epoch + 3]) * 255).round().to(torch.uint8)
        assert multiset(shown) == multiset(epoch_data(epoch)[0])
    assert not torch.equal(seen[0], seen[3])


def multiset(images: Tensor) -> list[bytes]:
    return sorted(image.contiguous().numpy().tobytes() for image in images)


def test_an_objective_takes_the_place_of_the_cross_entropy_and_its_optimizers_step() -> None:
    class Further:
        def __init__(self) -> None:
            self.weight = nn.Parameter(torch.zeros(()))
            self.optimizers = (torch.optim.SGD([self.weight], lr=1.0),)

        def loss(self, network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
            assert (images.min() >= 0, images.max() <= 1, len(labels)) == (True, True, len(images))
            return 0 * network(images).sum() + self.weight

    objective, network, images = Further(), toy_network(), draw_images(20, 1)
    before = {name: tensor.clone() for name, tensor in network.named_parameters()}
    still = replace(SHORT, weight_decay=0.0)
    train(network, lambda _: images, still, seed=0, objective=objective)
    assert float(objective.weight.detach()) == -8
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.named_parameters())


def test_progress_is_told() -> None:
    told: list[tuple[str, int, int]] = []
    with observed_by(lambda *step: told.append(step)):
        trained()
    assert told == [("training", done, 8) for done in range(9)]


@pytest.mark.parametrize("shape", [(3, 12, 12), (1, 5, 9)])
def test_images_that_are_not_shifted_stay_as_they_are(shape: tuple[int, int, int]) -> None:
    images = torch.randint(256, (10, *shape), dtype=torch.uint8)
    assert torch.equal(augmented(images, shift=0), images)


@pytest.mark.parametrize("reach", [1, 3])
def test_a_shift_moves_each_image_on_its_own_and_reflects_its_border(reach: int) -> None:
    images = torch.randint(256, (200, 2, 7, 9), dtype=torch.uint8)
    moved = augmented(images, shift=reach)
    assert (moved.shape, moved.dtype) == (images.shape, torch.uint8)
    ways = [where(moved[index], shifts(images[index], reach)) for index in range(200)]
    assert set(ways) == set(range((2 * reach + 1) ** 2))


def test_a_flip_mirrors_about_half_of_the_images() -> None:
    images = torch.randint(256, (200, 2, 7, 9), dtype=torch.uint8)
    flipped = augmented(images, shift=0, flip=True)
    mirrored = [
        where(flipped[index], [images[index], images[index].flip(2)]) for index in range(200)
    ]
    assert 60 < sum(mirrored) < 140


def where(image: Tensor, choices: list[Tensor]) -> int:
    """Which of the choices the image is; it must be one."""
    (found,) = [index for index, choice in enumerate(choices) if torch.equal(image, choice)]
    return found
