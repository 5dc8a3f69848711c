"""What a screening found, in sentences for a reader who never read the papers."""

from collections.abc import Iterator

from backaudit.core.printable import counted, printable
from backaudit.core.screening import Calibration
from backaudit.reports.screening.report import ClassFlags, FlagTest, Screening
from backaudit.reports.wording import between, class_label, number, percent

# Smaller shares of the flags in one class are nothing to point out.
CONCENTRATED = 0.5
EXCESS = 0.01


def title(screening: Screening) -> str:
    """The result in four words."""
    test = screening.test
    if not test.images:
        return "Nothing screened"
    return f"{test.flagged:,} of {test.images:,} flagged"


def headline(screening: Screening) -> str:
    """The result in one or two sentences."""
    test = screening.test
    if not test.images:
        return "No image was screened."
    if not test.flagged:
        return (
            f"None of {counted(test.images, 'image')} was flagged. That proves none of them clean."
        )
    return f"{test.flagged:,} of {counted(test.images, 'image')} flagged; {expected(screening)}."


def expected(screening: Screening) -> str:
    """What clean images lead one to expect."""
    test = screening.test
    said = f"{_few(test.expected)} expected if all were clean (p {_probability(test.p_value)})"
    if not test.untested_images:
        return said
    tested, flagged = _tested(test)
    if not tested:
        return "0 of these images can be tested"
    return f"{flagged:,} of the {tested:,} that can be tested, with {said}"


def meaning(screening: Screening) -> str:
    """What the result says about the images together, and how many are not part of it."""
    said = (_explanation(screening), _untested(screening.test))
    return " ".join(filter(None, (*said, _missed(screening.counts.unreadable))))


def _explanation(screening: Screening) -> str:
    test = screening.test
    if not test.flagged:
        return ""
    said = _verdict(test)
    most = max(screening.per_class, key=lambda each: each.flagged)
    if most.flagged < CONCENTRATED * test.flagged or test.flagged == 1:
        return said
    label = class_label(screening.suspect, most.label)
    # A class of which clean images are flagged, too, explains many flags where it is frequent.
    clean = ""
    if most.clean_images:
        rate = f"{most.clean_flagged:,} of {most.clean_images:,}"
        clean = f"; flagged of clean images predicted so: {rate}"
    return f"{said} {most.flagged:,} flagged images are predicted as {label}{clean}.".lstrip()


def _verdict(test: FlagTest) -> str:
    _, flagged = _tested(test)
    same = "Clean images predicted as the same classes"
    if test.p_value < EXCESS:
        return f"{same} do not explain that many."
    could = f"{same} could explain that many. " if flagged else ""
    # Either the mix of classes is another, or triggered images have made it so.
    mixed = ""
    if test.mix_p_value < EXCESS:
        share = f"{_few(test.images * test.rate)} expected (p {_probability(test.mix_p_value)})"
        mixed = f"Clean images of the calibration's mix of classes do not explain them: {share}."
    return f"{could}{mixed}".strip()


def _tested(test: FlagTest) -> tuple[int, int]:
    """Images of classes that held-out ones are predicted as, and how many of them are flagged."""
    return test.images - test.untested_images, test.flagged - test.untested_flagged


def _untested(test: FlagTest) -> str:
    if not (test.flagged and test.untested_images):
        return ""
    images = counted(test.untested_images, "image")
    verb = "is" if test.untested_images == 1 else "are"
    return (
        f"Not tested: {images} ({test.untested_flagged:,} flagged) that {verb} predicted as a "
        "class that no held-out clean image is predicted as."
    )


def _missed(unreadable: int) -> str:
    if not unreadable:
        return ""
    return f"{counted(unreadable, 'input')} could not be read; nothing is known of what they hold."


def urgency(screening: Screening) -> str:
    """``alarm``, ``doubt`` or ``calm``: what a reader should feel at first sight."""
    test = screening.test
    if test.flagged and test.p_value < EXCESS:
        return "alarm"
    return "doubt" if test.flagged or screening.counts.unreadable else "calm"


def threshold(calibration: Calibration, test: FlagTest) -> str:
    """Where a threshold comes from, and what it does to clean images."""
    source = "the method's own"
    if calibration.threshold_source != "method":
        rate = percent(calibration.false_flag_rate or 0)
        source = f"set for at most {rate} of clean images of the calibration's mix of classes"
    return (
        f"threshold {number(calibration.threshold)}, {source}; flags {percent(test.rate)} of clean "
        f"images ({between(*test.interval)}; {test.basis})"
    )


def collapse(screening: Screening) -> Iterator[str]:
    """To which class the amplified network sends clean images, for methods that amplify."""
    for calibration in screening.calibrations:
        label, share = (calibration.fit.get(f"collapse_{key}") for key in ("class", "share"))
        if isinstance(label, int):
            of = f" ({percent(share)} of clean images)" if isinstance(share, float) else ""
            yield (
                f"{calibration.method}: amplified, the network answers mostly "
                f"{class_label(screening.suspect, label)}{of}: a backdoor would lead there, and "
                "clean images of that class are flagged by mistake more easily."
            )


def inputs(screening: Screening) -> Iterator[str]:
    """What was screened, and what was not."""
    counts, (_, height, width) = screening.counts, screening.suspect.image_shape
    source = printable(screening.source, 120)
    yield f"{counted(screening.test.images, 'image')} screened, from {source} ({screening.kind})"
    if counts.resized:
        yield f"{counts.resized:,} of another size brought to {height}x{width}"
    if counts.left_out:
        yield f"{counted(counts.left_out, 'file')} left out: no pictures by their name"
    if counts.copied:
        yield f"{counted(counts.copied, 'flagged picture')} copied"


def unreadable(screening: Screening, most: int) -> Iterator[str]:
    """Which inputs could not be read, and why; of many only the first."""
    counts = screening.counts
    for path, reason in counts.unreadable_named[:most]:
        yield f"{printable(short_path(screening, path), 80)}: {printable(reason, 120)}"
    more = counts.unreadable - min(most, len(counts.unreadable_named))
    if more > 0:
        yield f"and {more:,} more; `-o jsonl` names all"


def speed(screening: Screening) -> str:
    """How fast it went."""
    rate = screening.images_per_second
    told = f", {counted(round(rate), 'image')} a second" if rate else ""
    return f"{counted(screening.test.images, 'image')} in {screening.seconds:.1f} s{told}"


def passes(screening: Screening) -> Iterator[str]:
    """How the forward passes are shared."""
    for name, how in screening.hows.items():
        yield f"{name}: {printable(how, 200)}"


def short_path(screening: Screening, path: str) -> str:
    """A path without the folder that the report names once."""
    source = screening.source
    inside = {"folder": f"{source.rstrip('/')}/", "npz": source[: source.rfind("/") + 1]}
    return path.removeprefix(inside.get(screening.kind, ""))


def flagged_classes(screening: Screening) -> list[ClassFlags]:
    """Predicted classes of flagged images, the most frequent first."""
    flagged = [each for each in screening.per_class if each.flagged]
    return sorted(flagged, key=lambda each: (-each.flagged, each.label))


def share(flags: ClassFlags) -> str:
    """Flags of a predicted class, beside those of clean images."""
    clean = ""
    if flags.clean_images:
        clean = f"; clean images: {flags.clean_flagged:,} of {flags.clean_images:,}"
    return f"{flags.flagged:,} of {flags.images:,}{clean}"


def _few(expected: float) -> str:
    return f"{expected:,.0f}" if expected >= 10 else f"{expected:.1f}"


def _probability(value: float) -> str:
    return f"= {value:.2g}" if value >= 1e-4 else "< 0.0001"
