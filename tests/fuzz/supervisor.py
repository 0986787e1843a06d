"""Workers started, watched, and started again where they end before their time."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.fuzz.worker import FULL, PACKAGE, PREPARING, Notes
from tests.helpers import ROOT

PATIENCE = 60.0  # seconds that opening one file may take on the busiest machine
STARTING = 300.0  # seconds that a worker may take to begin
LOOKS = 0.05  # seconds between two looks at the workers
MEMORY = Path("/dev/shm")  # a folder that costs no disk, where the system has one


@dataclass(frozen=True)
class Finding:
    """A file that was neither opened nor refused as it should."""

    target: str
    seed: int
    kind: str  # crash, hang, memory, slow or error
    detail: str

    @property
    def repeat(self) -> str:
        """The command that does it again."""
        return f"python -m tests.fuzz {self.target.rpartition('.')[2]} --seed {self.seed} --count 1"

    @property
    def likeness(self) -> tuple[str, str]:
        """Equal for findings that have the same cause, most likely."""
        return self.kind, re.sub(r"\d+", "…", self.detail.partition(": ")[0])


@dataclass
class Report:
    """What came of damaged files of one kind."""

    files: int = 0
    refused: int = 0
    seconds: float = 0.0
    findings: list[Finding] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Findings that are alike as one, with the number of them."""
        alike: dict[tuple[str, str], list[Finding]] = {}
        for finding in self.findings:
            alike.setdefault(finding.likeness, []).append(finding)
        return {
            "files": self.files,
            "refused": self.refused,
            "seconds": round(self.seconds, 1),
            "files_per_s": round(self.files / max(self.seconds, 1e-9)),
            "findings": [
                {"times": len(group), **asdict(group[0]), "repeat": group[0].repeat}
                for group in alike.values()
            ],
        }


def fuzz(
    target: str,
    seeds: range,
    seconds: float = float("inf"),
    jobs: int = 1,
    patience: float = PATIENCE,
    tell: Callable[[Finding], None] = lambda finding: None,
) -> Report:
    """Open a damaged file for each seed, until the time is up.

    Parameters
    ----------
    target : the name of a module, see `tests.fuzz.targets`
    jobs : workers at a time
    patience : seconds without any news after which a worker hangs
    tell : called with each finding when it is found
    """
    report, began = Report(), time.monotonic()
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        workers = [_Worker(target, seeds[job::jobs], Path(folder, str(job)), patience) for job in range(jobs)]
        try:
            while not all(worker.done for worker in workers) and time.monotonic() - began < seconds:
                time.sleep(LOOKS)
                for finding in (finding for worker in workers for finding in worker.look()):
                    report.findings.append(finding)
                    tell(finding)
        finally:
            for worker in workers:
                worker.stop()
        report.seconds = time.monotonic() - began
        report.files = sum(worker.notes().opened for worker in workers)
        report.refused = sum(worker.notes().refused for worker in workers)
    return report


class _Worker:
    """One process after another, for some of the seeds."""

    def __init__(self, target: str, seeds: range, folder: Path, patience: float):
        self.target, self.seeds, self.folder, self.patience = target, seeds, folder, patience
        self.done = False
        self._read = 0  # findings that were read
        self._latest = seeds.start  # seed of a finding
        folder.mkdir()
        (folder / "notes").write_bytes(Notes().pack())
        (folder / "findings").touch()
        self._start(seeds.start)

    def _start(self, first: int) -> None:
        seeds = (first, self.seeds.stop, self.seeds.step)
        command = [sys.executable, "-m", "tests.fuzz.worker", self.target, *map(str, seeds)]
        self._process = subprocess.Popen(
            [*command, str(self.folder)],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(self.folder)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # where libraries complain of every file
        )
        self._seen, self._news, self._allowed = self.notes(), time.monotonic(), STARTING

    def notes(self) -> Notes:
        return Notes.read((self.folder / "notes").read_bytes())

    def look(self) -> list[Finding]:
        """What was found since the last look. A worker that ended too early is replaced."""
        if self.done:
            return []
        status = self._process.poll()
        if status is None and not self._hangs():
            return self._findings()
        self.stop()
        notes, found = self.notes(), self._findings()
        if notes.seed != PREPARING:
            kind = "hang" if status is None else "crash"
            detail = f"no news for {self.patience:g} s" if status is None else self._trace(status)
            found.append(Finding(self.target, notes.seed, kind, detail))
            self._latest = notes.seed
            notes = Notes(PREPARING, notes.opened + 1, notes.refused)
            (self.folder / "notes").write_bytes(notes.pack())
        elif status == 0:
            self.done = True
            return found
        elif status != FULL:
            trace = (self.folder / "trace").read_text(errors="replace")
            raise RuntimeError(f"A worker ended with status {status}, between two files: {trace}")
        self._start(self._latest + self.seeds.step)
        return found

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def _hangs(self) -> bool:
        notes, now = self.notes(), time.monotonic()
        if notes != self._seen:
            self._seen, self._news, self._allowed = notes, now, self.patience
        return now - self._news > self._allowed

    def _findings(self) -> list[Finding]:
        lines = (self.folder / "findings").read_bytes().split(b"\n")[self._read : -1]
        self._read += len(lines)
        found = [Finding(self.target, **json.loads(line)) for line in lines]
        self._latest = found[-1].seed if found else self._latest
        return found

    def _trace(self, status: int) -> str:
        """Why the process died and where Python was."""
        lines = (self.folder / "trace").read_text(errors="replace").splitlines()
        fatal = [line for line in lines if line.startswith("Fatal")]
        calls = [line.strip() for line in lines if line.lstrip().startswith("File ")]
        ours = [call for call in calls if PACKAGE in call]
        return " ".join([f"status {status}", *fatal[:1], *(ours or calls)[:1]])
