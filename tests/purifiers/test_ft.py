from dataclasses import replace

from backaudit.purifiers.ft import FT
from tests.conftest import ToyWorld
from tests.purifiers.toys import repaired, same

QUICK = FT(epochs=4, bf16=False)


def test_clean_images_alone_do_not_wake_the_backdoor(toy_world: ToyWorld) -> None:
    found = repaired(QUICK, toy_world.backdoored)
    assert found.success > 0.6
    assert found.accuracy > 0.98


def test_a_large_learning_rate_forgets_it(toy_world: ToyWorld) -> None:
    found = repaired(replace(QUICK, learning_rate=0.2, epochs=8), toy_world.backdoored)
    assert found.success < 0.5
    assert found.accuracy > 0.95


def test_it_stops_once_the_accuracy_rises_no_more(toy_world: ToyWorld) -> None:
    found = repaired(replace(QUICK, epochs=30, patience=2), toy_world.benign)
    assert 15 + 1 + 2 <= found.measurements["epochs"] < 30


def test_a_seed_gives_the_same_network(toy_world: ToyWorld) -> None:
    short = replace(QUICK, epochs=1)
    first, again, other = (repaired(short, toy_world.backdoored, seed=seed) for seed in (1, 1, 2))
    assert same(first.network, again.network)
    assert not same(first.network, other.network)
