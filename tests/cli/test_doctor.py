from importlib.metadata import PackageNotFoundError

import pytest
import torch
from typer.testing import CliRunner

from backaudit.cli import doctor
from backaudit.cli.app import app
from backaudit.cli.doctor import Check, examine


def named(name: str) -> Check:
    (check,) = [check for check in examine() if check.name == name]
    return check


def test_a_usable_installation_exits_with_0_and_names_versions_and_devices() -> None:
    result = CliRunner(env={"COLUMNS": "100"}).invoke(app, ["doctor"])
    assert result.exit_code == 0
    assert torch.__version__ in result.stdout
    assert "threads" in result.stdout
    assert "Ready to scan." in result.stdout


def test_a_missing_package_is_fatal_and_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "NEEDED", ("no-such-package",))
    assert named("no-such-package") == Check(
        "no-such-package", "missing", "pip install no-such-package", fatal=True
    )
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 3
    assert "must be mended" in result.stdout


def test_a_machine_without_timm_is_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(doctor, "version", missing)
    assert doctor._timm() == Check("timm", "none; needed for networks of timm alone")


def test_an_old_torch_is_fatal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "__version__", "2.9.1+cpu")
    check = named("torch")
    assert check.fatal
    assert "torch>=2.10" in check.advice


@pytest.mark.parametrize(
    ("built_for", "advice"), [(None, "Install a CUDA build"), ("13.0", "driver may be too old")]
)
def test_a_cuda_device_that_torch_cannot_use_is_said(
    monkeypatch: pytest.MonkeyPatch, built_for: str | None, advice: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", built_for)
    monkeypatch.setattr(doctor.Path, "exists", lambda path: True)
    assert advice in named("cuda").advice
    assert not named("cuda").fatal
