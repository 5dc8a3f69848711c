"""Which of a program's results are the logits?"""

from typing import Any

from torch import Tensor

from backaudit.core.errors import CheckpointError
from backaudit.programs.graph import Node, examples

NAMES = ("logits", "out", "output")


def logits_of(result: Any) -> Node:
    """The result itself, or the first of several; by name in a dict.

    Raises:
        CheckpointError: if there is no tensor among them.
    """
    if isinstance(result, dict):
        named = [result[name] for name in NAMES if name in result]
        result = [*named, *result.values()]
    if isinstance(result, list | tuple):
        result = next((each for each in result if isinstance(each, Node)), None)
    if not isinstance(result, Node) or not isinstance(examples(result)[0], Tensor):
        raise CheckpointError("holds a program that returns no tensor")
    return result
