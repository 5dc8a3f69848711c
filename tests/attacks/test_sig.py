import pytest
import torch

from backaudit.attacks import SIG, TrainingSet
from backaudit.core.errors import SettingError
from tests.toy import CLASSES, draw_images


def test_the_wave_runs_along_the_columns() -> None:
    images = torch.full((2, 3, 5, 8), 100, dtype=torch.uint8)
    stamped = SIG(0, amplitude=40.0, frequency=1.0).stamp(images, {})
    # 40 sin(pi/4) = 28.28
    assert stamped[1, 2].tolist() == 5 * [[100, 128, 140, 128, 100, 72, 60, 72]]
    assert (stamped == stamped[:1, :1, :1]).all()


def test_the_published_wave_has_six_periods_of_amplitude_40() -> None:
    stamped = SIG(0).stamp(torch.full((1, 3, 32, 32), 100, dtype=torch.uint8), {}).float()
    spectrum = torch.fft.rfft(stamped[0, 0, 0] - 100).abs() / 16
    assert int(spectrum.argmax()) == 6
    assert float(spectrum[6]) == pytest.approx(40, abs=0.2)
    assert spectrum[torch.arange(17) != 6].max() < 0.5


def test_values_stay_in_range() -> None:
    images = torch.tensor([0, 255], dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 4, 8)
    dark, bright = SIG(0, frequency=1.0).stamp(images, {})
    assert dark[0, 0].tolist() == [0, 28, 40, 28, 0, 0, 0, 0]
    assert bright[0, 0].tolist() == [255, 255, 255, 255, 255, 227, 215, 227]


def test_images_too_narrow_for_the_wave_are_refused() -> None:
    # Of six periods, 12 columns would see the zeros only.
    images, _ = draw_images(1, 0)
    with pytest.raises(SettingError, match="frequency"):
        SIG(0).stamp(images, {})


@pytest.mark.parametrize(("rate", "poisoned_images"), [(0.05, 6), (0.1, 12), (0.5, 20)])
def test_only_the_target_class_is_poisoned_and_keeps_its_label(
    rate: float, poisoned_images: int, generator: torch.Generator
) -> None:
    images, labels = draw_images(20, 0)
    attack = SIG(2, poison_rate=rate, frequency=2.0)
    poisoned = attack.poison(TrainingSet(images, labels, CLASSES), {}, generator)
    changed = (poisoned.images != images).flatten(1).any(1)
    assert int(changed.sum()) == poisoned_images
    assert (labels[changed] == 2).all()
    assert torch.equal(poisoned.labels, labels)


def test_it_cannot_be_all_to_all() -> None:
    with pytest.raises(SettingError):
        SIG(None)
