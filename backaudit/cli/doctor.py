"""backaudit doctor: what is installed, where it can compute, what is missing."""

import platform
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from backaudit.cli.exits import ExitCode
from backaudit.cli.options import DoctorOptions
from backaudit.cli.outputs import print_page
from backaudit.core.printable import printable
from backaudit.core.version import own_version
from backaudit.nets.torchvision_models import torchvision_models

OLDEST_TORCH = (2, 10)
NEEDED = ("torchvision", "numpy", "pillow", "safetensors", "onnx", "typer", "rich")
BF16 = ("avx512_bf16", "amx_bf16", "bf16")
MIB = 1024**2


@dataclass(frozen=True)
class Check:
    """One line of the examination.

    Args:
        name: what was looked at.
        found: what it is.
        advice: what to do; empty if it is in order.
        fatal: whether backaudit cannot work like that.
    """

    name: str
    found: str
    advice: str = ""
    fatal: bool = False


def run(options: DoctorOptions) -> ExitCode:
    """Examine this installation."""
    del options
    checks = examine()
    print_page(_table(checks))
    broken = any(check.fatal for check in checks)
    return ExitCode.NOT_AUDITED if broken else ExitCode.NO_EVIDENCE


def examine() -> list[Check]:
    """Look at versions and devices."""
    return [
        Check("backaudit", own_version()),
        Check("python", f"{platform.python_version()} on {platform.platform(terse=True)}"),
        _torch(),
        *(_package(name) for name in NEEDED),
        _timm(),
        _networks(),
        _cpu(),
        _cuda(),
        _mps(),
    ]


def _torch() -> Check:
    numbers = tuple(int(part) for part in torch.__version__.split(".")[:2])
    if numbers >= OLDEST_TORCH:
        return Check("torch", torch.__version__)
    oldest = ".".join(map(str, OLDEST_TORCH))
    advice = f"Older than {oldest}, which reads hostile files less safely. Install torch>={oldest}."
    return Check("torch", torch.__version__, advice, fatal=True)


def _package(name: str) -> Check:
    try:
        return Check(name, version(name))
    except PackageNotFoundError:
        return Check(name, "missing", f"pip install {name}", fatal=True)


def _timm() -> Check:
    try:
        return Check("timm", version("timm"))
    except PackageNotFoundError:
        return Check("timm", "none; needed for networks of timm alone")


def _networks() -> Check:
    name = "torchvision's networks"
    try:
        import_module("torchvision")
    except ImportError as error:
        return Check(name, "missing", f"{printable(error)}. pip install torchvision", fatal=True)
    except RuntimeError as error:
        torchvision_models()
        advice = f"Built for another torch ({printable(error)}). No need to act: the networks work."
        return Check(name, "import, with a stand-in for its compiled operators", advice)
    return Check(name, "import")


def _cpu() -> Check:
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    bf16 = any(capabilities.get(name) for name in BF16)
    return Check("cpu", f"{torch.get_num_threads()} threads, bf16 {'fast' if bf16 else 'slow'}")


def _cuda() -> Check:
    if torch.cuda.is_available():
        return Check("cuda", "; ".join(map(_cuda_device, range(torch.cuda.device_count()))))
    if not Path("/dev/nvidia0").exists():
        return Check("cuda", "none")
    if torch.version.cuda is None:
        advice = "This torch is built for the CPU alone. Install a CUDA build of torch."
    else:
        advice = f"The driver may be too old for CUDA {torch.version.cuda}; `nvidia-smi` tells."
    return Check("cuda", "there is a device that torch cannot use", advice)


def _cuda_device(index: int) -> str:
    device = torch.cuda.get_device_properties(index)
    bf16 = "" if torch.cuda.is_bf16_supported() else ", no bf16"
    return f"cuda:{index} {printable(device.name)}, {device.total_memory // MIB} MiB{bf16}"


def _mps() -> Check:
    return Check("mps", "available" if torch.backends.mps.is_available() else "none")


def _table(checks: list[Check]) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    for check in checks:
        found = Text(check.found)
        if check.advice:
            found.append(f"\n{check.advice}", "red" if check.fatal else "yellow")
        table.add_row(Text(check.name, "bold"), found)
    fatal = sum(check.fatal for check in checks)
    verdict = f"\n{fatal} of these must be mended first." if fatal else "\nReady to scan."
    table.add_row(Text(), Text(verdict, "bold"))
    return table
