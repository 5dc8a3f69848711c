import _compat_pickle
import importlib
import pkgutil
import sys
from collections.abc import Iterator
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

from backaudit.files.contents import Level
from backaudit.files.pickles.globals import classify
from backaudit.files.pickles.known_names import HARMLESS, STANDARD_MODULES
from backaudit.files.pickles.values import Reference
from backaudit.nets.torchvision_models import torchvision_models
from tests.hostile.gadgets import FICKLING, OTHERS, PICKLESCAN, rows


def level(module: str, name: str) -> Level:
    return classify(Reference(module, name))[0]


@pytest.mark.parametrize("table", [PICKLESCAN, FICKLING, OTHERS])
def test_no_published_gadget_passes(table: str) -> None:
    passed = [row for row in rows(table) if level(row[1], row[2]) is not Level.DANGEROUS]
    assert [row[1].split(".")[0] for row in passed] in ([], ["mlflow"])
    assert all(level(*row[1:]) is Level.UNKNOWN for row in passed)


def test_nothing_of_python_passes_but_what_is_listed() -> None:
    listed = {module for module, _ in HARMLESS}
    for module in sorted(STANDARD_MODULES & set(sys.modules)):
        names = {name for name in dir(sys.modules[module]) if (module, name) not in HARMLESS}
        passed = [name for name in names if level(module, name) is not Level.DANGEROUS]
        assert passed == [], (module, module in listed)


def test_no_name_of_python_2_passes_for_what_it_becomes() -> None:
    old = {*_compat_pickle.NAME_MAPPING, *((name, "x") for name in _compat_pickle.IMPORT_MAPPING)}
    passed = {name for name in old if level(*name) is not Level.DANGEROUS}
    assert {module for module, _ in passed} == {"__builtin__"}
    assert {name for _, name in passed} == {"xrange", "unicode", "long"}


@pytest.mark.parametrize("package", [torch, np], ids=["torch", "numpy"])
def test_nothing_of_a_library_passes_but_what_is_listed_or_a_layer(package: ModuleType) -> None:
    root = package.__name__
    names = {name for name in dir(package) if (root, name) not in HARMLESS}
    assert {level(root, name) for name in names} == {Level.DANGEROUS}


def _modules(package: ModuleType) -> Iterator[ModuleType]:
    yield package
    for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        if found.name in sys.modules:
            yield importlib.import_module(found.name)


def _layer_packages() -> list[ModuleType]:
    models = torchvision_models()
    return [nn, nn.modules, torch.optim, importlib.import_module(models.__name__)]


@pytest.mark.parametrize("package", _layer_packages(), ids=lambda package: package.__name__)
def test_what_passes_as_a_layer_is_a_class_of_its_library(package: ModuleType) -> None:
    library = package.__name__.split(".")[0]
    seen = 0
    for module in _modules(package):
        for name, value in vars(module).items():
            if level(module.__name__, name) is Level.HARMLESS and callable(value):
                seen += 1
                home = getattr(value, "__module__", "")
                own = (home, name) in HARMLESS or home.split(".")[0] in {library, "torch"}
                annotation = home in {"typing", "typing_extensions", "collections.abc", "types"}
                assert own or annotation or home == "builtins", (module.__name__, name, home)
    assert seen > 10


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("torch._utils", "_rebuild_tensor_v2"),
        ("torch", "FloatStorage"),
        ("torch", "float32"),
        ("collections", "OrderedDict"),
        ("numpy._core.multiarray", "scalar"),
        ("numpy.core.multiarray", "_reconstruct"),
        ("argparse", "Namespace"),
        ("__builtin__", "long"),
        ("torch.nn.modules.conv", "Conv2d"),
        ("torchvision.models.resnet", "ResNet"),
        ("timm.models.vision_transformer", "VisionTransformer"),
        ("timm.models._efficientnet_blocks", "InvertedResidual"),
        ("__torch__.torch.nn.modules.conv", "Conv2d"),
    ],
)
def test_what_honest_checkpoints_need_is_harmless(module: str, name: str) -> None:
    assert level(module, name) is Level.HARMLESS


@pytest.mark.parametrize(
    ("module", "name"),
    [("__main__", "Net"), ("models.resnet", "ResNet18"), ("pandas.core.frame", "DataFrame")],
)
def test_other_peoples_classes_are_unknown(module: str, name: str) -> None:
    assert level(module, name) is Level.UNKNOWN


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("torch.nn.modules.module", "os.system"),
        ("torch.nn.modules.conv", "Conv2d.__init__"),
        ("torch.nn.modules.conv.__builtins__", "Eval"),
        ("torch.nn.modules.._utils", "Xyz"),
        ("torch.nn.modules.conv", "F"),
        ("torch.nn.utils.prune", "BasePruningMethod"),
        ("timm.models._hub", "HfApi"),
        ("timm.models.hub", "TemporaryDirectory"),
        ("torch.storage", "_load_from_bytes"),
        ("torch", "UntypedStorage.from_file"),
        ("__main__", "Net.__init__.__globals__"),
        ("__main__", "__builtins__"),
        ("models", "net.forward"),
        ("_private", "Net"),
        ("pandas.io.pickle", "read_pickle"),
        ("nt", "system"),
        ("commands", "getoutput"),
        ("collections", "namedtuple"),
        ("", ""),
        ("os\n", "system"),
    ],
)
def test_what_reaches_further_is_dangerous(module: str, name: str) -> None:
    assert level(module, name) is Level.DANGEROUS


@pytest.mark.parametrize(
    ("module", "name", "why"),
    [
        ("builtins", "eval", "evaluates code"),
        ("importlib", "import_module", "imports modules by name"),
        ("posix", "system", "can run commands and change files"),
        ("torch", "load", "reads a pickle inside the pickle"),
        ("torch._utils", "_rebuild_tensor_v2", "rebuilds a tensor"),
        ("a", "b", "not known"),
    ],
)
def test_it_says_why(module: str, name: str, why: str) -> None:
    assert classify(Reference(module, name))[1] == why
