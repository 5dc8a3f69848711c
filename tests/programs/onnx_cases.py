"""Operators to try: nodes, weights, opset, by what is tried; those that calculate."""

from typing import Any

import numpy as np
from onnx import TensorProto

from tests.programs.onnx_graphs import NODE, flat, numbers

SQUARE = numbers(8, 5)


def one(kind: str, *inputs: str, **attributes: Any) -> list[Any]:
    return flat(NODE(kind, ["x", *inputs], ["out"], name="tested", **attributes))


def scalar(value: float) -> np.ndarray[Any, Any]:
    return np.array(value, dtype=np.float32)


CASES: dict[str, tuple[Any, ...]] = {
    **{
        kind: (one(kind), {}, 20)
        for kind in (
            *("Abs", "Ceil", "Cos", "Erf", "Exp", "Floor", "Neg", "Round", "Sign", "Sin"),
            *("Relu", "Sigmoid", "Tanh", "Softplus", "Softsign", "Mish", "HardSwish"),
            *("HardSigmoid", "Selu", "LeakyRelu", "Elu", "Celu", "ThresholdedRelu", "Gelu"),
            *("Identity", "Dropout", "GlobalAveragePool", "GlobalMaxPool", "LogSoftmax"),
        )
    },
    **{
        kind: (one(kind, "w"), {"w": numbers(2, 1, 1)}, 20)
        for kind in ("Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mean", "PRelu")
    },
    **{
        f"{kind} of the square": (
            flat(NODE("Mul", ["x", "x"], ["s"]), NODE(kind, ["s"], ["out"])),
            {},
            20,
        )
        for kind in ("Sqrt", "Log", "Reciprocal")
    },
    "Pow": (one("Pow", "two"), {"two": scalar(2)}, 20),
    "Add a number": (one("Add", "two"), {"two": scalar(2)}, 20),
    "subtract from a number": (flat(NODE("Sub", ["two", "x"], ["out"])), {"two": scalar(2)}, 20),
    "divide a number": (flat(NODE("Div", ["two", "x"], ["out"])), {"two": scalar(2)}, 20),
    "Mod": (one("Mod", "two", fmod=1), {"two": scalar(2)}, 20),
    "HardSigmoid as torch has it": (one("HardSigmoid", alpha=1 / 6), {}, 20),
    "Gelu tanh": (one("Gelu", approximate="tanh"), {}, 20),
    "LeakyRelu alpha": (one("LeakyRelu", alpha=0.3), {}, 9),
    "Clip 9": (one("Clip", min=-0.5, max=0.25), {}, 9),
    "Clip 9 below": (one("Clip", min=-0.5), {}, 9),
    "Clip 13": (one("Clip", "", "high"), {"high": scalar(0.5)}, 13),
    "Clip 0 to 6": (one("Clip", "low", "high"), {"low": scalar(0), "high": scalar(6)}, 13),
    "Where": (
        flat(
            NODE("Greater", ["x", "zero"], ["c"]),
            NODE("Where", ["c", "x", "zero"], ["out"]),
        ),
        {"zero": scalar(0)},
        20,
    ),
    "logic": (
        flat(
            NODE("Less", ["x", "zero"], ["a"]),
            NODE("GreaterOrEqual", ["x", "one"], ["b"]),
            NODE("Or", ["a", "b"], ["c"]),
            NODE("LessOrEqual", ["x", "one"], ["d"]),
            NODE("And", ["c", "d"], ["e"]),
            NODE("Not", ["e"], ["f"]),
            NODE("Equal", ["f", "a"], ["g"]),
            NODE("Xor", ["g", "b"], ["h"]),
            NODE("Cast", ["h"], ["out"], to=TensorProto.FLOAT),
        ),
        {"zero": scalar(0), "one": scalar(1)},
        20,
    ),
    "CastLike": (
        flat(NODE("Greater", ["x", "z"], ["a"]), NODE("CastLike", ["a", "x"], ["out"])),
        {"z": scalar(0)},
        20,
    ),
    "Softmax 9 flattens": (one("Softmax", axis=2), {}, 9),
    "Softmax 9 last": (one("Softmax", axis=3), {}, 9),
    "Softmax 13": (one("Softmax", axis=1), {}, 13),
    "LogSoftmax 11": (one("LogSoftmax"), {}, 11),
    "Conv": (one("Conv", "w"), {"w": numbers(4, 2, 3, 3)}, 11),
    "Conv with all settings": (
        one("Conv", "w", "b", pads=[2, 1, 2, 1], strides=[2, 1], dilations=[1, 2], group=2),
        {"w": numbers(4, 1, 3, 3), "b": numbers(4)},
        20,
    ),
    "Conv with pads that differ": (
        one("Conv", "w", pads=[0, 1, 2, 1]),
        {"w": numbers(4, 2, 3, 3)},
        20,
    ),
    "Conv SAME_UPPER": (
        one("Conv", "w", auto_pad="SAME_UPPER", strides=[2, 2]),
        {"w": numbers(4, 2, 3, 3)},
        9,
    ),
    "Conv SAME_LOWER": (
        one("Conv", "w", auto_pad="SAME_LOWER", strides=[2, 2]),
        {"w": numbers(4, 2, 2, 3)},
        9,
    ),
    "Conv VALID": (one("Conv", "w", auto_pad="VALID"), {"w": numbers(4, 2, 3, 3)}, 9),
    "Conv with a calculated weight": (
        flat(NODE("Mul", ["w", "w"], ["v"]), NODE("Conv", ["x", "v"], ["out"])),
        {"w": numbers(4, 2, 3, 3)},
        20,
    ),
    "ConvTranspose": (
        one("ConvTranspose", "w", "b", strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 0]),
        {"w": numbers(2, 3, 3, 3), "b": numbers(3)},
        20,
    ),
    "BatchNormalization": (
        one("BatchNormalization", "g", "b", "m", "v", epsilon=1e-2),
        {
            "g": numbers(2),
            "b": numbers(2, seed=1),
            "m": numbers(2, seed=2),
            "v": scalar(1) + 0 * numbers(2),
        },
        9,
    ),
    "InstanceNormalization": (
        one("InstanceNormalization", "g", "b"),
        {"g": numbers(2), "b": numbers(2, seed=1)},
        9,
    ),
    "GroupNormalization 18": (
        one("GroupNormalization", "g", "b", num_groups=1),
        {"g": numbers(1), "b": numbers(1, seed=1)},
        18,
    ),
    "GroupNormalization 21": (
        one("GroupNormalization", "g", "b", num_groups=1),
        {"g": numbers(2), "b": numbers(2, seed=1)},
        21,
    ),
    "LayerNormalization": (
        one("LayerNormalization", "g", "b", epsilon=1e-2),
        {"g": numbers(8), "b": numbers(8, seed=1)},
        17,
    ),
    "LayerNormalization of two": (
        one("LayerNormalization", "g", axis=-2),
        {"g": numbers(6, 8)},
        17,
    ),
    "LRN": (one("LRN", size=3, alpha=0.1, beta=0.5, bias=2.0), {}, 13),
    "MatMul": (one("MatMul", "w"), {"w": SQUARE}, 20),
    "MatMul and Add": (
        flat(NODE("MatMul", ["x", "w"], ["p"]), NODE("Add", ["b", "p"], ["out"])),
        {"w": SQUARE, "b": numbers(5)},
        20,
    ),
    "MatMul of activations": (
        flat(
            NODE("Transpose", ["x"], ["t"], perm=[0, 1, 3, 2]), NODE("MatMul", ["x", "t"], ["out"])
        ),
        {},
        20,
    ),
    "MatMul from the left": (flat(NODE("MatMul", ["w", "x"], ["out"])), {"w": numbers(3, 6)}, 20),
    "Gemm": (
        [NODE("Flatten", ["x"], ["f"]), NODE("Gemm", ["f", "w", "b"], ["y"], transB=1)],
        {"w": numbers(5, 96), "b": numbers(5)},
        9,
    ),
    "Gemm scaled": (
        [NODE("Flatten", ["x"], ["f"]), NODE("Gemm", ["f", "w", "b"], ["y"], alpha=0.5, beta=2.0)],
        {"w": numbers(96, 5), "b": numbers(1, 5)},
        13,
    ),
    "Gemm with one bias": (
        [NODE("Flatten", ["x"], ["f"]), NODE("Gemm", ["f", "w", "b"], ["y"])],
        {"w": numbers(96, 5), "b": numbers(1)},
        13,
    ),
    "Einsum": (one("Einsum", "w", equation="nchw,wk->nchk"), {"w": SQUARE}, 13),
    "MaxPool": (
        one("MaxPool", kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 0], dilations=[1, 2]),
        {},
        12,
    ),
    "MaxPool ceil": (one("MaxPool", kernel_shape=[4, 3], strides=[3, 2], ceil_mode=1), {}, 12),
    "MaxPool pads differ": (
        one("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1]),
        {},
        12,
    ),
    "MaxPool SAME_UPPER": (
        one("MaxPool", kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER"),
        {},
        9,
    ),
    "AveragePool": (
        one("AveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        {},
        11,
    ),
    "AveragePool include": (
        one("AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1),
        {},
        11,
    ),
    "AveragePool pads differ": (one("AveragePool", kernel_shape=[2, 2], pads=[0, 0, 1, 1]), {}, 11),
    "AveragePool pads differ, include": (
        one("AveragePool", kernel_shape=[2, 2], pads=[0, 1, 1, 0], count_include_pad=1),
        {},
        11,
    ),
    "AveragePool SAME_LOWER": (
        one("AveragePool", kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_LOWER"),
        {},
        11,
    ),
    "AveragePool ceil": (
        one("AveragePool", kernel_shape=[4, 3], strides=[3, 2], ceil_mode=1),
        {},
        19,
    ),
}
