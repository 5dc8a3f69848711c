from backaudit.bench.tables.captions import (
    images_text,
    machines_text,
    range_text,
    reasons,
    settings_text,
)
from backaudit.bench.trials.auditor import CleanSample
from backaudit.screeners import IBDPSC
from tests.bench.made import result


def test_settings_are_named_where_they_are_not_the_usual_ones() -> None:
    assert settings_text(IBDPSC()) == "default settings"
    assert settings_text(IBDPSC(scale=1.2)) == "scale 1.2 (usually 1.5)"


def test_the_images_of_an_auditor_in_words() -> None:
    assert images_text(CleanSample()) == "200 labelled clean images"
    sample = CleanSample(50, labelled=False, imbalanced=True)
    assert images_text(sample) == "50 unlabelled long-tailed clean images"


def test_a_range_of_counts_in_words() -> None:
    assert range_text([1000, 20, 300]) == "20 to 1,000"
    assert range_text([1200, 1200]) == "1,200"
    assert range_text([]) == "0"


def test_each_machine_is_named_once() -> None:
    here, there = {"device": "cpu", "threads": 1}, {"device": "cuda:0", "threads": 8}
    assert machines_text([there, here, here]) == "cpu, 1 thread; cuda:0, 8 threads"
    assert machines_text([]) == "no machine yet"


def test_each_method_and_reason_is_counted_once() -> None:
    silent = [result("a", None), result("b", None), result("a", None, method="mm-bd")]
    silent[2]["outcome"] = {"kind": "evidence"}
    assert list(reasons(silent, "Not read", "no threshold")) == [
        "Not read: ban, 2 results: no such layer.",
        "Not read: mm-bd, 1 result: no threshold.",
    ]
