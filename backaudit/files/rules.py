"""What a survey can find about the file itself; stable identities, never reused.

Each docstring is what ``backaudit rules`` prints.
"""

from typing import ClassVar

from backaudit.core.evidence import Rule


class UnsafeFile:
    """Finds code in a file that has no business in a checkpoint.

    Pickles are programs that name functions, call them with arguments of their choice and set
    state on what they return. Every pickle in the file is followed opcode by opcode, by a machine
    that builds plain values and inert stand-ins. This rule fires for names that reach the
    interpreter, the system, the network or the file system; for functions that fetch or call
    others by name; and for names that only running the pickle would tell. It also fires for
    programs (TorchScript, torch.export, ONNX) with operators that read or write files.

    Fires: exit code 1, from scan as from inspect, and nothing of the file is loaded. --fail-on
        does not weaken it: that weighs verdicts about a network, and here is none.
    Why it matters: whoever opens the file with torch.load(weights_only=False), pickle or joblib
        runs that code with all their rights, before a single weight is used.
    Blind to: a flaw in a parser (of torch, onnx, the operating system) that data alone can
        trigger, and what a network does once it runs, which scan is for.
    """

    rule: ClassVar[Rule] = Rule(
        "BA001", "unsafe-file", "Would loading this file run code it has no need of?"
    )


class UnknownCode:
    """Names code in a file that is not known to be harmless.

    Only what is known to do nothing but keep or rebuild values passes unremarked; every other name
    is listed here, such as the classes of a network that was pickled whole. None of it is imported:
    a stand-in takes its place and keeps the weights and settings it was given.

    Fires: as a remark on the report; the exit code does not change.
    Why it matters: opening the file in the usual way imports those names, from whatever is
        installed under them there. That is no danger where you know the packages, and one where
        you do not.
    Blind to: what the named code does. Nobody looked at it.
    """

    rule: ClassVar[Rule] = Rule(
        "BA002", "unknown-code", "Does it name code that is not known to be harmless?"
    )


class HarmlessRebuild:
    """Lists the functions that rebuild the values of a file.

    Tensors, parameters, ordered dictionaries, sizes, NumPy scalars and the like are stored as calls
    of a few functions that can do nothing but rebuild them. inspect counts them, so that its list
    of what a pickle names is whole.

    Fires: never; inspect lists it and no exit code changes.
    Why it matters: a list that leaves something out cannot be checked against another tool's.
    Blind to: what the values mean.
    """

    rule: ClassVar[Rule] = Rule(
        "BA003", "harmless-rebuild", "Which functions rebuild the values of this file?"
    )


class DeceptiveArchive:
    """Finds files in which two programs would read different contents.

    A scanner that reads one thing where the loader reads another has judged the wrong file. This
    rule fires for zip entries that occur twice, are encrypted, overlap or disagree with the
    archive's directory; for pickles after the end of the last one that a loader reads; for names
    that lead out of the archive; for extension opcodes, whose meaning depends on the machine that
    reads them; and for other bytes that a loader would see and a scanner would not, or the reverse.

    Fires: exit code 1, from scan as from inspect, and nothing of the file is loaded.
    Why it matters: no honest program writes such files. One that is merely damaged is said to be
        damaged, with exit code 3.
    Blind to: differences between loaders that are not known yet.
    """

    rule: ClassVar[Rule] = Rule(
        "BA004", "deceptive-archive", "Would two programs read different contents in it?"
    )


UNSAFE_FILE = UnsafeFile.rule
UNKNOWN_CODE = UnknownCode.rule
HARMLESS_REBUILD = HarmlessRebuild.rule
DECEPTIVE_ARCHIVE = DeceptiveArchive.rule

FILE_RULES = {
    each.rule.name: each for each in (UnsafeFile, UnknownCode, HarmlessRebuild, DeceptiveArchive)
}
