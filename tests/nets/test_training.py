from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backaudit.core.errors import SettingError
from backaudit.core.progress import observed_by
from backaudit.nets.augmentation import augmented
from backaudit.nets.epochs import Epochs
from backaudit.nets.stages import State
from backaudit.nets.training import Along, CrossEntropy, Training, train
from tests.toy import draw_images, toy_network

SHORT = Training(epochs=2, batch_size=32, shift=1)


def trained(training: Training = SHORT, seed: int = 0) -> nn.Module:
    network = toy_network()
    data = draw_images(20, 1)
    train(network, Epochs.alike(*data), training, seed=seed)
    return network


def same(first: nn.Module, second: nn.Module) -> bool:
    one, two = first.state_dict(), second.state_dict()
    return all(torch.equal(one[name], two[name]) for name in one)


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


CHANGES: list[dict[str, Any]] = [
    {"shift": 2},
    {"flip": True},
    {"weight_decay": 0.1},
    {"schedule": "cosine"},
    {"nesterov": False},
    {"schedule": "constant"},
    {"schedule": "constant", "momentum": 0.8},
]


@pytest.mark.parametrize("change", CHANGES)
def test_every_setting_counts(change: dict[str, Any]) -> None:
    usual = {name: value for name, value in change.items() if name == "schedule"}
    without = SHORT if usual == change else replace(SHORT, **usual)
    assert not same(trained(without), trained(replace(SHORT, **change)))


def test_the_callers_random_state_is_left_alone() -> None:
    before = torch.random.get_rng_state()
    trained()
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("batches", [1, 2, 3, 4, 5, 8])
@pytest.mark.parametrize("epochs", [1, 2])
def test_any_number_of_steps_will_do(batches: int, epochs: int) -> None:
    images, labels = draw_images(4, 1)
    training = Training(epochs=epochs, batch_size=-(-24 // batches), shift=0)
    train(toy_network(), Epochs.alike(images, labels), training, seed=0)


def test_every_image_is_seen_once_an_epoch_and_each_epoch_has_its_own() -> None:
    images, labels = draw_images(7, 1)
    asked: list[int] = []
    seen: list[Tensor] = []

    def epoch_data(epoch: int) -> tuple[Tensor, Tensor]:
        asked.append(epoch)
        return (images + epoch).clamp(max=255), labels

    network = toy_network()
    network.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    epochs = Epochs(len(images), epoch_data)
    train(network, epochs, Training(epochs=2, batch_size=16, shift=0), seed=0)
    assert asked == [0, 1]
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
    train(network, Epochs.alike(*images), still, seed=0, objective=objective)
    assert float(objective.weight.detach()) == -8
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.named_parameters())


def test_progress_is_told() -> None:
    told: list[tuple[str, int, int]] = []
    with observed_by(lambda *step: told.append(step)):
        trained()
    assert told == [("training", done, 8) for done in range(9)]


def one_cycle(network: nn.Module, training: Training, seed: int) -> None:
    """The recipes of zoos are trained like this, and each must give the same network for ever."""
    images, labels = draw_images(20, 1)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(
        network.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    batches = -(-len(images) // training.batch_size)
    steps = training.epochs * batches
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, steps, pct_start=0.25)
    network.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    for _ in range(training.epochs):
        for batch in torch.randperm(len(images), generator=generator).split(training.batch_size):
            shown = augmented(images, batch, training.shift, generator, flip=training.flip)
            shown = shown.to(memory_format=torch.channels_last).float().div(255)
            optimizer.zero_grad()
            F.cross_entropy(network(shown), labels[batch]).backward()
            optimizer.step()
            schedule.step()


@pytest.mark.parametrize("flip", [False, True])
def test_what_a_recipe_says_nothing_about_never_changes_its_network(flip: bool) -> None:
    training, network = Training(epochs=3, batch_size=50, flip=flip), toy_network()
    one_cycle(network, training, seed=4)
    assert same(trained(training, seed=4), network)
    stated = replace(training, schedule="one-cycle", momentum=0.9, nesterov=True)
    assert stated == training


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schedule": "cosin"}, "no schedule 'cosin'. Did you mean 'cosine'"),
        ({"momentum": 1.0, "nesterov": False}, "a momentum of 1.0 does not work"),
        ({"momentum": 0.0}, "a momentum of 0.0 does not work"),
        ({"momentum": float("nan")}, "a momentum of nan does not work"),
    ],
)
def test_settings_that_do_not_work_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        replace(SHORT, **change)


class Twice(CrossEntropy):
    """Computes its gradients itself: twice those of the loss."""

    def differentiate(self, network: nn.Module, loss: Callable[[], Tensor]) -> Tensor:
        value = loss()
        for weight in network.parameters():
            assert weight.grad is None
            (weight.grad,) = torch.autograd.grad(2 * value, weight, retain_graph=True)
        return value


def test_an_objective_may_compute_its_gradients_itself() -> None:
    plain = replace(SHORT, weight_decay=0.0, learning_rate=0.04, shift=0)
    network, data = toy_network(), draw_images(20, 1)
    train(
        network, Epochs.alike(*data), replace(plain, learning_rate=0.02), seed=0, objective=Twice()
    )
    expected = trained(plain).state_dict()
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(tensor, expected[name])


class Counting:
    """Ends the training after an epoch."""

    def __init__(self, last: int) -> None:
        self.last = last
        self.seen: list[int] = []

    def see(self, network: nn.Module, epoch: int) -> bool:
        assert not any(module.training for module in network.modules())
        self.seen.append(epoch)
        return epoch == self.last

    def end(self, network: nn.Module) -> None:
        self.seen.append(-1)

    def state(self) -> State:
        return {"seen": self.seen}

    def resume(self, state: State) -> None:
        self.seen = list(state["seen"])


@pytest.mark.parametrize(("last", "epochs"), [(0, 1), (1, 2), (7, 3)])
def test_the_watch_sees_every_epoch_and_may_end_the_training(last: int, epochs: int) -> None:
    watch, network, data = Counting(last), toy_network(), draw_images(20, 1)
    training = replace(SHORT, epochs=3)
    done = train(network, Epochs.alike(*data), training, seed=0, along=Along(watch))
    assert done == epochs
    assert watch.seen == [*range(epochs), -1]
    assert same(network, trained(training)) is (epochs == 3)


def test_modes_that_an_objective_sets_are_left_alone() -> None:
    class Frozen(CrossEntropy):
        def loss(self, network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
            modes.append(network[1].training)  # type: ignore[index]
            network[1].eval()  # type: ignore[index]
            return super().loss(network, images, labels)

    modes: list[bool] = []
    data = draw_images(20, 1)
    train(toy_network(), Epochs.alike(*data), SHORT, seed=0, objective=Frozen())
    assert modes == [True] + [False] * 7


class Begun:
    """Notes the mode of the network before each epoch, and in each step."""

    optimizers = ()

    def __init__(self) -> None:
        self.modes: list[tuple[str, bool]] = []

    def begin_epoch(self, network: nn.Module) -> None:
        self.modes.append(("epoch", network.training))

    def loss(self, network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        self.modes.append(("step", network.training))
        return F.cross_entropy(network(images), labels)


def test_an_objective_may_look_at_the_network_before_each_epoch() -> None:
    goal = Begun()
    train(toy_network(), Epochs.alike(*draw_images(8, 1)), SHORT, seed=0, objective=goal)
    assert goal.modes == 2 * [("epoch", False), ("step", True), ("step", True)]
