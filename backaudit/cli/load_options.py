"""What is stated about a model and its clean images, as options say it."""

from pathlib import Path

from backaudit.cli.device import choose_device
from backaudit.cli.limits import limits_of
from backaudit.cli.messages import say
from backaudit.cli.options import ScanOptions
from backaudit.cli.purify.options import PurifyOptions
from backaudit.cli.screen.options import ScreenOptions
from backaudit.core.errors import SettingError
from backaudit.core.settings import parse_value
from backaudit.loading.load import LoadOptions


def load_options_of(options: ScanOptions | ScreenOptions | PurifyOptions) -> LoadOptions:
    """Read what a command's options state about the model and the clean images.

    Raises:
        SettingError: if one of them cannot be read, or there is no such device.
    """
    device, warning = choose_device(options.device)
    if warning and not options.quiet:
        say(warning)
    return LoadOptions(
        arch=options.arch,
        model_def=options.model_def,
        classes=options.classes,
        size=_size(options.size),
        mean=_numbers("--mean", options.mean),
        std=_numbers("--std", options.std),
        device=str(device),
        max_images=options.max_images,
        limits=limits_of(options.max_gib),
    )


def files_read(options: ScanOptions | ScreenOptions | PurifyOptions) -> list[Path]:
    """Files and folders that loading reads; nothing may be written over them."""
    code = Path(options.model_def.rpartition(":")[0]) if options.model_def else None
    return [path for path in (options.model, options.clean, options.classes, code) if path]


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    height, _, width = text.lower().partition("x")
    if not (height.isdecimal() and (width or height).isdecimal() and int(height) > 0):
        raise SettingError(f"--size {text}: give pixels, as 32 or 224x192 (height x width)")
    return int(height), int(width or height)


def _numbers(name: str, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    numbers: tuple[float, ...] = parse_value(name, text, tuple[float, ...])
    return numbers
