from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch

from backaudit.bench.data.datasets import Dataset
from backaudit.bench.trials import trial
from backaudit.bench.trials.auditor import CleanSample
from backaudit.bench.trials.trial import Opened
from backaudit.core.clean_set import CleanSet
from backaudit.core.errors import (
    CheckpointError,
    NotApplicableError,
    SettingError,
    SuspectModifiedError,
)
from backaudit.core.suspect import Suspect
from backaudit.loading.load import LoadOptions
from backaudit.nets.layers import batch_norms
from tests.bench.conftest import Handed
from tests.bench.zoos import subject


@pytest.fixture
def opened(data: Dataset) -> Opened:
    return Opened(subject(data, CleanSample(60)), LoadOptions())


def raising(error: Exception) -> Any:
    def make(_: Suspect, __: CleanSet) -> tuple[Mapping[str, Any], float]:
        raise error

    return make


def test_a_model_is_loaded_once_for_all_attempts(opened: Opened, handed: Handed) -> None:
    for seconds in (1.5, 2.5):
        record = opened.attempt("fake", lambda *_, took=seconds: ({"kind": "made"}, took))
        assert (record["outcome"], record["seconds"]) == ({"kind": "made"}, seconds)
        assert record["truth"]["attack"] == "badnets"
        assert record["clean_set"]["images"] == 60
    assert len(handed) == 1


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (NotApplicableError("no such layer."), ("not-applicable", "reason", "no such layer.")),
        (RuntimeError("boom"), ("failed", "error", "RuntimeError: boom")),
    ],
)
@pytest.mark.usefixtures("handed")
def test_an_attempt_that_comes_to_nothing_is_a_result(
    opened: Opened, error: Exception, outcome: tuple[str, str, str]
) -> None:
    kind, what, said = outcome
    assert opened.attempt("fake", raising(error))["outcome"] == {"kind": kind, what: said}


@pytest.mark.parametrize("error", [SettingError("no"), SuspectModifiedError("changed")])
@pytest.mark.usefixtures("handed")
def test_what_would_spoil_other_trials_ends_them(opened: Opened, error: Exception) -> None:
    with pytest.raises(type(error)):
        opened.attempt("fake", raising(error))


@pytest.mark.usefixtures("handed")
def test_batch_norm_is_folded_away_where_that_is_wanted(opened: Opened) -> None:
    loaded = replace(opened, subject=replace(opened.subject, folded=True)).loaded
    assert isinstance(loaded, tuple)
    suspect, clean = loaded
    assert not batch_norms(suspect.network)
    assert isinstance(opened.loaded, tuple)
    usual = opened.loaded[0]
    assert batch_norms(usual.network)
    assert torch.allclose(suspect.logits(clean.images), usual.logits(clean.images), atol=1e-3)


@pytest.mark.parametrize("error", [CheckpointError("not recognised"), RuntimeError("no memory")])
def test_a_model_that_cannot_be_loaded_fails(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(trial, "hand_over", refuse)
    record = opened.attempt("fake", raising(AssertionError()))
    assert record["outcome"] == {"kind": "failed", "error": f"{type(error).__name__}: {error}"}
    assert record["architecture"] is None
