"""Operators to try: those that rearrange, reduce, resize or hold constants."""

from typing import Any

import numpy as np
from onnx import TensorProto, helper

from tests.programs.onnx_cases import one, scalar
from tests.programs.onnx_graphs import NODE, flat, numbers, whole

CASES: dict[str, tuple[Any, ...]] = {
    "Reshape": (one("Reshape", "s"), {"s": whole(0, -1, 4)}, 9),
    "Reshape of one image": (one("Reshape", "s"), {"s": whole(1, 4, 24)}, 20),
    "Reshape of one image, open": (one("Reshape", "s"), {"s": whole(1, -1)}, 20),
    "Reshape 14 allowzero": (one("Reshape", "s", allowzero=1), {"s": whole(-1, 96)}, 14),
    "Flatten 2": (
        flat(NODE("Flatten", ["x"], ["f"], axis=2), NODE("Reshape", ["f", "s"], ["out"])),
        {"s": whole(-1, 96)},
        20,
    ),
    "Transpose": (one("Transpose", perm=[0, 2, 3, 1]), {}, 20),
    "Squeeze 9": (
        flat(NODE("GlobalAveragePool", ["x"], ["g"]), NODE("Squeeze", ["g"], ["out"], axes=[2, 3])),
        {},
        9,
    ),
    "Squeeze everything": (
        flat(
            NODE("GlobalAveragePool", ["x"], ["g"]),
            NODE("Squeeze", ["g"], ["s"]),
            NODE("Reshape", ["s", "r"], ["out"]),
        ),
        {"r": whole(-1, 2)},
        13,
    ),
    "Squeeze 13": (
        flat(NODE("GlobalMaxPool", ["x"], ["g"]), NODE("Squeeze", ["g", "a"], ["out"])),
        {"a": whole(-1, -2)},
        13,
    ),
    "Unsqueeze 9": (one("Unsqueeze", axes=[1, 5]), {}, 9),
    "Unsqueeze 13": (one("Unsqueeze", "a"), {"a": whole(-1)}, 13),
    "Concat": (
        flat(NODE("Relu", ["x"], ["r"]), NODE("Concat", ["x", "r"], ["out"], axis=1)),
        {},
        20,
    ),
    "Concat with a token written for one image": (
        flat(NODE("Concat", ["t", "x"], ["out"], axis=-1)),
        {"t": numbers(1, 2, 6, 1)},
        20,
    ),
    "Concat with an expanded token": (
        flat(
            NODE("Shape", ["x"], ["s"]),
            NODE("Gather", ["s", "first"], ["n"], axis=0),
            NODE("Concat", ["n", "rest"], ["wanted"], axis=0),
            NODE("Expand", ["t", "wanted"], ["e"]),
            NODE("Concat", ["e", "x"], ["out"], axis=1),
        ),
        {"first": whole(0), "rest": whole(1, 6, 8), "t": numbers(1, 1, 6, 8)},
        20,
    ),
    "zeros as many as images": (
        flat(
            NODE("Shape", ["x"], ["s"], start=0, end=2),
            NODE("Concat", ["s", "rest"], ["wanted"], axis=0),
            NODE(
                "ConstantOfShape",
                ["wanted"],
                ["zeros"],
                value=helper.make_tensor("v", 1, [1], [2.0]),
            ),
            NODE("Concat", ["x", "zeros"], ["out"], axis=2),
        ),
        {"rest": whole(3, 8)},
        20,
    ),
    "Expand": (one("Expand", "s"), {"s": whole(3, 1, 2, 1, 1)[1:]}, 20),
    "Gather a number": (
        flat(NODE("Gather", ["x", "i"], ["out"], axis=3)),
        {"i": np.array(-2, dtype=np.int64)},
        20,
    ),
    "Gather several": (
        flat(NODE("Gather", ["x", "i"], ["out"], axis=2)),
        {"i": np.array([[0, -1], [2, 2]])},
        20,
    ),
    "Gather from a weight": (
        flat(NODE("Gather", ["w", "i"], ["b"]), NODE("Add", ["x", "b"], ["out"])),
        {"w": numbers(4, 8), "i": whole(3, 1, 1, 0, 2, 3)},
        20,
    ),
    "Slice 9": (one("Slice", starts=[1, -3], ends=[100, -1], axes=[2, 3]), {}, 9),
    "Slice 10 with steps": (
        one("Slice", "s", "e", "a", "t"),
        {"s": whole(-1, 1), "e": whole(-100, 7), "a": whole(2, 3), "t": whole(-2, 3)},
        10,
    ),
    "Split": (
        flat(
            NODE("Split", ["x"], ["a", "b"], axis=3, split=[3, 5]),
            NODE("Concat", ["b", "a"], ["out"], axis=3),
        ),
        {},
        9,
    ),
    "Split 18": (
        flat(
            NODE("Split", ["x"], ["a", "b", "c"], axis=3, num_outputs=3),
            NODE("Concat", ["b", "a", "c"], ["out"], axis=3),
        ),
        {},
        18,
    ),
    "Pad 9": (one("Pad", pads=[0, 0, 1, 2, 0, 0, 0, 1], value=3.0), {}, 9),
    "Pad reflect": (one("Pad", "p", mode="reflect"), {"p": whole(0, 0, 1, 2, 0, 0, 0, 1)}, 11),
    "Pad edge": (one("Pad", "p", mode="edge"), {"p": whole(0, 0, 1, 2, 0, 0, 0, 1)}, 11),
    "Pad some axes": (
        one("Pad", "p", "v", "a"),
        {"p": whole(1, 2, 0, 1), "v": scalar(0.5), "a": whole(3, 1)},
        18,
    ),
    "Tile": (one("Tile", "r"), {"r": whole(1, 2, 1, 3)}, 13),
    "DepthToSpace": (
        flat(
            NODE("Concat", ["x", "x"], ["c"], axis=1),
            NODE("DepthToSpace", ["c"], ["out"], blocksize=2),
        ),
        {},
        13,
    ),
    "DepthToSpace CRD": (
        flat(
            NODE("Concat", ["x", "x"], ["c"], axis=1),
            NODE("DepthToSpace", ["c"], ["out"], blocksize=2, mode="CRD"),
        ),
        {},
        13,
    ),
    "SpaceToDepth": (one("SpaceToDepth", blocksize=2), {}, 13),
    "ReduceMean": (one("ReduceMean", axes=[2, -1], keepdims=0), {}, 9),
    "ReduceMean 18": (one("ReduceMean", "a"), {"a": whole(1)}, 18),
    "ReduceSum 13": (one("ReduceSum", "a"), {"a": whole(2)}, 13),
    "ReduceSum without axes": (one("ReduceSum", noop_with_empty_axes=1), {}, 13),
    **{
        kind: (one(kind, axes=[2, 3]), {}, 11)
        for kind in (
            *("ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceProd", "ReduceSumSquare"),
            "ReduceLogSumExp",
        )
    },
    **{
        f"Resize {mode} {how}": (
            one("Resize", "", "s", mode=mode, coordinate_transformation_mode=how),
            {"s": np.array([1, 1, 2, 0.75], np.float32)},
            13,
        )
        for mode in ("nearest", "linear", "cubic")
        for how in ("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners")
    },
    "Resize to sizes": (one("Resize", "", "", "s"), {"s": whole(1, 2, 12, 12)}, 13),
    "Resize some axes": (
        one("Resize", "", "", "s", axes=[2, 3], mode="linear"),
        {"s": whole(9, 5)},
        18,
    ),
    "Range and Size": (
        flat(
            NODE("Shape", ["x"], ["s"]),
            NODE("Gather", ["s", "three"], ["w"]),
            NODE("Range", ["zero", "w", "one"], ["r"]),
            NODE("Cast", ["r"], ["f"], to=TensorProto.FLOAT),
            NODE("Mul", ["x", "f"], ["m"]),
            NODE("Size", ["r"], ["n"]),
            NODE("Cast", ["n"], ["nf"], to=TensorProto.FLOAT),
            NODE("Div", ["m", "nf"], ["out"]),
        ),
        {n: np.array(v, np.int64) for n, v in (("zero", 0), ("one", 1), ("three", 3))},
        20,
    ),
    "Constants": (
        flat(
            NODE("Constant", [], ["a"], value_float=2.0),
            NODE("Constant", [], ["b"], value_floats=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]),
            NODE("Constant", [], ["c"], value_ints=[0, 16, 6]),
            NODE("Mul", ["x", "a"], ["m"]),
            NODE("Add", ["m", "b"], ["n"]),
            NODE("Reshape", ["n", "c"], ["out"]),
        ),
        {},
        20,
    ),
    "Attention": (one("Attention", "x", "x"), {}, 23),
    "Attention with a mask": (one("Attention", "x", "x", "m", scale=0.3), {"m": numbers(6, 6)}, 23),
    "channels that an attention module weighs": (
        flat(
            NODE("GlobalAveragePool", ["x"], ["g"]),
            NODE("Conv", ["g", "w"], ["h"]),
            NODE("Sigmoid", ["h"], ["s"]),
            NODE("Mul", ["s", "x"], ["out"]),
        ),
        {"w": numbers(2, 2, 1, 1)},
        20,
    ),
}
