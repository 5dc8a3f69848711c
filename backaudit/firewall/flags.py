"""How many images were flagged, and what is to be said of that number."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ClassFlags:
    """Flags among the images of one predicted class.

    Args:
        label: the predicted class.
        images: how many were predicted as it.
        flagged: of these.
        clean_images: how many held-out clean images were.
        clean_flagged: of these.
    """

    label: int
    images: int
    flagged: int
    clean_images: int
    clean_flagged: int


@dataclass(frozen=True)
class FlagTest:
    """Flags found, against those expected if all images were clean.

    Args:
        images: that were screened.
        flagged: of these.
        expected: number of flags expected if all were clean, without those of classes that are
            not tested.
        rate: share of clean images that is flagged, of the calibration's mix of classes, in [0, 1].
        interval: 95 % interval of that share.
        p_value: how often at least as many flags come from clean images that are predicted as the
            same classes; 1 without images.
        mix_p_value: how often they come from clean images of the calibration's mix of classes. Low
            for clean images of another mix as well; sharper where the mix is known to be the same.
        basis: where the rate comes from, as half a sentence.
        untested_images: of ``images``, those predicted as a class that no held-out clean image is
            predicted as. Nothing is known of clean ones there: they are in neither ``expected`` nor
            ``p_value``, only in ``mix_p_value``.
        untested_flagged: of these.
    """

    images: int
    flagged: int
    expected: float
    rate: float
    interval: tuple[float, float]
    p_value: float
    mix_p_value: float
    basis: str
    untested_images: int = 0
    untested_flagged: int = 0
