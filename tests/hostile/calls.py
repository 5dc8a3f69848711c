"""Pickles that call what they must not, with every opcode that can."""

from collections.abc import Callable, Iterator

from tests.hostile.assembler import Call, Global, Persistent, Raw, op, pickled, program, push
from tests.hostile.case import UNSAFE, Canary, Case, file_case
from tests.hostile.honest import ORDERED, legacy, state_dict, torch_zip

KIND = "calls"
Payload = Callable[[Canary], Call]

IMPORT = Global("builtins", "__import__")
GETATTR = Global("builtins", "getattr")


def _import_module(canary: Canary) -> Call:
    found = Call(GETATTR, (Call(Global("importlib", "import_module"), ("os",)), "system"))
    return Call(found, (canary.command,))


def _attrgetter(canary: Canary) -> Call:
    getter = Call(Global("operator", "attrgetter"), ("system",))
    return Call(Call(getter, (Call(IMPORT, ("os",)),)), (canary.command,))


def _methodcaller(canary: Canary) -> Call:
    caller = Call(Global("operator", "methodcaller"), ("system", canary.command))
    return Call(caller, (Call(IMPORT, ("os",)),))


def _compiled(canary: Canary) -> Call:
    code = Call(Global("builtins", "compile"), (canary.source, "", "exec"))
    return Call(Global("builtins", "exec"), (code,))


def _partial(canary: Canary) -> Call:
    held = Call(Global("functools", "partial"), (Global("os", "system"), canary.command))
    return Call(held, ())


def _mapped(canary: Canary) -> Call:
    run = Call(Global("builtins", "map"), (Global("os", "system"), [canary.command]))
    return Call(Global("builtins", "list"), (run,))


def _of(module: str, name: str, argument: str = "command") -> Payload:
    return lambda canary: Call(Global(module, name), (getattr(canary, argument),))


PAYLOADS: dict[str, Payload] = {
    "os-system": _of("os", "system"),
    "posix-system": _of("posix", "system"),
    "os-popen": _of("os", "popen"),
    "subprocess-getoutput": _of("subprocess", "getoutput"),
    "eval": _of("builtins", "eval", "source"),
    "exec": _of("builtins", "exec", "source"),
    "python-2-eval": _of("__builtin__", "eval", "source"),
    "compile": _compiled,
    "open-for-writing": lambda canary: Call(Global("builtins", "open"), (str(canary.path), "w")),
    "pathlib-touch": lambda canary: Call(
        Global("pathlib", "Path.touch"), (Call(Global("pathlib", "Path"), (str(canary.path),)),)
    ),
    "runpy": lambda canary: Call(Global("runpy", "_run_code"), (canary.source, {})),
    "importlib": _import_module,
    "attrgetter": _attrgetter,
    "methodcaller": _methodcaller,
    "functools-partial": _partial,
    "map": _mapped,
    "code-interpreter": lambda canary: Call(
        Call(GETATTR, (Call(Global("code", "InteractiveInterpreter")), "runsource")),
        (canary.source,),
    ),
}


def _build_state(canary: Canary) -> bytes:
    """``BUILD`` calls the ``__setstate__`` that an earlier ``BUILD`` gave an object."""
    maker = Call(Global("argparse", "Namespace"))
    given = {"__setstate__": Global("os", "system")}
    return push(maker) + push(given) + op("BUILD") + push(canary.command) + op("BUILD")


def _append_to_call(canary: Canary) -> bytes:
    return push([1]) + push(canary.call) + op("APPEND")


def _as_key(canary: Canary) -> bytes:
    return op("EMPTY_DICT") + push(canary.call) + push(1) + op("SETITEM")


def _as_persistent(canary: Canary) -> bytes:
    return push(Persistent(canary.call))


def _discarded(canary: Canary) -> bytes:
    return push(canary.call) + op("POP") + push({"epoch": 3})


def _discarded_to_mark(canary: Canary) -> bytes:
    return op("MARK") + push(canary.call) + op("POP_MARK") + push({"epoch": 3})


def _duplicated(canary: Canary) -> bytes:
    target = push(Global("os", "system")) + op("DUP") + op("POP")
    return target + push((canary.command,)) + op("REDUCE")


def _text_name(canary: Canary) -> bytes:
    names = op("STRING", "os") + op("STRING", "system") + op("STACK_GLOBAL")
    return names + push((canary.command,)) + op("REDUCE")


def _renamed_module(canary: Canary) -> bytes:
    """Opcodes of protocol 2 map the modules of Python 2 on import."""
    return push(Call(Global("commands", "getoutput"), (canary.command,)))


def _extension(code: str, number: int) -> Callable[[Canary], bytes]:
    return lambda canary: op(code, number) + push((canary.command,)) + op("REDUCE")


WAYS: dict[str, Callable[[Canary], bytes]] = {
    "reduce": lambda canary: push(canary.call),
    "stack-global": lambda canary: push(
        Call(Global("os", "system", "STACK_GLOBAL"), (canary.command,))
    ),
    "string-stack-global": _text_name,
    "inst": lambda canary: push(Call(Global("os", "system"), (canary.command,), "INST")),
    "obj": lambda canary: push(Call(Global("os", "system"), (canary.command,), "OBJ")),
    "newobj": lambda canary: push(Call(Global("subprocess", "Popen"), (["true"],), "NEWOBJ")),
    "newobj-ex": lambda canary: push(
        Call(Global("subprocess", "Popen"), (["true"],), "NEWOBJ_EX", {"shell": False})
    ),
    "build-setstate": _build_state,
    "append": _append_to_call,
    "dict-key": _as_key,
    "persistent-id": _as_persistent,
    "popped": _discarded,
    "popped-to-mark": _discarded_to_mark,
    "dup": _duplicated,
    "python-2-module": _renamed_module,
    "extension-1": _extension("EXT1", 1),
    "extension-2": _extension("EXT2", 300),
    "extension-4": _extension("EXT4", 70_000),
}
NOT_LIVE = {
    "newobj",
    "newobj-ex",
    "build-setstate",
    "persistent-id",
    "extension-1",
    "extension-2",
    "extension-4",
}


def _inside(value: object) -> dict[str, object]:
    return {"state_dict": state_dict(), "epoch": value}


def cases() -> Iterator[Case]:
    """Each payload in an archive, as a bare pickle and in a legacy file; each opcode bare."""
    for name, payload in PAYLOADS.items():
        yield _in_archive(name, payload)
        yield _bare(name, payload)
    for name, way in WAYS.items():
        yield file_case(
            f"way-{name}", KIND, _way(name), UNSAFE, "", ".pkl", live=name not in NOT_LIVE
        )
        yield file_case(f"way-{name}-zip", KIND, _way_in_archive(way), UNSAFE)
    yield file_case("legacy-state-dict", KIND, lambda canary: legacy(_inside(canary.call)), UNSAFE)
    yield file_case(
        "protocol-0",
        KIND,
        lambda canary: pickled(Call(ORDERED, ()), 0)[2:-1] + op("POP") + push(canary.call) + b".",
        UNSAFE,
        "",
        ".pkl",
        live=True,
    )


def _in_archive(name: str, payload: Payload) -> Case:
    return file_case(
        f"call-{name}", KIND, lambda canary: torch_zip(_inside(payload(canary))), UNSAFE
    )


def _bare(name: str, payload: Payload) -> Case:
    return file_case(
        f"bare-{name}",
        KIND,
        lambda canary: pickled(payload(canary), _protocol(name)),
        UNSAFE,
        "",
        ".pkl",
        live=True,
    )


def _way(name: str) -> Callable[[Canary], bytes]:
    return lambda canary: program(WAYS[name](canary), protocol=_protocol(name))


def _protocol(name: str) -> int:
    """Protocols above 2 know no names of Python 2."""
    return 2 if name.startswith("python-2") else 4


def _way_in_archive(way: Callable[[Canary], bytes]) -> Callable[[Canary], bytes]:
    return lambda canary: torch_zip(_inside(Raw(way(canary))), 4)
