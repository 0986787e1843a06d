"""The command line of tests.fuzz."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path

from tests import fuzz
from tests.fuzz import worker
from tests.fuzz.supervisor import PATIENCE, Finding
from tests.fuzz.supervisor import fuzz as run

TARGETS = ("pictures", "archives", "journals", "banks", "metadata", "stored")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=fuzz.__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("targets", nargs="*", choices=[[], *TARGETS], metavar="KIND", help=", ".join(TARGETS))
    parser.add_argument("--seed", type=int, default=0, help="of the first file; the next has the next one")
    parser.add_argument("--count", type=int, default=10_000, help="files of each kind")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="the most time for each kind")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    parser.add_argument("--patience", type=float, default=PATIENCE, help="seconds after which a file hangs")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="write the first damaged file there, too")
    options = parser.parse_args()
    seeds = range(options.seed, options.seed + options.count)
    reports = {}
    for kind in options.targets or TARGETS:
        name = f"tests.fuzz.targets.{kind}"
        if options.keep:
            worker.put(worker.make(importlib.import_module(name), name, options.seed), options.keep / kind)
        report = run(name, seeds, options.seconds, options.jobs, options.patience, tell)
        reports[kind] = report.as_json()
    print(json.dumps(reports, indent=2, ensure_ascii=False))
    sys.exit(any(report["findings"] for report in reports.values()))


def tell(finding: Finding) -> None:
    print(f"{finding.kind}: {finding.detail}\n    {finding.repeat}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
