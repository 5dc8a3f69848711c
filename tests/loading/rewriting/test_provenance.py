import json

from onnx import ModelProto

from backaudit.loading.rewriting.provenance import onnx_entries, safetensors_header

TENSORS = {"b": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, "a": {"dtype": "I64"}}


def told(header: bytes) -> dict[str, object]:
    length = int.from_bytes(header[:8], "little")
    assert length == len(header) - 8
    assert length % 8 == 0
    parsed: dict[str, object] = json.loads(header[8:])
    return parsed


def test_metadata_is_added_before_the_tensors_whose_order_stays() -> None:
    found = told(safetensors_header(json.dumps(TENSORS).encode(), {"method": "ft"}))
    assert list(found) == ["__metadata__", "b", "a"]
    assert found == {"__metadata__": {"method": "ft"}, **TENSORS}


def test_metadata_that_is_there_stays_where_it_is() -> None:
    header = {**TENSORS, "__metadata__": {"format": "pt", "method": "nad"}}
    found = told(safetensors_header(json.dumps(header).encode(), {"method": "ft", "seed": "1"}))
    assert list(found) == ["b", "a", "__metadata__"]
    both = {"format": "pt", "method": "nad", "method (2)": "ft", "seed": "1"}
    assert found["__metadata__"] == both


def test_entries_follow_an_onnx_model() -> None:
    model = ModelProto(producer_name="somebody")
    model.metadata_props.add(key="method", value="nad")
    long = "x" * 300
    data = model.SerializeToString() + onnx_entries({"method": "ft", "é": long}, {"method": "nad"})
    parsed = ModelProto.FromString(data)
    assert parsed.producer_name == "somebody"
    entries = {entry.key: entry.value for entry in parsed.metadata_props}
    assert entries == {"method": "nad", "method (2)": "ft", "é": long}
