"""A user's own network that says of each image whether it looks triggered, in the same pass."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from backaudit.core.errors import CalibrationError, NotApplicableError, SettingError
from backaudit.core.screening import Calibration, Screened
from backaudit.core.suspect import Prepared, as_input, fixed_images
from backaudit.core.version import own_version
from backaudit.firewall.calibration_file import CalibrationFile, digest_of
from backaudit.firewall.screener import screener_of
from backaudit.nets.amplification import AmplifiedNetwork
from backaudit.nets.normalised import Normalised
from backaudit.screeners.ibd_psc import IBDPSC, IBDPSCScorer

GUARDING = "ibd-psc"
# What calibrated networks call the network behind their normalisation.
BEHIND = "network."
PIXELS, NORMALISED = "images in [0, 1]", "normalised images"


class GuardedNetwork(nn.Module):
    """A network that answers with logits, and with a flag for each image; ``guard`` makes it.

    Its parameters are the network's own. Gradients are recorded unless the caller turns that off.

    Args:
        scorer: of IBD-PSC, on the network.
        threshold: an image with a higher score is flagged.
        example: images (2, C, H, W) that it takes.
        about: what was calibrated, by name, for whoever finds the network exported.

    Attributes:
        threshold: as given.
        example: as given.
        about: as given.
        how: how the forward passes are shared, for the report.
    """

    example: Tensor
    weights: Tensor

    def __init__(
        self, scorer: IBDPSCScorer, threshold: float, example: Tensor, about: Mapping[str, str]
    ) -> None:
        super().__init__()
        self.amplified = cast(nn.Module, scorer.amplified)
        self.how = scorer.how
        self.threshold = threshold
        self.about = dict(about)
        self._score = scorer.score
        # Not persistent: the state dict is the network's own under a prefix.
        self.register_buffer("weights", scorer.weights, persistent=False)
        self.register_buffer("example", example, persistent=False)
        self.training = False

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, K) of the unchanged network and flags (N,) bool for images (N, C, H, W)."""
        screened = self.screen(images)
        return screened.logits, screened.flagged

    def screen(self, images: Tensor) -> Screened:
        """The same with the scores (N,) float32, for images (N, C, H, W) as the network has them.

        All images are one batch: the last layers run on about 1 + n / 2 times as many.
        """
        scorer = IBDPSCScorer(cast(AmplifiedNetwork, self.amplified), self.weights, self._score)
        logits, scores = scorer.scored(images)
        return Screened(logits, scores, scores > self.threshold)


def guard(
    model: nn.Module, calibration: CalibrationFile, *, normalise: bool = False
) -> GuardedNetwork:
    """Wrap a network so that one forward pass gives logits and flags.

    The prefix of the network is computed once (``how`` says how much is shared). The network is
    left as it is: neither copied nor moved, and its parameters are shared. Only IBD-PSC guards;
    what other screeners in the calibration would flag is not flagged.

    Args:
        model: the calibrated network, in eval mode, on any device: ``suspect.network``, or your own
            with the same weights and names of layers, which may take images in [0, 1] or
            normalised ones; which of them is found out by its answers.
        calibration: as ``read_calibrations`` reads it.
        normalise: False to take the images that ``model`` takes; True to take images in [0, 1] in
            any case, and normalise them first if ``model`` does not.

    Raises:
        SettingError: if a part of the network is in training mode.
        CalibrationError: if the network is not the calibrated one, by its answers to two images.
        NotApplicableError: if IBD-PSC was not calibrated, or its layers have other names.
    """
    training = [name for name, module in model.named_modules() if module.training]
    if training:
        where = f" ({training[0]})" if training[0] else ""
        raise SettingError(f"the network{where} is in training mode; call model.eval() first")
    chosen = _chosen(calibration)
    entry = _entry(model, calibration.prepared, normalise=normalise)
    screener = cast(IBDPSC, screener_of(chosen))
    names = _names(model, chosen.fit["layers"])
    fit = {**chosen.fit, "layers": [entry.prefix + name for name in names]}
    with torch.no_grad():
        scorer = screener.scorer(entry.network, fit, entry.example)
    about = _about(calibration, chosen, entry.takes)
    return GuardedNetwork(scorer, chosen.threshold, entry.example, about)


@dataclass(frozen=True)
class _Entry:
    """Where images go in.

    Args:
        network: takes them.
        prefix: of the user's network in the names of its layers.
        takes: what kind of images.
        example: such images (2, C, H, W).
    """

    network: nn.Module
    prefix: str
    takes: str
    example: Tensor


def _chosen(calibration: CalibrationFile) -> Calibration:
    for each in calibration.calibrations:
        if each.method == GUARDING:
            return each
    methods = ", ".join(each.method for each in calibration.calibrations)
    raise NotApplicableError(
        f"only {GUARDING} shares its passes with the prediction, and the calibration is of "
        f"{methods}; calibrate {GUARDING}, or use backaudit.FittedScreener with this one."
    )


@torch.no_grad()
def _entry(model: nn.Module, prepared: Prepared, *, normalise: bool) -> _Entry:
    parameter = next(model.parameters())
    pixels = as_input(fixed_images(prepared.image_shape), parameter.device).to(parameter.dtype)
    pixels = pixels.contiguous()
    mean, std = prepared.preprocessing.mean, prepared.preprocessing.std
    before = Normalised(nn.Identity(), mean, std).to(pixels).eval()
    normalised = before(pixels)
    if _answers(model, pixels, prepared):
        return _Entry(model, "", PIXELS, pixels)
    if not _answers(model, normalised, prepared):
        raise CalibrationError(
            f"the network does not answer as the calibrated one, {prepared.architecture}: it has "
            "other weights, or ends in a softmax, which the calibrated one does not. Guard the "
            "network that was calibrated, or calibrate this one."
        )
    if not normalise:
        return _Entry(model, "", NORMALISED, normalised)
    before.network = model
    return _Entry(before, BEHIND, PIXELS, pixels)


def _answers(model: nn.Module, images: Tensor, prepared: Prepared) -> bool:
    try:
        return prepared.is_answered(model(images))
    except RuntimeError as error:
        raise CalibrationError(
            f"the network does not take images of {tuple(images.shape[1:])}, as the calibrated "
            f"one, {prepared.architecture}, does: {error}"
        ) from error


def _names(model: nn.Module, layers: list[str]) -> list[str]:
    """What the network calls the calibrated layers.

    A user's own network has no normalisation around it that their names could begin with.
    """
    known = dict(model.named_modules())
    bare = [name.removeprefix(BEHIND) for name in layers]
    for names in (layers, bare):
        if all(name in known for name in names):
            return names
    missing = next(name for name in bare if name not in known)
    raise NotApplicableError(
        f"the network has no layer {missing!r}, which was calibrated: its parts have other names. "
        "Guard suspect.network, as load makes it."
    )


def _about(calibration: CalibrationFile, chosen: Calibration, takes: str) -> dict[str, str]:
    prepared = calibration.prepared
    preprocessing = prepared.preprocessing
    return {
        "backaudit": own_version(),
        "method": chosen.method,
        "threshold": repr(chosen.threshold),
        "false_flag_rate": json.dumps(chosen.false_flag_rate),
        "calibration_digest": digest_of(calibration),
        "checkpoint_sha256": prepared.sha256,
        "architecture": prepared.architecture,
        "class_names": json.dumps(prepared.class_names),
        "takes": takes,
        "image_shape": json.dumps(prepared.image_shape),
        "mean": json.dumps(preprocessing.mean),
        "std": json.dumps(preprocessing.std),
    }
