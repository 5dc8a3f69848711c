"""Is a value a tree that can be walked? Files made to hurt nest, loop and multiply."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from backaudit.files.pickles.values import Inert, Malformed

DEEPEST = 64
MOST_NODES = 5_000_000
BRANCHES = frozenset({list, tuple, dict, set, frozenset})


def check_shape(root: object, most_nodes: int = MOST_NODES) -> None:
    """See to it that walks end: depth, loops, and how often shared values would be visited.

    Args:
        root: any value of the machine.
        most_nodes: visits of a walk that follows every reference but enters each ``Inert`` once.

    Raises:
        Malformed: if a walk by recursion would not end in time.
    """
    survey = _Survey(most_nodes)
    survey.meet(root)
    nodes = 0
    for inert in survey.inerts:
        for part in (inert.args, inert.state, inert.items, inert.elements, inert.keywords):
            nodes += survey.meet(part)
            if nodes > most_nodes:
                raise Malformed("repeats its values too often: do not use it")


@dataclass(slots=True)
class _Open:
    """A container whose contents are being measured."""

    value: object
    contents: Iterator[object]
    nodes: int
    height: int = 1


@dataclass(slots=True)
class _Survey:
    """What was met so far: stand-ins in order, and containers' nodes and height."""

    most_nodes: int
    inerts: list[Inert] = field(default_factory=list)
    entered: set[int] = field(default_factory=set)
    measured: dict[int, tuple[int, int]] = field(default_factory=dict)
    path: list[_Open] = field(default_factory=list)
    on_path: set[int] = field(default_factory=set)

    def meet(self, value: object) -> int:
        """Nodes of a value, shared ones counted as often as a walk meets them."""
        if type(value) is Inert:
            self._meet_inert(value)
        if type(value) not in BRANCHES:
            return 1
        if id(value) not in self.measured:
            self._open(value)
            while self.path:
                self._step(self.path[-1])
        return self.measured[id(value)][0]

    def _meet_inert(self, value: Inert) -> None:
        if id(value) not in self.entered:
            self.entered.add(id(value))
            self.inerts.append(value)

    def _step(self, node: _Open) -> None:
        for value in node.contents:
            if type(value) is Inert:
                self._meet_inert(value)
            elif type(value) in BRANCHES:
                if not value:
                    self._add(node, 1, 1)
                elif id(value) not in self.measured:
                    self._open(value)
                    return
                else:
                    self._add(node, *self.measured[id(value)])
        self._close(self.path.pop())

    def _open(self, value: object) -> None:
        if id(value) in self.on_path:
            raise Malformed("has a value that contains itself: do not use it")
        if len(self.path) >= DEEPEST:
            raise Malformed("nests its values too deeply: do not use it")
        self.path.append(_opened(value))
        self.on_path.add(id(value))

    def _close(self, node: _Open) -> None:
        self.on_path.discard(id(node.value))
        self.measured[id(node.value)] = (node.nodes, node.height)
        if self.path:
            self._add(self.path[-1], node.nodes, node.height)

    def _add(self, node: _Open, nodes: int, height: int) -> None:
        node.nodes += nodes
        node.height = max(node.height, height + 1)
        if node.nodes > self.most_nodes or node.height + len(self.path) > DEEPEST + 1:
            raise Malformed("nests or repeats its values too often: do not use it")


def _opened(value: object) -> _Open:
    if isinstance(value, dict):
        return _Open(value, iter([*value.keys(), *value.values()]), 2 * len(value) + 1)
    assert isinstance(value, list | tuple | set | frozenset)  # noqa: S101 - one of BRANCHES
    return _Open(value, iter(value), len(value) + 1)
