import torch

from backaudit.screeners.corruptions import Draw
from backaudit.screeners.corruptions.noise import gaussian_noise, impulse_noise, shot_noise

DRAW = Draw((3, 60, 60), 0, torch.device("cpu"))
GREY = torch.full((1, 3, 60, 60), 0.5)
ROOT = GREY.numel() ** 0.5


def test_gaussian_noise_has_the_deviation_asked_for() -> None:
    added = gaussian_noise(DRAW, 0.1)(GREY) - GREY
    assert abs(float(added.mean())) < 4 * 0.1 / ROOT
    assert abs(float(added.std()) - 0.1) < 4 * 0.1 / ROOT


def test_shot_noise_counts_photons_as_a_poisson_number() -> None:
    photons = 20
    counted = photons * shot_noise(DRAW, photons)(GREY)
    assert torch.allclose(counted, counted.round(), atol=1e-4)
    # Of 10 photons expected, the number has mean 10 and variance 10 (cut at 20, far away).
    assert abs(float(counted.mean()) - 10) < 4 * 10**0.5 / ROOT
    assert abs(float(counted.var()) - 10) < 0.7


def test_black_gives_no_photon() -> None:
    assert not shot_noise(DRAW, 20)(0 * GREY).any()


def test_impulse_noise_hits_its_share_and_nothing_else() -> None:
    noisy = impulse_noise(DRAW, 0.2)(GREY)
    assert noisy.unique().tolist() == [0.0, 0.5, 1.0]
    assert abs(float((noisy == 0).float().mean()) - 0.1) < 4 * 0.3 / ROOT
    assert abs(float((noisy == 1).float().mean()) - 0.1) < 4 * 0.3 / ROOT
