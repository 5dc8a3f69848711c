import json
from pathlib import Path

from tests.cli.screen.conftest import Call

ONLY = ("--screeners", "joint")


def test_a_calibration_on_file_screens_as_the_one_that_was_just_made(call: Call) -> None:
    made = ("--clean", "clean", "--set", "joint.overlays=6", "--calibrate", "c.json")
    first = call("mixed", *ONLY, *made, "-o", "jsonl", "--fail-on", "never")
    assert first.exit_code == 0, first.output
    again = call("mixed", *ONLY, "--calibration", "c.json", "-o", "jsonl", "--fail-on", "never")
    assert again.exit_code == 0, again.output
    assert again.stdout == first.stdout
    assert {json.loads(line)["path"] for line in first.stdout.splitlines()} == {
        "mixed/evil.png",
        "mixed/fine.png",
    }
    (written,) = json.loads(Path("c.json").read_text())["calibrations"]
    assert written["settings"] == {"overlays": 6, "seed": 0, "threshold": None}
    assert (written["threshold_source"], written["false_flag_rate"]) == ("false-flag-rate", 0.05)
    # Of 120 clean images 60 are held out, 30 ranked among, and 6 of the other 30 are overlays.
    assert len(written["clean_scores"]) == 60
    assert {name: len(each) for name, each in written["fit"]["references"].items()} == {
        "ibd-psc": 30,
        "strip": 30,
    }


def test_its_page_says_what_a_reader_of_ibd_psc_is_told(call: Call) -> None:
    page = " ".join(call("dark", *ONLY, "--clean", "clean", "--fail-on", "never").stdout.split())
    assert "joint: threshold" in page
    assert "set for at most 5.0% of clean images" in page
    assert "joint: amplified, the network answers mostly" in page
    assert "30 plain forward passes per image, one an overlay; one pass for all depths" in page


def test_it_is_not_exported(call: Call) -> None:
    result = call(*ONLY, "--clean", "clean", "--export", "g.pt2")
    assert result.exit_code == 3
    said = " ".join(result.stderr.split())
    assert "only ibd-psc shares its passes with the prediction, and the calibration is of" in said
    assert "joint; calibrate ibd-psc" in said
    assert not Path("g.pt2").exists()
