"""What a TorchScript program could do if torch ran it, told from its source text."""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice

from backaudit.core.errors import CheckpointError
from backaudit.core.printable import printable
from backaudit.files.contents import FileFinding
from backaudit.files.graphs.operator_names import AS_TOLD, FILES, HARMLESS, PRIMS
from backaudit.files.rules import UNSAFE_FILE

MOST_TEXT = 4 * 2**20
# Names, numbers and signs; each may become a node of a tree of hundreds of bytes.
TOKEN = re.compile(r"\w+|[^\w\s]")
MOST_TOKENS = 300_000
DEEPEST = 150
SHOWN = 8


@dataclass(frozen=True)
class Checked:
    """What a program calls.

    Args:
        findings: operators that read or write files, or reach other code.
        problem: operators that come from elsewhere than torch; "" without any.
        notes: operators of torch that are not known, which matter only where they are reached.
    """

    findings: tuple[FileFinding, ...]
    problem: str
    notes: tuple[str, ...] = ()


# Where torch's own operators are.
OWN = ("torch", "ops.aten", "ops.prim")
# Objects of compiled code, such as packed weights of quantised layers.
FOREIGN = "__torch__.torch.classes."


def check_amount(texts: Iterable[str]) -> None:
    """Refuse more source text than any network has, before it is parsed.

    Raises:
        CheckpointError: if it is too much.
    """
    tokens = chain.from_iterable(map(TOKEN.finditer, texts))
    if next(islice(tokens, MOST_TOKENS, None), None) is not None:
        raise CheckpointError(f"holds source text of more than {MOST_TOKENS:,} words and signs")


def parsed(text: str) -> ast.Module:
    """Syntax tree of a source text, of bounded depth.

    Raises:
        CheckpointError: if it is no source text as torch writes it.
    """
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise CheckpointError(
            "holds source text that cannot be read: it calls Python, or is damaged"
        ) from error
    level: list[ast.AST] = [tree]
    for _ in range(DEEPEST):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        if any(isinstance(node, ast.Compare) for node in level):
            # Torch writes comparisons as calls.
            raise CheckpointError("holds source text as torch does not write it: a comparison")
        if not level:
            return tree
    raise CheckpointError("holds source text that is nested too deeply")


def check(trees: Mapping[str, ast.Module]) -> Checked:
    """Look at every operator of every function of a program, whether or not it is ever reached."""
    findings: dict[str, FileFinding] = {}
    foreign: dict[str, None] = {}
    unknown: dict[str, None] = {}
    for path, tree in trees.items():
        for name, line in _named(tree):
            space, _, last = name.rpartition(".")
            if space in OWN and last in FILES:
                findings.setdefault(name, _finding(name, f"code/{printable(path)}, line {line}"))
            elif space not in OWN:
                foreign.setdefault(name)
            elif not _known(space, last):
                unknown.setdefault(name)
    return Checked(
        tuple(findings.values()), unknown_operators(list(foreign)), _unknown_note(list(unknown))
    )


def _named(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Dotted names of operators and classes of torch, called or given another name."""
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and id(node) not in inner:
            name = dotted(node)
            if name.startswith(("torch.", "ops.", FOREIGN)):
                yield name, node.lineno


def dotted(node: ast.expr) -> str:
    """A chain of attributes as text; "" for any other expression."""
    steps: list[str] = []
    while isinstance(node, ast.Attribute):
        steps.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([node.id, *reversed(steps)])


def _known(space: str, last: str) -> bool:
    if space == "ops.prim":
        return last in PRIMS
    return last in HARMLESS or last.removesuffix("_") in HARMLESS or last in AS_TOLD


def _finding(name: str, where: str) -> FileFinding:
    what = FILES[name.rpartition(".")[2]]
    return FileFinding(
        UNSAFE_FILE, f"The program calls {printable(name)} ({where}), which {what}.", unsafe=True
    )


def unknown_operators(unknown: list[str]) -> str:
    """The refusal of operators by their dotted names; "" without any."""
    if not unknown:
        return ""
    shown = ", ".join(printable(name) for name in unknown[:SHOWN])
    more = f" and {len(unknown) - SHOWN} more" if len(unknown) > SHOWN else ""
    return (
        f"uses operators that are not supported ({shown}{more}): save the state dict, "
        "torch.save(network.state_dict(), 'weights.pt')"
    )


def _unknown_note(unknown: list[str]) -> tuple[str, ...]:
    if not unknown:
        return ()
    shown = ", ".join(printable(name) for name in unknown[:SHOWN])
    return (f"The program names operators that are not known ({shown}).",)
