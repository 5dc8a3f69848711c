"""Toys in the place of what a benchmark would load."""

from dataclasses import replace
from pathlib import Path

import pytest

from backaudit.bench.data.datasets import Dataset
from backaudit.bench.trials import trial
from backaudit.bench.trials.auditor import CleanImages
from backaudit.core.clean_set import CleanSet
from backaudit.core.suspect import Suspect
from backaudit.loading.load import LoadOptions
from tests.bench.zoos import toy_data
from tests.conftest import ToyWorld

Handed = list[tuple[str, CleanImages, LoadOptions]]


@pytest.fixture
def handed(toy_world: ToyWorld, monkeypatch: pytest.MonkeyPatch) -> Handed:
    """Loading is faked, by the name of the file; what was handed over to an auditor."""
    calls: Handed = []

    def hand_over(path: Path, clean: CleanImages, options: LoadOptions) -> tuple[Suspect, CleanSet]:
        calls.append((path.stem, clean, options))
        suspect = toy_world.benign if "benign" in path.stem else toy_world.backdoored
        labels = suspect.logits(clean.images).argmax(1) if clean.labels is None else clean.labels
        return suspect, replace(toy_world.clean, images=clean.images, labels=labels)

    monkeypatch.setattr(trial, "hand_over", hand_over)
    return calls


@pytest.fixture(scope="module")
def data() -> Dataset:
    return toy_data()
