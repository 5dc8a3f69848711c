"""What it would mean to import and call a name: an allowlist that fails closed."""

import re
from functools import lru_cache

from backaudit.files.contents import Level
from backaudit.files.pickles.known_names import (
    BUILTIN_EFFECTS,
    CAPABLE_PACKAGES,
    EFFECTS,
    HARMLESS,
    IMPORTED_THERE,
    LARGE_PACKAGES,
    LAYER_MODULES,
    LAYER_PACKAGES,
    LOADERS,
    NOT_LAYERS,
    STANDARD_MODULES,
)
from backaudit.files.pickles.values import Reference

CLASS_NAME = re.compile(r"_?[A-Z][A-Za-z0-9]*[a-z0-9][A-Za-z0-9_]*|[A-Z]{2,}[A-Za-z0-9]*")
MODULE_NAME = re.compile(r"[a-zA-Z][A-Za-z0-9_]*(\.[a-zA-Z0-9][A-Za-z0-9_]*)*")
TORCHSCRIPT = "__torch__."
# Private modules, what no program would call a module, and what reaches inside objects.
ODD_MODULE = re.compile(r"^_|\.__|__(\.|$)|[^\w.]|^$|\.\.|^\.|\.$")
ODD_NAME = re.compile(r"^__|__$|\W|^$")


@lru_cache(maxsize=4096)
def classify(reference: Reference) -> tuple[Level, str]:
    """Say what it would mean to import a name and to call it with any arguments.

    Harmless are names on an exact list and classes of well-known libraries' layers. Everything
    else of Python itself, of those libraries, and of packages that run or fetch things is
    dangerous, whether or not anybody has found a use for it; the rest is unknown.

    Returns:
        The level, and why: a short phrase for people.
    """
    module, name = reference.module, reference.name
    why = HARMLESS.get((module, name))
    if why is not None:
        return Level.HARMLESS, why
    if _is_layer_class(module, name):
        return Level.HARMLESS, "class of a known library; recovered without importing it"
    if f"{module}.".startswith(TORCHSCRIPT) and "." not in name:
        return Level.HARMLESS, "class of the file's own TorchScript program"
    package = module.partition(".")[0]
    if package in STANDARD_MODULES or package in CAPABLE_PACKAGES:
        return Level.DANGEROUS, _effect(module, name, package)
    if module != "__main__" and ODD_MODULE.search(module):
        return Level.DANGEROUS, "in a private module, or no name of any"
    if package in LARGE_PACKAGES and not CLASS_NAME.fullmatch(name):
        return Level.DANGEROUS, _effect(module, name, package)
    if ODD_NAME.search(name):
        return Level.DANGEROUS, "reaches inside another object"
    return Level.UNKNOWN, "not known"


def _is_layer_class(module: str, name: str) -> bool:
    if name in IMPORTED_THERE or not CLASS_NAME.fullmatch(name):
        return False
    if module in LAYER_MODULES:
        return True
    public = MODULE_NAME.fullmatch(module) and not _below(module, NOT_LAYERS)
    return bool(public) and _below(module, LAYER_PACKAGES)


def _below(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def _effect(module: str, name: str, package: str) -> str:
    if (module, name) in LOADERS:
        return "reads a pickle inside the pickle"
    if package in ("builtins", "__builtin__"):
        return BUILTIN_EFFECTS.get(name, "a function of Python itself that no model needs")
    if package in EFFECTS:
        return EFFECTS[package]
    if package in STANDARD_MODULES:
        return "a part of Python itself that no model needs"
    return "a part of a library that no model needs"
