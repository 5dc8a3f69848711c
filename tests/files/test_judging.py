from typing import Any

import pytest

from backaudit.files.contents import Contents, GlobalUse, Level
from backaudit.files.judging import judged
from backaudit.files.limits import Limits
from backaudit.files.pickles.values import Inert, Reference
from backaudit.files.records import Storage, TensorRecord


def use(name: str, level: Level, *calls: tuple[str, int], **changed: Any) -> GlobalUse:
    module, _, last = name.rpartition(".")
    fields = {"opcode": "GLOBAL", "offset": 12, "member": "a/data.pkl", "why": "does things"}
    return GlobalUse(module=module, name=last, level=level, calls=calls, **(fields | changed))


def unknown(name: str, *calls: tuple[str, int], saved: object = None) -> Contents:
    return judged(Contents(saved, uses=(use(name, Level.UNKNOWN, *calls),)), Limits(), 100)


def told(*uses: GlobalUse) -> list[tuple[str, str, bool]]:
    found = judged(Contents(uses=uses), Limits(), 100).findings
    return [(finding.rule.id, finding.message, finding.unsafe) for finding in found]


def test_a_dangerous_name_is_told_with_its_place() -> None:
    assert told(use("os.system", Level.DANGEROUS, ("REDUCE", 41))) == [
        (
            "BA001",
            "Loading it would call os.system (does things): named by GLOBAL at offset 12 of "
            "'a/data.pkl', called by REDUCE at offset 41.",
            True,
        )
    ]


def test_a_name_that_is_not_called_and_lies_in_no_archive() -> None:
    ((rule, message, unsafe),) = told(use("a.B", Level.UNKNOWN, member="", opcode="STACK_GLOBAL"))
    assert (rule, unsafe) == ("BA002", False)
    assert message.startswith("Loading it would import a.B (does things): named by STACK_GLOBAL")


def test_names_are_told_once_the_dangerous_first() -> None:
    uses = [use("a.B", Level.UNKNOWN), use("os.system", Level.DANGEROUS), use("a.B", Level.UNKNOWN)]
    found = told(*uses)
    assert [rule for rule, _, _ in found] == ["BA001", "BA002"]
    assert found[1][1].endswith("of 'a/data.pkl', 2 times in all.")


def test_many_names_are_counted() -> None:
    found = told(*(use(f"a.f{number}", Level.DANGEROUS) for number in range(50)))
    assert len(found) == 21
    assert found[-1][1] == "30 more such names are in the file."


def test_harmless_names_are_no_findings() -> None:
    assert told(use("torch.FloatStorage", Level.HARMLESS)) == []


def test_names_by_number_are_deceptive() -> None:
    found = told(use("extension.7", Level.DANGEROUS, opcode="EXT1"))
    assert {rule for rule, _, _ in found} == {"BA001", "BA004"}


def made(name: str, *args: Any, **keywords: Any) -> Inert:
    module, _, last = name.rpartition(".")
    return Inert(Reference(module, last), args, keywords=keywords)


@pytest.mark.parametrize(
    ("calls", "saved"),
    [
        ((), None),
        ((("NEWOBJ", 1), ("BUILD", 2)), made("a.Net")),
        ((("REDUCE", 1),), made("a.Net")),
        ((("REDUCE", 1),), made("a.Net", "relu")),
        ((("REDUCE", 1), ("REDUCE", 2)), [made("a.Net", 1), made("a.Net", 2)]),
    ],
)
def test_objects_of_unknown_classes_may_be_read(calls: Any, saved: object) -> None:
    assert unknown("a.Net", *calls, saved=saved).problem == ""


@pytest.mark.parametrize(
    ("name", "calls", "saved"),
    [
        ("a.run", (("REDUCE", 1),), made("a.run", "words")),
        ("a.Run", (("REDUCE", 1),), made("a.Run", "words", "words")),
        ("a.Run", (("REDUCE", 1),), made("a.Run", ["words"])),
        ("a.Run", (("NEWOBJ_EX", 1),), made("a.Run", words=1)),
        ("a.Run", (("REDUCE", 1),), None),
        ("a.Run", (("REDUCE", 1), ("REDUCE", 2)), made("a.Run", "words")),
        ("a.Run", (("INST", 1),), None),
        ("a.Run", (("OBJ", 1),), None),
    ],
)
def test_unknown_functions_are_not_called(name: str, calls: Any, saved: object) -> None:
    problem = unknown(name, *calls, saved=saved).problem
    assert problem.startswith(f"would call {name}, which is not known to be harmless: if you trust")


def tensors(*records: TensorRecord, size: int = 100, **limits: Any) -> str:
    saved = {"model": {f"w{number}": record for number, record in enumerate(records)}}
    return judged(Contents(saved), Limits(**limits), size).problem


def record(numel: int, dtype: str = "float32", nbytes: int = 2**40, **changed: Any) -> TensorRecord:
    return TensorRecord(dtype, (numel,), (1,), 0, Storage(None, 0, nbytes), **changed)


def test_a_tensor_that_reaches_outside_is_named() -> None:
    assert tensors(record(2), record(3, nbytes=8)) == (
        "has a tensor 'model.w1' that reaches outside its stored bytes: "
        "it is damaged, or made to harm whoever reads it"
    )


def test_a_tensor_that_is_none_is_left_to_whoever_needs_it() -> None:
    assert tensors(record(3, nbytes=0, trouble="sparse")) == ""


@pytest.mark.parametrize(("dtype", "fitting"), [("float32", 25), ("float16", 25), ("int8", 100)])
def test_tensors_that_claim_too_much_as_they_are_computed_with(dtype: str, fitting: int) -> None:
    limits = {"growth": None, "max_bytes": 100}
    assert tensors(record(fitting, dtype), **limits) == ""
    assert tensors(record(fitting, dtype), record(1, dtype), **limits).startswith("claims")


def test_a_reader_s_own_problem_comes_first() -> None:
    contents = Contents({"w": record(3, nbytes=0)}, problem="is damaged")
    assert judged(contents, Limits(), 100).problem == "is damaged"
