"""A small network, and its calibration with a threshold that flags some images and not others."""

from dataclasses import replace
from functools import cache

import torch
from torch import Tensor, nn

from backaudit.core.suspect import Preprocessing, Suspect, as_input
from backaudit.firewall.calibration import calibrate
from backaudit.firewall.calibration_file import CalibrationFile
from backaudit.firewall.screener import FittedScreener
from backaudit.loading.prepared import prepared_of
from backaudit.nets.normalised import Normalised
from backaudit.screeners import IBDPSC
from tests.toy import clean_set, draw_images, suspect_of, toy_network

USUAL = Preprocessing((12, 12), (0.4, 0.5, 0.6), (0.2, 0.3, 0.25), "own", "stated")


def own_network() -> nn.Module:
    """As its user has it: it takes normalised images."""
    return toy_network().requires_grad_(False)


def suspect_with(network: nn.Module) -> Suspect:
    """As ``load`` would make it of the user's network."""
    behind = Normalised(network, USUAL.mean, USUAL.std).eval()
    return replace(suspect_of(behind), preprocessing=USUAL)


def new_images(count: int = 128) -> Tensor:
    images, _ = draw_images(per_class=22, seed=8)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(1))
    return as_input(images[order[:count]], torch.device("cpu"))


@cache
def calibration() -> CalibrationFile:
    """Its threshold lies in the middle of the widest gap between the scores of new images."""
    suspect = suspect_with(own_network())
    margin = IBDPSC(score="margin", threshold=None)
    found = calibrate(margin, suspect, clean_set(per_class=4), false_flag_rate=0.2)
    scores = FittedScreener.of(suspect, found)(new_images()).scores.sort().values[20:-20]
    widest = int(scores.diff().argmax())
    found = replace(found, threshold=float(scores[widest : widest + 2].mean()))
    return CalibrationFile(prepared_of(suspect), (found,))


def normalised(images: Tensor) -> Tensor:
    mean, std = (torch.tensor(each)[:, None, None] for each in (USUAL.mean, USUAL.std))
    return (images - mean) / std
