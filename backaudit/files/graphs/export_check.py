"""What a program of ``torch.export`` could do if torch ran it."""

from collections.abc import Iterable

from backaudit.core.printable import printable
from backaudit.files.contents import FileFinding
from backaudit.files.graphs.export_program import ExportNode
from backaudit.files.graphs.operator_names import FILES, HARMLESS
from backaudit.files.graphs.script_check import Checked, unknown_operators
from backaudit.files.rules import UNSAFE_FILE

ATEN = "torch.ops.aten."
ASSERTIONS = frozenset(
    (
        *("_assert_async", "_assert_scalar", "_assert_tensor_metadata"),
        *("sym_constrain_range", "sym_constrain_range_for_size"),
    )
)
# On sizes.
ARITHMETIC = frozenset(
    (
        *("_operator.add", "_operator.sub", "_operator.mul", "_operator.floordiv"),
        *("_operator.mod", "_operator.neg", "_operator.truediv"),
        *("_operator.eq", "_operator.ne", "_operator.lt", "_operator.le", "_operator.gt"),
        *("_operator.ge", "_operator.and_", "_operator.or_", "_operator.getitem"),
        *("torch.sym_int", "torch.sym_float", "torch.sym_min", "torch.sym_max", "torch.sym_not"),
        *("math.ceil", "math.floor", "math.trunc"),
    )
)


def operator(target: str) -> str:
    """Name of an ``aten`` operator without its overload; "" for anything else."""
    steps = target.removeprefix(ATEN).split(".")
    return steps[0] if target.startswith(ATEN) and len(steps) == 2 else ""


def check(nodes: Iterable[ExportNode]) -> Checked:
    """Look at every call of a graph."""
    findings: dict[str, FileFinding] = {}
    unknown: dict[str, None] = {}
    for at, node in enumerate(nodes):
        name = operator(node.target)
        if name in FILES:
            findings.setdefault(name, _finding(node.target, at, FILES[name]))
        elif not _known(node.target, name):
            unknown.setdefault(node.target)
    return Checked(tuple(findings.values()), unknown_operators(list(unknown)))


def _finding(target: str, at: int, what: str) -> FileFinding:
    message = f"The program calls {printable(target)} (step {at + 1}), which {what}."
    return FileFinding(UNSAFE_FILE, message, unsafe=True)


def _known(target: str, name: str) -> bool:
    if not name:
        return target in ARITHMETIC
    return name.removesuffix("_") in HARMLESS or name in HARMLESS | ASSERTIONS
