from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path

import pytest

from backaudit.core import version
from backaudit.core.version import own_version


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    own_version.cache_clear()
    yield
    own_version.cache_clear()


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout that is not installed."""

    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(version, "version", missing)


def test_what_is_installed_counts() -> None:
    assert own_version() == installed("backaudit")


@pytest.mark.usefixtures("bare")
def test_a_bare_checkout_has_the_version_of_its_project(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "9.8.7"\n')
    monkeypatch.setattr(version, "PROJECT", tmp_path / "pyproject.toml")
    assert own_version() == "9.8.7"


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("text", [None, "[project", "[other]"])
def test_without_a_project_the_version_is_not_known(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | None
) -> None:
    if text is not None:
        (tmp_path / "pyproject.toml").write_text(text)
    monkeypatch.setattr(version, "PROJECT", tmp_path / "pyproject.toml")
    assert own_version() == "0+unknown"
