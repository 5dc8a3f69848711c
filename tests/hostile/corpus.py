"""The corpus: every file that a stranger might hand over, written anew each time.

``python -m tests.hostile.corpus FOLDER`` writes all of it.
"""

import sys
from pathlib import Path

from tests.hostile import (
    archives,
    calls,
    controls,
    folders,
    gadgets,
    onnx_files,
    others,
    programs,
    safetensors_files,
    structure,
    tensors,
)
from tests.hostile.case import Canary, Case

PARTS = (
    *(calls, gadgets, structure, archives, tensors, safetensors_files),
    *(onnx_files, programs, folders, others, controls),
)
ALL = tuple(case for part in PARTS for case in part.cases())
CASES: dict[str, Case] = {case.name: case for case in ALL}


def write(folder: Path, canary: Canary) -> dict[str, Path]:
    """Write every case into a folder of its own.

    Args:
        folder: gets one folder a case.
        canary: what hostile files would create if they were run.

    Returns:
        The path to hand to a scanner, by the case's name.
    """
    paths = {}
    for case in CASES.values():
        place = folder / case.name
        place.mkdir(parents=True)
        paths[case.name] = case.build(place, canary)
    return paths


if __name__ == "__main__":
    target = Path(sys.argv[1])
    write(target, Canary(target / "canary"))
