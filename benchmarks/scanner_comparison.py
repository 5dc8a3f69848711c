"""What picklescan, modelscan and fickling say of the hostile corpus, beside backaudit.

Run from a source checkout, with the scanners in environments of their own::

    python -m benchmarks.scanner_comparison --picklescan ENV/bin/picklescan \
        --modelscan ENV/bin/modelscan --fickling ENV/bin/python --output FILE

Each scanner is started once a file, with its default settings, 20 s and 4 GiB; results of scanners
that are not given are kept from the file, where it exists. fickling's command line reads bare
pickles only, so its functions ``scan_zip_archive`` and ``scan_file`` are called.
"""

import argparse
import json
import resource
import subprocess
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

from tests.hostile.case import LOADS, Canary, Case
from tests.hostile.corpus import CASES
from tests.hostile.outcome import loaded, surveyed

SECONDS, BYTES = 20, 4 * 2**30
STOPPED, PASSED, ERROR, SKIPPED, TIMEOUT = "stopped", "passed", "error", "skipped", "timed out"
PICKLESCAN = {0: PASSED, 1: STOPPED, 2: ERROR}
MODELSCAN = {0: PASSED, 1: STOPPED, 2: ERROR, 3: SKIPPED}
FICKLING = """
import sys, zipfile
from fickling.loader import scan_file, scan_zip_archive
path = sys.argv[1]
results = (
    scan_zip_archive(path, graceful=True).values()
    if zipfile.is_zipfile(path) else [scan_file(path, graceful=True)]
)
sys.exit(0 if all(result.is_safe for result in results) else 9)
"""
Verdict = Callable[[Path], str]


def main() -> None:
    """Scan the corpus with each scanner that was given, and write a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("picklescan", "modelscan", "fickling"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--output", type=Path, required=True)
    chosen = parser.parse_args()
    scanners = _scanners(chosen)
    known = json.loads(chosen.output.read_text()) if chosen.output.exists() else {}
    before = {
        name: dict(zip(known["columns"], row.split(", "), strict=True))
        for name, row in known.get("cases", {}).items()
    }
    rows = {case.name: before.get(case.name, {}) | _row(case, scanners) for case in CASES.values()}
    versions = {name: _version(given) for name, given in _given(chosen).items()}
    report = {
        "versions": known.get("versions", {}) | versions,
        "files": len(rows),
        "by_kind": _by_kind(rows),
        "columns": list(next(iter(rows.values()))),
        "cases": {name: ", ".join(row.values()) for name, row in rows.items()},
    }
    chosen.output.write_text(json.dumps(report, indent=1) + "\n")
    for kind, counts in _by_kind(rows).items():
        print(kind, {name: dict(count) for name, count in counts.items()})


def _given(chosen: argparse.Namespace) -> dict[str, str]:
    names = ("picklescan", "modelscan", "fickling")
    return {name: getattr(chosen, name) for name in names if getattr(chosen, name)}


def _scanners(chosen: argparse.Namespace) -> dict[str, Verdict]:
    scanners: dict[str, Verdict] = {"backaudit": _backaudit}
    if chosen.picklescan:
        scanners["picklescan"] = _command(PICKLESCAN, chosen.picklescan, "-p")
        scanners["picklescan --strict"] = _command(PICKLESCAN, chosen.picklescan, "--strict", "-p")
    if chosen.modelscan:
        scanners["modelscan"] = _command(MODELSCAN, chosen.modelscan, "-p")
    if chosen.fickling:
        codes = {0: PASSED, 9: STOPPED}
        scanners["fickling"] = _command(codes, chosen.fickling, "-I", "-c", FICKLING)
    return scanners


def _backaudit(path: Path) -> str:
    stopped = surveyed(path).result != LOADS or loaded(path).result != LOADS
    return STOPPED if stopped else PASSED


def _command(codes: dict[int, str], *command: str) -> Verdict:
    def verdict(path: Path) -> str:
        try:
            done = subprocess.run(  # noqa: S603
                [*command, str(path)],
                capture_output=True,
                timeout=SECONDS,
                check=False,
                preexec_fn=_limit,
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired:
            return TIMEOUT
        crashed = b"Traceback (most recent call last)" in done.stderr and done.returncode == 1
        return ERROR if crashed else codes.get(done.returncode, ERROR)

    return verdict


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))


def _row(case: Case, scanners: dict[str, Verdict]) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as name:
        canary = Canary(Path(name) / "canary")
        path = case.build(Path(name), canary)
        row = {scanner: verdict(path) for scanner, verdict in scanners.items()}
        if canary.path.exists():
            print(f"{case.name} was executed by a scanner: {row}")
    return row


def _by_kind(rows: dict[str, dict[str, str]]) -> dict[str, dict[str, Counter[str]]]:
    table: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for name, row in rows.items():
        for scanner, verdict in row.items():
            table[f"{CASES[name].kind} ({CASES[name].expected})"][scanner][verdict] += 1
    return table


def _version(executable: str) -> str:
    python = Path(executable).with_name("python")
    name = Path(executable).name.replace("python", "fickling")
    code = f"import importlib.metadata as m; print(m.version({name!r}))"
    done = subprocess.run(  # noqa: S603
        [python, "-c", code], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


if __name__ == "__main__":
    main()
