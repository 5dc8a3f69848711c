import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from backaudit.core.evidence import FileFinding
from backaudit.files.contents import Survey
from backaudit.files.rules import UNSAFE_FILE
from backaudit.loading.inspection.inspection import Inspection
from backaudit.loading.inspection.outlook import Architecture, Certainty
from backaudit.reports.inspection import page, render, result
from tests import surveys
from tests.surveys import DANGEROUS, HARMLESS, UNKNOWN, inspection, survey, weights

ALL = {
    "unsafe": surveys.unsafe(),
    "unknown-code": surveys.unknown(),
    "nothing-unsafe": surveys.honest(),
    "unreadable": surveys.unreadable(),
}


def shown(of: Survey, **outlook: Any) -> str:
    return " ".join(render(inspection(of, **outlook), 0).split())


@pytest.mark.parametrize("expected", ALL)
def test_the_result_is_the_worst_that_was_found(expected: str) -> None:
    assert result(ALL[expected]) == expected


def test_a_file_that_is_unsafe_and_damaged_is_unsafe() -> None:
    contents = replace(surveys.unsafe().contents, problem="is damaged")
    assert result(replace(surveys.unsafe(), contents=contents)) == "unsafe"


@pytest.mark.parametrize("of", ALL.values(), ids=ALL)
@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_the_page_fits_its_width_and_one_screen(of: Survey, width: int) -> None:
    text = io.StringIO()
    Console(file=text, width=width, color_system=None).print(page(inspection(of), 0))
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) <= (40 if width >= 80 else 60)


def test_the_important_thing_comes_first() -> None:
    lines = render(inspection(surveys.unsafe()), 1).splitlines()
    assert "UNSAFE FILE" in lines[0]
    assert "would run code" in lines[1]
    assert lines[4].startswith("BA001")
    assert "exit code 1" in lines[-1]


def test_a_dangerous_name_is_told_with_what_it_does_and_where() -> None:
    text = shown(surveys.unsafe())
    place = "GLOBAL at 14 in archive/data.pkl, called by REDUCE at 41"
    assert f"BA001 posix.system runs a shell command; {place}" in text
    assert "Do not load it" in text
    assert "backaudit scan" not in text


def test_of_many_names_the_first_are_listed_and_of_the_dangerous_more() -> None:
    dangerous = [replace(DANGEROUS, name=f"d{index}") for index in range(30)]
    unknown = [replace(UNKNOWN, name=f"u{index}") for index in range(20)]
    harmless = [replace(HARMLESS, name=f"h{index}") for index in range(20)]
    found = (FileFinding(UNSAFE_FILE, "It would run code.", unsafe=True),)
    text = shown(survey(weights(), *unknown, *harmless, *dangerous, findings=found))
    assert all((f"posix.d{index} " in text) is (index < 25) for index in range(30))
    assert "torchvision.models.resnet.u7 " in text
    assert "torchvision.models.resnet.u8 " not in text
    assert "and 12 more; `-o json` has all." in text
    assert "torch._utils.h11 and 8 more" in text


def test_uses_of_one_name_are_counted_together() -> None:
    assert "BA003 harmless torch._utils._rebuild_tensor_v2 \u00d72" in shown(surveys.honest())


@pytest.mark.parametrize(
    "part",
    [
        "torch zip archive, dictionary of state_dict, epoch",
        "3f2a" * 16,
        "44.7 MiB (46,830,571 bytes)",
        "resnet18-cifar(width=64): an exact fit of all names and shapes",
        "The same tensors fit blurnet18 too.",
        "8 tensors, 322 parameters, 1.3 KiB of float32, int64",
        "under 'state_dict', each name without 'module.'",
        "Normalisation 1 batch norm layer ",
        "Classes 10: plane, car ",
        "32x32 pixels; mean 0.4914 0.4822 0.4465, deviation 0.247 0.2435 0.2616",
        "epoch 200",
        "Strides were taken as usual.",
        "backaudit scan models/candidate.pt --clean FOLDER",
    ],
)
def test_the_page_tells_what_is_known(part: str) -> None:
    assert part in shown(surveys.honest())


def test_what_is_not_known_is_left_out_or_said_to_be() -> None:
    nothing = {"image_size": None, "mean": (), "std": (), "num_classes": None}
    text = shown(surveys.honest(), architecture=Architecture(), **nothing)
    assert "Network not known" in text
    for label in ("Classes", "Images"):
        assert label not in text


def test_the_nearest_network_is_no_claim() -> None:
    near = Architecture(Certainty.NEAREST, "resnet18", differs="3 of 9 tensors agree; missing: fc")
    text = shown(surveys.honest(), architecture=near)
    assert "not known; nearest is resnet18: 3 of 9 tensors agree; missing: fc" in text
    assert "Classes probably 10" in text


def test_a_graph_is_told_by_its_operators() -> None:
    graph = Architecture(Certainty.GRAPH)
    of = replace(
        inspection(surveys.honest(), architecture=graph), operators={"Conv": 20, "Relu": 17}
    )
    text = " ".join(render(of, 0).split())
    assert "Network as the graph in the file says" in text
    assert "Graph 37 nodes: Conv \u00d720, Relu \u00d717" in text


def test_what_was_told_before_the_damage_is_shown() -> None:
    damaged = survey(None, UNKNOWN, problem="is damaged or truncated: download it again")
    text = shown(damaged)
    assert "The file is damaged or truncated: download it again." in text
    assert "BA002 torchvision.models.resnet.ResNet" in text
    assert "Network" not in text


def test_an_archive_that_deceives_is_not_said_to_run_code() -> None:
    text = shown(surveys.deceptive())
    assert "Other programs would read other contents" in text
    assert "BA004 Two entries are named 'archive/data.pkl'." in text


def test_of_many_findings_the_first_are_shown() -> None:
    findings = [FileFinding(UNSAFE_FILE, f"Finding {index}.", unsafe=True) for index in range(9)]
    text = shown(survey(weights(), DANGEROUS, findings=tuple(findings)))
    assert "Finding 4." in text
    assert "Finding 5." not in text
    assert "and 4 more; `-o json` has all." in text


def test_metadata_is_bounded() -> None:
    of = survey(weights(), metadata={f"key{index}": "x" * 5000 for index in range(30)})
    text = render(inspection(of), 0)
    assert "key11" in text
    assert "key12" not in text
    assert "and 18 more" in text
    assert text.count("x" * 20) < 100


def test_metadata_within_metadata_is_told_entry_by_entry() -> None:
    text = shown(survey(weights(), metadata={"config": {"arch": "resnet18", "classes": 3}}))
    assert "config.arch resnet18" in text
    assert "config.classes 3" in text


def test_further_files_are_counted() -> None:
    contents = replace(surveys.honest().contents, files=(object(), object()))
    of = replace(surveys.honest(), contents=contents)
    assert "(46,830,571 bytes), in 2 files" in shown(of)
    assert "(46,830,571 bytes), with 2 files beside it" in shown(replace(of, format="onnx"))


@pytest.mark.parametrize(
    ("nbytes", "told"), [(0, "0 bytes"), (1, "1 byte"), (1023, "1,023 bytes"), (1024, "1.0 KiB")]
)
def test_small_sizes_are_told_once(nbytes: int, told: str) -> None:
    text = shown(replace(surveys.honest(), size=nbytes))
    assert f"Size {told} " in text


EVIL = "[red]x[/nope]\x1b[2J\u202e:smile:\r\n"


def hostile() -> Inspection:
    use = replace(DANGEROUS, module=EVIL, name=EVIL, member=EVIL, why=EVIL, opcode="EXT1")
    finding = FileFinding(UNSAFE_FILE, EVIL, unsafe=True)
    of = survey(
        {EVIL: 1}, use, replace(UNKNOWN, name=EVIL), replace(HARMLESS, name=EVIL),
        findings=(finding,), metadata={EVIL: EVIL}, notes=(EVIL,),
    )  # fmt: skip
    near = Architecture(Certainty.NEAREST, EVIL, (EVIL,), EVIL)
    told = {"architecture": near, "class_names": (EVIL,), "wrapper": (EVIL,), "prefix": EVIL}
    found = inspection(replace(of, format=EVIL), notes=(EVIL,), **told)
    return replace(found, operators={EVIL: 1})


def test_names_from_files_cannot_steer_the_terminal() -> None:
    text = render(hostile(), 1)
    assert "[red]x[/nope]" in text
    assert ":smile:" in text
    assert not {"\x1b", "\u202e", "\r"} & set(text)


def test_a_problem_cannot_steer_the_terminal_either() -> None:
    text = render(inspection(survey(problem=EVIL)), 3)
    assert not {"\x1b", "\u202e", "\r"} & set(text)
