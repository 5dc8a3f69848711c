from backaudit.files.pickles.values import Inert, Reference
from backaudit.loading.inspection.figures import figures, layer_kinds, stored_layers
from tests.surveys import record, weights


def test_tensors_are_counted_wherever_they_lie_and_each_once() -> None:
    shared = record(3, 4)
    inert = Inert(Reference("some", "Thing"), args=([shared],), state={"moved": record(5)})
    found = figures({"a": [shared, record(2, dtype="int64")], "b": shared, "c": inert})
    assert (found.count, found.parameters, found.nbytes) == (3, 19, 17 * 4 + 2 * 8)
    assert found.dtypes == {"float32": 17, "int64": 2}


def test_statistics_of_normalisation_are_no_parameters() -> None:
    found = figures(weights())
    assert found.parameters == 8 * 27 + 8 + 8 + 80 + 10
    assert sum(found.dtypes.values()) == found.parameters + 8 + 8 + 1


def test_nothing_has_no_tensors() -> None:
    assert figures(None).count == 0


def test_normalisation_is_told_from_layers_and_operators() -> None:
    layers = ["Conv2d", "BatchNorm2d", "FrozenBatchNorm2d", "LayerNorm", "LocalResponseNorm"]
    assert layer_kinds(layers) == {"batch norm": 2, "layer norm": 1}
    assert layer_kinds({"Conv": 9, "GroupNormalization": 3}) == {"group norm": 3}
    assert layer_kinds(["aten::batch_norm", "instance_norm"]) == {
        "batch norm": 1,
        "instance norm": 1,
    }


def test_normalisation_is_told_from_names() -> None:
    assert stored_layers({"state_dict": weights()}) == {"batch norm": 1}
    assert stored_layers({"weight": record(2)}) == {}


def test_normalisation_is_told_from_a_pickled_module() -> None:
    def module(name: str, **children: Inert) -> Inert:
        tables = {"_parameters": {}, "_buffers": {}, "_modules": children, "training": False}
        return Inert(Reference("torch.nn", name), state=tables)

    whole = module("Net", a=module("GroupNorm"), b=module("Stage", c=module("GroupNorm")))
    assert stored_layers({"model": whole}) == {"group norm": 2}
