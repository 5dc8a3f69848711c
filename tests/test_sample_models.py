"""The sample models are what their cards say, and scan gives each its right verdict."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from backaudit import DETECTORS, Verdict, load, scan
from backaudit.attacks import ATTACKS, TrainingSet
from backaudit.nets.metrics import attack_success_rate

SAMPLES = Path(__file__).parents[1] / "sample_models"
CARDS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text()) for path in sorted(SAMPLES.glob("*.json"))
}
MODEL_LEVEL = [make for make in DETECTORS.values() if make.rule.id.startswith("BA1")]


@pytest.mark.parametrize("name", CARDS)
def test_the_file_is_the_one_on_the_card_and_small(name: str) -> None:
    content = (SAMPLES / CARDS[name]["file"]).read_bytes()
    assert hashlib.sha256(content).hexdigest() == CARDS[name]["sha256"]
    assert len(content) < 1_000_000


@pytest.mark.parametrize("name", CARDS)
def test_the_model_does_what_the_card_says(name: str) -> None:
    card = CARDS[name]
    suspect, clean = load(SAMPLES / card["file"], SAMPLES / "clean")
    assert clean.accuracy == pytest.approx(card["clean_accuracy"], abs=0.03)
    recipe = card["recipe"]
    if recipe["attack"] is None:
        return
    attack = ATTACKS[recipe["attack"]](**recipe["attack_settings"])
    known = TrainingSet(clean.images, clean.labels, suspect.num_classes)
    learned = attack.learn(known, None, torch.Generator().manual_seed(recipe["seed"]))
    predictions = suspect.logits(attack.stamp(clean.images, learned)).argmax(1)
    measured = attack_success_rate(predictions, clean.labels, card["target_class"])
    assert card["attack_success_rate"] > 0.9
    assert measured == pytest.approx(card["attack_success_rate"], abs=0.05)


def test_there_is_a_benign_one_and_three_backdoored() -> None:
    attacks = [card["recipe"]["attack"] for card in CARDS.values()]
    assert sorted(attacks, key=str) == [None, "badnets", "blend", "wanet"]


def test_the_triggered_images_go_to_the_target() -> None:
    for name, card in CARDS.items():
        if card["recipe"]["attack"] is not None:
            suspect, _ = load(SAMPLES / card["file"], SAMPLES / "clean")
            images = _pictures(SAMPLES / "triggered" / name)
            hits = suspect.logits(images).argmax(1) == card["target_class"]
            assert hits.double().mean() > 0.8


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", CARDS)
def test_scan_gives_the_right_verdict(name: str, seed: int) -> None:
    card = CARDS[name]
    suspect, clean = load(SAMPLES / card["file"], SAMPLES / "clean")
    judgement = scan(suspect, clean, [make() for make in MODEL_LEVEL], seed=seed).judgement
    if card["recipe"]["attack"] is None:
        assert judgement.verdict is Verdict.NO_EVIDENCE
    else:
        assert judgement.verdict is Verdict.BACKDOORED
        assert judgement.target_classes == (card["target_class"],)


def _pictures(folder: Path) -> torch.Tensor:
    pixels = [np.asarray(Image.open(file)) for file in sorted(folder.iterdir())]
    return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)
