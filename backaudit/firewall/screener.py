"""A calibrated screener on one network: images in, logits, scores and flags out."""

import torch
from torch import Tensor, nn

from backaudit.core.errors import CalibrationError, InputError
from backaudit.core.restoring import restored
from backaudit.core.screening import Calibration, Screened
from backaudit.core.settings import did_you_mean
from backaudit.core.suspect import Suspect, as_input, fixed_images
from backaudit.screeners import SCREENERS
from backaudit.screeners.interface import Screener


class FittedScreener:
    """A calibrated screener on one network, as a callable.

    Args:
        network: images in [0, 1] -> logits, normalisation inside, in eval mode; left as it is.
        calibration: made for this network.
        example: images (N, C, H, W) at the network's size, uint8 or floats in [0, 1], N at least
            1, whose content does not matter.

    Attributes:
        calibration: as given.
        how: how the forward passes are shared, for the report.

    Raises:
        CalibrationError: if the calibration's method or settings are unknown.
        NotApplicableError: if the calibration does not belong to the network.
    """

    def __init__(self, network: nn.Module, calibration: Calibration, example: Tensor) -> None:
        self.calibration = calibration
        self._device = next(network.parameters()).device
        self._shape = example.shape[1:]
        screener = screener_of(calibration)
        self._scorer = screener.scorer(network, calibration.fit, as_input(example, self._device))
        self.how = self._scorer.how

    @classmethod
    def of(cls, suspect: Suspect, calibration: Calibration) -> "FittedScreener":
        """The screener of a calibration on a suspect; see the class for what it raises."""
        return cls(suspect.network, calibration, fixed_images(suspect.image_shape))

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Screened:
        """Screen images (N, C, H, W) at the network's size, uint8 or floats in [0, 1].

        Returns:
            Logits (N, K), scores (N,) float32 and flags (N,) bool, all on the network's device.

        Raises:
            InputError: if there is no image, or they are of another size or range.
        """
        self._require_usable(images)
        logits, scores = self._scorer(as_input(images, self._device))
        return Screened(logits, scores, scores > self.calibration.threshold)

    def _require_usable(self, images: Tensor) -> None:
        if images.shape[1:] != self._shape or not len(images):
            wanted, given = (" x ".join(map(str, each)) for each in (self._shape, images.shape))
            raise InputError(f"images must be N x {wanted} with N at least 1, and are {given}.")
        if images.dtype == torch.uint8:
            return
        if not images.is_floating_point() or not bool(((images >= 0) & (images <= 1)).all()):
            raise InputError(
                "images must be uint8 or floats in [0, 1], not normalised: the network does that."
            )


def screener_of(calibration: Calibration) -> Screener:
    """Make the method with the settings that a calibration was made with.

    Raises:
        CalibrationError: if there is no such method, or it has no such settings.
    """
    method = SCREENERS.get(calibration.method)
    if method is None:
        near = did_you_mean(calibration.method, SCREENERS)
        raise CalibrationError(f"there is no screener {calibration.method!r}. {near}")
    try:
        return restored(method, calibration.settings, calibration.method)
    except ValueError as error:
        raise CalibrationError(
            f"the calibration's settings are unusable: {error}; calibrate again."
        ) from error
