"""Do networks of torchvision and timm come back from every format with the same answers?

Run from a source checkout: ``python -m benchmarks.round_trip [--output FILE.json]``; on one core it
takes a quarter of an hour. timm and onnxscript must be installed.

Each network gets random numbers everywhere (batch-norm statistics, layer scales and heads too), is
saved in every way that people save networks, read by ``read_checkpoint`` and ``recognise``, and
given two random images. Its logits must equal the original's, to the last bit but for ONNX, whose
exporters change the arithmetic: there they may differ by 1e-4. Half precision is compared with the
original whose numbers were rounded, and ``nn.MultiheadAttention`` without its fused kernels, which
work without gradients alone. Where the same tensors fit several networks, clean images
decide in a scan; here the best of these networks counts, and the record says so.
"""

import argparse
import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

from backaudit.core.errors import BackauditError
from backaudit.loading.preparation.choosing import further_rivals
from backaudit.loading.recognition.recognise import recognise
from backaudit.loading.weights.checkpoint import read_checkpoint
from benchmarks.handed_over import made, networks, quietly, rounded, side, ways

ONNX_TOLERANCE = 1e-4
IMAGES = 2


@dataclass
class Case:
    """One network saved in one way.

    Args:
        library: that the network is of.
        network: its name.
        way: how it was saved.
        result: "exact", "close" (ONNX), "wrong", "refused" or "not made".
        words: of the refusal, or of the exporter's error.
        architecture: that it was recognised as.
        difference: largest of any logit.
        scale: the largest logit.
        among: how many networks the same tensors fit, of which clean images choose in a scan.
        seconds: that each step took.
    """

    library: str
    network: str
    way: str
    result: str = ""
    words: str = ""
    architecture: str = ""
    difference: float | None = None
    scale: float = 0.0
    among: int = 1
    seconds: dict[str, float] = field(default_factory=dict)


def main() -> None:
    """Try all cases, print a line each and a summary, and write all of them if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--only", help="one network")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    # Its fused attention rounds otherwise, has no gradients, and is in no exported graph.
    torch.backends.mha.set_fastpath_enabled(False)
    cases = []
    started = time.perf_counter()
    for library, name in networks():
        if chosen.only in (None, name):
            for case in _cases(library, name):
                print(_line(case), flush=True)
                cases.append(case)
    report = {
        "torch": torch.__version__,
        "cores": os.cpu_count(),
        "seconds": round(time.perf_counter() - started),
        **_summary(cases),
        "cases": [asdict(case) for case in cases],
    }
    print(json.dumps({key: value for key, value in report.items() if key != "cases"}, indent=1))
    if chosen.output:
        chosen.output.write_text(json.dumps(report, indent=1) + "\n", "utf-8")


def _cases(library: str, name: str) -> Iterator[Case]:
    network = made(library, name)
    pixels = side(library, network)
    images = torch.rand(IMAGES, 3, pixels, pixels, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        whole, halved = network(images), rounded(network)(images)
    for way, save in ways(library, images[:1]).items():
        case = Case(library, name, way)
        with TemporaryDirectory() as folder:
            start = time.perf_counter()
            try:
                file = quietly(save, network, Path(folder))
            except Exception as error:  # noqa: BLE001 - exporters raise anything
                case.result, case.words = "not made", _brief(error)
                yield case
                continue
            case.seconds["save"] = _since(start)
            _try(case, file, images, halved if "half" in way else whole)
        yield case


def _try(case: Case, file: Path, images: Tensor, wanted: Tensor) -> None:
    """Read, recognise and compare."""
    start = time.perf_counter()
    try:
        checkpoint = read_checkpoint(file)
        case.seconds["read"] = _since(start)
        start = time.perf_counter()
        found = recognise(checkpoint)
        case.seconds["recognise"] = _since(start)
    except BackauditError as error:
        case.result, case.words = "refused", str(error).replace(str(file), "FILE")
        return
    alike = [found, *found.rivals, *further_rivals(found)]
    answers = [(_difference(each.network, images, wanted), each) for each in alike]
    case.difference, best = min(answers, key=lambda pair: pair[0])
    case.architecture, case.among = best.architecture, len(alike)
    case.scale = float(wanted.abs().max())
    case.result = _result(case)


def _difference(network: nn.Module, images: Tensor, wanted: Tensor) -> float:
    with torch.no_grad():
        try:
            answers = network(images)
        except (RuntimeError, AssertionError):
            return float("inf")
    return float((answers - wanted).abs().max()) if answers.shape == wanted.shape else float("inf")


def _result(case: Case) -> str:
    if case.difference == 0:
        return "exact"
    close = case.difference is not None and case.difference < ONNX_TOLERANCE
    return "close" if close and case.way.startswith("ONNX") else "wrong"


def _summary(cases: list[Case]) -> dict[str, object]:
    table: dict[str, Counter[str]] = {}
    for case in cases:
        table.setdefault(case.way, Counter())[case.result] += 1
    refused = Counter(case.words for case in cases if case.result == "refused")
    onnx = [case.difference or 0 for case in cases if case.result == "close"]
    return {
        "files": sum(case.result != "not made" for case in cases),
        "results": dict(Counter(case.result for case in cases)),
        "by way": {way: dict(results) for way, results in table.items()},
        "largest difference of ONNX": max(onnx, default=0),
        "chosen by images among several networks": sum(case.among > 1 for case in cases),
        "refusals": dict(refused),
    }


def _line(case: Case) -> str:
    told = case.words or f"{case.architecture}, difference {case.difference:g} of {case.scale:.3g}"
    spent = " ".join(f"{step} {seconds:.2f}" for step, seconds in case.seconds.items())
    return f"{case.result:9}{case.library} {case.network}, {case.way}: {told} ({spent})"


def _brief(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:160]


def _since(start: float) -> float:
    return round(time.perf_counter() - start, 3)


if __name__ == "__main__":
    main()
