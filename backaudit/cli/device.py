"""Where to compute."""

from pathlib import Path

import torch

from backaudit.core.errors import SettingError

FORMS = "auto, cpu, cuda, cuda:N or mps"


def choose_device(name: str) -> tuple[torch.device, str]:
    """Turn an option into a device that works, and say what the user should know about it.

    Raises:
        SettingError: if the device does not exist or cannot be used.
    """
    if name == "auto":
        return _automatic()
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (index and not (kind == "cuda" and index.isdecimal())):
        raise SettingError(f"there is no device {name!r}; use {FORMS}")
    if kind == "cuda":
        _check_cuda(name, int(index or 0))
    if kind == "mps" and not torch.backends.mps.is_available():
        raise SettingError("--device mps: torch cannot use MPS here; use --device cpu")
    return torch.device(name), ""


def _automatic() -> tuple[torch.device, str]:
    if torch.cuda.is_available():
        return torch.device("cuda:0"), ""
    if Path("/dev/nvidia0").exists():
        return torch.device("cpu"), (
            "note: this machine has an NVIDIA device that torch cannot use, so the CPU computes; "
            "`backaudit doctor` says more"
        )
    return torch.device("cpu"), ""


def _check_cuda(name: str, index: int) -> None:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if index >= count:
        found = f"{count} CUDA devices" if count else "no CUDA device"
        raise SettingError(
            f"--device {name}: torch {torch.__version__} finds {found}; use --device cpu, or run "
            "`backaudit doctor` to see what is missing"
        )
