import numpy as np
import pytest
import torch

from backaudit.core.errors import SettingError
from backaudit.loading.preparation.conventions import Stated, conventions, named, stated_in


def test_conventions_are_for_their_channels() -> None:
    for channels in (1, 3):
        usual = conventions(channels)
        assert all(len(c.mean) == len(c.std) == channels for c in usual)
        assert len({c.name for c in usual}) == len({(c.mean, c.std) for c in usual}) == len(usual)


def test_roughly_usual_numbers_get_the_usual_name() -> None:
    assert named((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)).name == "imagenet"
    assert named((0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616)).name == "cifar10"
    assert named((0.1, 0.2, 0.3), (1.0, 1.0, 1.0)).name == "custom"


def test_one_number_stands_for_all_channels() -> None:
    given = Stated(None, (0.5,), (0.5,)).convention(3)
    assert given is not None
    assert (given.mean, given.name) == ((0.5, 0.5, 0.5), "[-1, 1]")
    assert Stated((32, 32)).convention(3) is None


@pytest.mark.parametrize(
    ("stated", "complaint"),
    [
        (Stated(mean=(0.5,)), "belong together"),
        (Stated(std=(0.5,)), "belong together"),
        (Stated(mean=(0.5, 0.5), std=(0.5, 0.5)), "need 3 numbers"),
        (Stated(mean=(127.5,), std=(127.5,)), "by 255"),
        (Stated(mean=(0.5,), std=(0.0,)), "positive"),
    ],
)
def test_options_that_make_no_sense_are_refused(stated: Stated, complaint: str) -> None:
    with pytest.raises(SettingError, match=complaint):
        stated.convention(3)


MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.2, 0.1]


@pytest.mark.parametrize(
    "metadata",
    [
        {"mean": MEAN, "std": STD, "img_size": 48},
        {"pretrained_cfg": {"mean": MEAN, "std": STD, "input_size": (3, 48, 48)}},
        {"image_mean": str(MEAN), "image_std": str(STD), "size": '{"height": 48}'},
        {"mean": torch.tensor(MEAN)[:, None, None], "std": np.array(STD), "img_size": [48, 48, 3]},
        {"mean": [127.5, 102.0, 76.5], "std": [51.0, 51.0, 25.5], "image_size": [48]},
    ],
)
def test_metadata_state_preprocessing_in_many_ways(metadata: dict[str, object]) -> None:
    stated = stated_in(metadata, 3)
    assert stated.size == (48, 48)
    assert stated.mean == pytest.approx((0.5, 0.4, 0.3))
    assert stated.std == pytest.approx((0.2, 0.2, 0.1))


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"mean": [0.5, 0.5, 0.5]},
        {"mean": "half", "std": "half", "img_size": "large"},
        {"mean": [0.5, 0.5], "std": [0.5, 0.5], "size": [1, 2, 3, 4]},
        {"mean": [float("nan")] * 3, "std": [1.0] * 3, "size": float("inf")},
        {"mean": [0.5] * 3, "std": [0.0] * 3, "size": 10**9},
        {"mean": {"a": 1}, "std": {"b": 2}, "size": -32},
        {"mean": torch.zeros(1000), "std": torch.ones(1000), "size": True},
        {"config": "{" * 5000},
    ],
)
def test_metadata_that_make_no_sense_state_nothing(metadata: dict[str, object]) -> None:
    assert stated_in(metadata, 3) == Stated()
