"""Names that a pickle would import, as they are found and used."""

from dataclasses import dataclass, field

from backaudit.files.contents import GlobalUse, Level
from backaudit.files.pickles.globals import classify
from backaudit.files.pickles.values import Malformed, Reference

MOST_USES = 50_000
# Of harmless names it is enough to know some of the calls; of others each counts.
CALLS_KEPT = 100
MOST_CALLS = 100_000


@dataclass(eq=False, slots=True)
class Use:
    """A name as it is being used; becomes a ``GlobalUse``."""

    reference: Reference
    opcode: str
    offset: int
    level: Level
    why: str
    given_arguments: bool = False
    calls: list[tuple[str, int]] = field(default_factory=list)

    def misused(self, why: str) -> None:
        """Count it as dangerous, for what was done with it."""
        self.level, self.why = Level.DANGEROUS, why

    def frozen(self, member: str) -> GlobalUse:
        """For the caller."""
        unknown = self.level is Level.UNKNOWN and self.given_arguments
        return GlobalUse(
            module=self.reference.module,
            name=self.reference.name,
            opcode=self.opcode,
            offset=self.offset,
            member=member,
            level=self.level,
            why=f"{self.why}, called with arguments" if unknown else self.why,
            calls=tuple(self.calls),
        )


class Uses:
    """Every name of one pickle, in order."""

    def __init__(self) -> None:
        self._uses: list[Use] = []
        # By identity: the same name may be named again, and each is one use.
        self._of: dict[int, Use] = {}
        self._calls = 0

    def add(self, reference: Reference, opcode: str, offset: int) -> Use:
        """Record a name that would be imported."""
        if len(self._uses) >= MOST_USES:
            raise Malformed("imports more names than any model has: do not use it")
        level, why = classify(reference)
        use = Use(reference, opcode, offset, level, why)
        self._uses.append(use)
        self._of[id(reference)] = use
        return use

    def called(self, reference: Reference, opcode: str, offset: int, given_arguments: bool) -> Use:
        """Record that what a name stands for would be called, or its object changed."""
        use = self._of[id(reference)]
        use.given_arguments = use.given_arguments or given_arguments
        if use.level is not Level.HARMLESS or len(use.calls) < CALLS_KEPT:
            self._calls += 1
            use.calls.append((opcode, offset))
        if self._calls > MOST_CALLS:
            raise Malformed("calls more than any model needs: do not use it")
        return use

    def frozen(self, member: str) -> tuple[GlobalUse, ...]:
        """For the caller."""
        return tuple(use.frozen(member) for use in self._uses)
