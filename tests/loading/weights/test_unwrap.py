from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from backaudit.core.errors import CheckpointError
from backaudit.files.pickles.values import Inert, Reference
from backaudit.loading.weights.beside import parsed_metadata
from backaudit.loading.weights.unwrap import unwrap
from tests.loading.records import record_of, recorded
from tests.loading.saved_weights import OPTIMIZER, STATE, prefixed

RECORDS = {name: record_of(tensor) for name, tensor in STATE.items()}
BIG = {"big.weight": torch.ones(99, 99)}


def inert(name: str, **more: Any) -> Inert:
    module, _, last = name.rpartition(".")
    return Inert(Reference(module, last), **more)


def module(parameters: Mapping[str, Tensor], **more: object) -> Inert:
    """What a survey makes of a pickled module without children."""
    state = {
        "training": True,
        "_parameters": {name: record_of(tensor) for name, tensor in parameters.items()},
        "_buffers": {},
        "_modules": {},
        **more,
    }
    return inert("nets.Network", state=state)


@pytest.mark.parametrize(
    ("content", "wrapper", "prefix"),
    [
        (STATE, (), ""),
        (prefixed("module."), (), "module."),
        (prefixed("module._orig_mod.model."), (), "module._orig_mod.model."),
        ({"state_dict": prefixed("net."), "optimizer": OPTIMIZER}, ("state_dict",), "net."),
        ({"net": STATE, "acc": 0.9, "epoch": 3}, ("net",), ""),
        ({"netC": STATE, "netG": BIG}, ("netC",), ""),
        ({"model_state_dict": STATE}, ("model_state_dict",), ""),
        ([{"model": STATE}], ("0", "model"), ""),
        ((STATE,), ("0",), ""),
        ({"ema": prefixed("module."), "model": STATE}, ("model",), ""),
        ({"model": STATE, "state_dict_ema": BIG}, ("model",), ""),
        ({"model_averaged": BIG, "other": STATE}, ("other",), ""),
        ({"model_ema": STATE, "epoch": 1}, ("model_ema",), ""),
        ({"semantic": STATE, "teacher": BIG}, ("semantic",), ""),
        ({"teacher": STATE, "student": STATE}, ("student",), ""),
        ({"checkpoint": {"state_dict": STATE}}, ("checkpoint", "state_dict"), ""),
        ({"small": {"a.weight": torch.ones(1, 1)}, "large": STATE}, ("large",), ""),
    ],
)
def test_wrappers_and_prefixes(content: object, wrapper: tuple[str, ...], prefix: str) -> None:
    found = unwrap(recorded(content))
    assert (found.wrapper, found.prefix, found.state) == (wrapper, prefix, RECORDS)


def test_the_order_of_names_is_kept() -> None:
    assert list(unwrap(recorded({"net": STATE})).state) == list(STATE)


def test_prefix_that_not_all_names_share_stays() -> None:
    state = recorded(prefixed("module.") | {"extra.weight": torch.ones(2, 2)})
    assert unwrap(state).state == state


def test_where_else_weights_lay_is_told() -> None:
    content = {"ema": STATE, "model": STATE, "parts": {"head": BIG}}
    assert unwrap(recorded(content)).others == ("ema", "parts.head")


@pytest.mark.parametrize("copy", ["teacher.", "model_ema.module.", "ema_model.", "averaged."])
def test_copies_among_the_names_are_left_out(copy: str) -> None:
    content = {"state_dict": prefixed(copy) | prefixed("model.")}
    found = unwrap(recorded(content))
    assert (found.state, found.prefix) == (RECORDS, "model.")
    assert found.others == (f"state_dict.{copy.partition('.')[0]}",)


def test_the_counter_of_an_averaged_model_is_left_out() -> None:
    found = unwrap(recorded({"n_averaged": torch.tensor(3), **prefixed("module.")}))
    assert (found.state, found.prefix, found.others) == (RECORDS, "module.", ())


def test_a_lone_copy_is_taken() -> None:
    assert len(unwrap(recorded(prefixed("ema."))).state) == len(STATE)


def test_lightning() -> None:
    content = {
        "epoch": 3,
        "pytorch-lightning_version": "2.1.0",
        "state_dict": prefixed("model."),
        "callbacks": {"ModelCheckpoint{'monitor': None}": {"best_model_path": "x"}},
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"current": {"ready": 4}}}},
        "optimizer_states": [OPTIMIZER],
        "lr_schedulers": [],
    }
    saved = recorded(content)
    assert isinstance(saved, dict)
    saved["hyper_parameters"] = inert(
        "lightning.fabric.utilities.data.AttributeDict", items={"num_classes": 10, "lr": 0.1}
    )
    found = unwrap(saved)
    assert (found.wrapper, found.prefix, found.state) == (("state_dict",), "model.", RECORDS)
    assert found.metadata["hyper_parameters"] == {"num_classes": 10, "lr": 0.1}
    assert found.metadata["pytorch-lightning_version"] == "2.1.0"


def test_backdoorbench() -> None:
    content = {
        "model_name": "preactresnet18",
        "num_classes": 10,
        "model": STATE,
        "data_path": "../data/cifar10",
        "img_size": (32, 32, 3),
        "clean_data": "cifar10",
        "bd_train": {
            "bd_data_container": {"data_dict": {0: {"other_info": {"target": 0}}}},
            "poison_indicator": torch.zeros(50),
            "original_index_array": torch.arange(50),
        },
    }
    found = unwrap(recorded(content))
    assert (found.wrapper, found.state, found.others) == (("model",), RECORDS, ())
    assert found.metadata["img_size"] == [32, 32, 3]
    assert found.metadata["num_classes"] == 10


def test_a_whole_module() -> None:
    found = unwrap(module({"weight": torch.ones(2, 3), "bias": torch.ones(2)}))
    assert list(found.state) == ["weight", "bias"]
    assert [part.kind.name for part in found.module] == ["Network"]


def test_a_whole_module_in_a_dict() -> None:
    net = module({"weight": torch.ones(2, 3)})
    found = unwrap({"net": net, "acc": 0.9, "again": net})
    assert (list(found.state), found.wrapper) == (["weight"], ("net",))
    assert found.metadata == {"acc": 0.9}
    assert len(found.module) == 1
    assert found.others == ()


@pytest.mark.parametrize("hiding", [torch.zeros(2, 3), 3, Reference("a", "function")])
def test_an_attribute_that_hides_a_parameter_is_refused(hiding: object) -> None:
    net = module({"weight": torch.ones(2, 3)}, weight=recorded(hiding))
    with pytest.raises(CheckpointError, match="something else hides 'weight'"):
        unwrap({"net": net})


def test_a_state_dict_of_an_unknown_class_of_dict() -> None:
    found = unwrap({"model": inert("library.Params", items=recorded(STATE))})
    assert (found.wrapper, found.state, found.module) == (("model",), RECORDS, ())


def test_objects_that_lead_back_to_themselves_end() -> None:
    one = inert("a.B")
    one.items = {f"key{index}": one for index in range(1000)}
    assert unwrap({"loop": one, "net": recorded(STATE)}).state == RECORDS


def test_plain_values_beside_and_among_the_weights_are_kept() -> None:
    content = {
        "model_name": "preactresnet18",
        "img_size": (32, 32, 3),
        "mean": torch.tensor([0.5, 0.25], dtype=torch.float64),
        "scale": torch.tensor(2),
        "classes": ["cat", "dog"],
        "class_to_idx": {"cat": 0, "dog": 1},
        "optimizer": OPTIMIZER,
        "images": torch.zeros(3, 4, 4),
        "long": torch.zeros(65),
        "model": STATE | {"epoch": 3},
    }
    saved = recorded(content)
    assert isinstance(saved, dict)
    saved["args"] = inert("__main__.Options", state={"lr": 0.1, "out": inert("a.B")})
    saved["broken"] = replace(record_of(torch.ones(3)), offset=5)
    storage = replace(record_of(torch.ones(3)).storage, nbytes=10**9, deflated=100)
    saved["packed"] = replace(record_of(torch.ones(3)), storage=storage)
    assert unwrap(saved).metadata == {
        "model_name": "preactresnet18",
        "img_size": [32, 32, 3],
        "mean": [0.5, 0.25],
        "scale": 2,
        "args": {"lr": 0.1},
        "classes": ["cat", "dog"],
        "class_to_idx": {"cat": 0, "dog": 1},
        "epoch": 3,
    }


@pytest.mark.parametrize(
    "content",
    [
        None,
        {},
        {"epoch": 3},
        {"optimizer": OPTIMIZER},
        {"bias": torch.ones(3)},
        {"counts": torch.ones(3, 3, dtype=torch.int64)},
        [STATE, STATE],
        torch.ones(3, 3),
    ],
)
def test_no_named_weights(content: object) -> None:
    with pytest.raises(CheckpointError, match="no named weight tensors"):
        unwrap(recorded(content))


def test_metadata_in_json() -> None:
    texts = {"num_classes": "10", "mean": "[0.5, 0.5]", "note": "{broken", "opset": 17}
    assert parsed_metadata(texts) == {
        "num_classes": 10,
        "mean": [0.5, 0.5],
        "note": "{broken",
        "opset": 17,
    }
