"""Build a target of the Dockerfile without a container engine, and run what came out.

    python deploy/check.py cpu
    python deploy/check.py cpu --quick     # offline: this Python's packages in place of downloads

For root on Linux. Each stage is a layer (overlayfs) over this machine's own files, in a mount namespace that
ends with this program; nothing of the machine is changed. The Python that runs this is mounted at /usr/local,
where the base image has its own. In there the RUN steps are executed as they are written. Then the app is
started as an engine would start it (the image's user, no capabilities, everything read-only but /data and
/tmp) and asked with the image's own health check until it is well.

Not checked, because only an engine has them: the base image (this machine's Debian and Python stand in for
it), pulling and pushing, the engine's networks and memory limit, and NVIDIA's container runtime.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import shlex
import shutil
import signal
import string
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from docker.utils import exclude_paths
from dockerfile_parse import DockerfileParser

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
NAMESPACE = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--"]
INSIDE = "IMG2PROMPT_CHECK_INSIDE"  # set for the part of this program that runs in the namespace
# Settings of this machine's network, which an engine would hand to its builds too.
NETWORK = re.compile(r"(PIP_(?!NO_)\w+|SSL_CERT_\w+|REQUESTS_CA_BUNDLE|https?_proxy|no_proxy)", re.IGNORECASE)
BASE = {"PATH": "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
PATIENCE = 180  # seconds until the app must be well
BORROWED = "/opt/borrowed/site-packages"  # where --quick mounts this Python's packages, so that pip finds them installed
OFFLINE = {"PYTHONPATH": BORROWED, "PIP_NO_INDEX": "1"}


@dataclass
class Stage:
    """What stands between one FROM and the next."""

    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)  # instruction and its value


@dataclass(frozen=True)
class Image:
    """What a stage leads to."""

    layer: Path | None = None  # folder with what is not as in the machine's own file system
    binds: tuple[tuple[Path, str], ...] = ()  # folders from elsewhere, and where they are in the image
    env: Mapping[str, str] = field(default_factory=dict)
    workdir: str = "/"
    user: str = "root"
    volumes: tuple[str, ...] = ()
    healthcheck: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()

    def files(self, path: str) -> Path:
        """Where a folder that was made in this image is on the machine."""
        assert self.layer
        return self.layer / path.lstrip("/")


def read_stages(dockerfile: Path = DOCKERFILE) -> dict[str, Stage]:
    """Name → stage, in the file's order. Stages without a name are not supported."""
    stages: dict[str, Stage] = {}
    for part in DockerfileParser(fileobj=io.BytesIO(dockerfile.read_bytes())).structure:
        instruction, value = part["instruction"], part["value"]
        if instruction == "FROM":
            base, name = re.split(r"\s+AS\s+", value, flags=re.IGNORECASE)
            stages[name] = stage = Stage(base)
        elif instruction != "COMMENT":
            stage.steps.append((instruction, value))
    return stages


def build_context(root: Path = ROOT) -> list[str]:
    """The files that a build may copy, as .dockerignore leaves them; paths relative to the root."""
    lines = (root / ".dockerignore").read_text("utf-8").splitlines()
    patterns = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    found = exclude_paths(str(root), patterns, dockerfile="deploy/Dockerfile")
    found -= {".dockerignore", "deploy/Dockerfile"}  # sent along for the engine itself
    return sorted(path for path in found if (root / path).is_file())


def copied(value: str, context: Sequence[str]) -> list[tuple[str, str]]:
    """The files of a COPY step from the build context, each with its path in the image.

    Raises
    ------
    FileNotFoundError
        When a source is not in the context.
    """
    *sources, target = value.split()
    pairs = []
    for source in sources:
        inside = [path for path in context if path.startswith(f"{source}/")]
        if source in context:
            pairs.append((source, target + Path(source).name if target.endswith("/") else target))
        elif inside:
            pairs += [(path, f"{target.rstrip('/')}{path[len(source) :]}") for path in inside]
        else:
            raise FileNotFoundError(f"COPY {value}: there is no {source}, or .dockerignore leaves it out.")
    return pairs


class Builder:
    """Builds stages in a scratch folder; each at most once."""

    def __init__(self, scratch: Path, quick: bool) -> None:
        self.scratch, self.quick = scratch, quick
        self.stages, self.context = read_stages(), build_context()
        self._built: dict[str, Image] = {}

    def build(self, name: str) -> Image:
        """The image of a stage, after those that it is made from."""
        if name not in self._built:
            stage = self.stages[name]
            image = (
                self.build(stage.base)
                if stage.base in self.stages
                else Image(env={**BASE, **(OFFLINE if self.quick else {})})
            )
            place = self.scratch / name
            place.mkdir()
            if image.layer:
                run("cp", "--archive", image.layer, place / "layer")
            else:
                (place / "layer").mkdir()
            image = replace(image, layer=place / "layer")
            root = self.mount(image, place)
            for instruction, value in stage.steps:
                say(f"[{name}] {instruction} {value}")
                image = self.step(image, root, instruction, value)
            self._built[name] = image
        return self._built[name]

    def step(self, image: Image, root: Path, instruction: str, value: str) -> Image:
        """The image after one more instruction."""
        if instruction == "RUN":
            self.execute(image, root, re.sub(r"^(--mount=\S+\s+)+", "", value))
        elif instruction == "COPY" and value.startswith("--from="):
            origin, source, target = value.removeprefix("--from=").split()
            folder = self.build(origin).files(source)
            bind(folder, root / target[1:])  # the same to those who read it, without another few GB
            return replace(image, binds=(*image.binds, (folder, target)))
        elif instruction == "COPY":
            for source, target in copied(value, self.context):
                place = root / image.workdir[1:] / target
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, place)
        elif instruction == "ENV":
            pairs = (pair.partition("=") for pair in shlex.split(value))
            changes = {key: string.Template(text).substitute(image.env) for key, _, text in pairs}
            return replace(image, env={**image.env, **changes})
        elif instruction == "WORKDIR":
            (root / value[1:]).mkdir(parents=True, exist_ok=True)
            return replace(image, workdir=value)
        elif instruction == "USER":
            return replace(image, user=value)
        elif instruction == "VOLUME":
            return replace(image, volumes=(*image.volumes, value))
        elif instruction == "HEALTHCHECK":
            return replace(image, healthcheck=tuple(json.loads(value.partition("CMD ")[2])))
        elif instruction == "CMD":
            return replace(image, cmd=tuple(json.loads(value)))
        elif instruction != "EXPOSE":
            raise NotImplementedError(f"{instruction} in the Dockerfile: teach deploy/check.py what it does.")
        return image

    def execute(self, image: Image, root: Path, command: str) -> None:
        """Run a shell command in the image, as root."""
        network = {key: value for key, value in os.environ.items() if NETWORK.fullmatch(key)}
        env = {**network, **image.env}
        start = time.monotonic()
        subprocess.run(inside(image, root, ["/bin/sh", "-c", command], env), check=True)
        say(f"    took {time.monotonic() - start:.0f} s")

    def mount(self, image: Image, place: Path, volumes: Mapping[str, Path] | None = None) -> Path:
        """Mount an image's files below a folder: read-only but for volumes and /tmp if there are any."""
        root, work = place / "root", place / "work"
        root.mkdir()
        work.mkdir()
        options = f"lowerdir=/,upperdir={image.layer},workdir={work}"
        run("mount", "-t", "overlay", "overlay", "-o", options, root)
        bind(Path(sys.base_prefix), root / "usr/local")
        run("mount", "-t", "proc", "proc", root / "proc")
        bind(Path("/dev"), root / "dev", read_only=False)
        if self.quick:
            bind(Path(sysconfig.get_path("purelib")), root / BORROWED[1:])
        for folder, target in image.binds:
            bind(folder, root / target[1:])
        if volumes is not None:
            run("mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", root / "tmp")
            run("mount", "-t", "tmpfs", "-o", "mode=1777,size=64m", "tmpfs", root / "dev/shm")
            for target, folder in volumes.items():
                bind(folder, root / target[1:], read_only=False)
            run("mount", "-o", "remount,ro", root)
        return root


def inside(image: Image, root: Path, command: Sequence[str], env: Mapping[str, str]) -> list[str]:
    """The command line that runs a command in a mounted image as its user."""
    become: list[str] = []
    if image.user != "root":
        ids = [
            subprocess.check_output(["chroot", root, "id", kind, image.user], text=True).strip()
            for kind in ("-u", "-g")
        ]
        become = [
            "setpriv",
            "--reuid",
            ids[0],
            "--regid",
            ids[1],
            "--clear-groups",
            "--no-new-privs",
            "--bounding-set=-all",
            "--inh-caps=-all",
        ]
    variables = [f"{key}={value}" for key, value in {"LD_LIBRARY_PATH": "/usr/local/lib", **env}.items()]
    return ["chroot", str(root), *become, "env", "-i", f"--chdir={image.workdir}", *variables, *command]


def serve(builder: Builder, image: Image, port: int, stay: bool) -> None:
    """Start the app, wait until it is well, try its walls, load its page; exits with a message otherwise."""
    place = builder.scratch / "container"
    place.mkdir()
    volumes = {}
    for target in image.volumes:
        owner = image.files(target).stat()
        volumes[target] = place / target[1:]
        volumes[target].mkdir()
        os.chown(volumes[target], owner.st_uid, owner.st_gid)
    root = builder.mount(image, place, volumes)
    env = {**image.env, "STREAMLIT_SERVER_PORT": str(port)}
    health = inside(image, root, image.healthcheck, env)
    expect(not succeeds(health), "without an app the health check fails")

    start = time.monotonic()
    app = subprocess.Popen(inside(image, root, image.cmd, env))
    while not succeeds(health):
        expect(app.poll() is None, "the app runs")
        expect(time.monotonic() - start < PATIENCE, f"the app is well within {PATIENCE} s")
        time.sleep(0.5)
    say(f"Well after {time.monotonic() - start:.0f} s.")

    status = read_status(root, app.pid)
    expect(status["Uid"].split()[0] != "0" and int(status["CapBnd"], 16) == 0, "the app has no privileges")
    for folder in ("/", "/app", "/opt/venv", "/usr/local", "/etc", "/var/tmp", "/tmp", *image.volumes):
        may = folder in ("/tmp", *image.volumes)
        written = succeeds(inside(image, root, ["touch", f"{folder}/written"], env))
        expect(written == may, f"{folder} can{'' if may else 'not'} be written")
    with urllib.request.urlopen(f"http://localhost:{port}/") as page:
        expect(b'<div id="root">' in page.read(), "the page loads")
    if stay:
        say(f"Ready on http://localhost:{port} until standard input ends.")
        sys.stdin.read()
    status = read_status(root, app.pid)
    say(f"Peak memory of the app: {int(status['VmHWM'].split()[0]) // 1024} MiB.")
    app.terminate()
    try:
        app.wait(10)
    except subprocess.TimeoutExpired:  # an engine is not more patient
        app.kill()
        say("Killed, since it did not stop within 10 s.")


def read_status(root: Path, process: int) -> dict[str, str]:
    """The kernel's word on a process in a mounted image: Uid, CapBnd, VmHWM…"""
    lines = (root / "proc" / str(process) / "status").read_text("utf-8").splitlines()
    return dict(line.split(":\t", 1) for line in lines)


def bind(folder: Path, place: Path, read_only: bool = True) -> None:
    place.mkdir(parents=True, exist_ok=True)
    run("mount", "--bind", folder, place)
    if read_only:
        run("mount", "-o", "remount,bind,ro", place)


def run(*command: str | Path) -> None:
    subprocess.run(command, check=True)


def succeeds(command: Sequence[str]) -> bool:
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def say(message: str) -> None:
    print(message, flush=True)


def expect(condition: bool, what: str) -> None:
    if not condition:
        sys.exit(f"Not so: {what}.")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("target", choices=("cpu", "cuda"))
    parser.add_argument("--quick", action="store_true", help="packages of this Python in place of downloads")
    parser.add_argument("--port", type=int, default=8501)
    parser.add_argument("--stay", action="store_true", help="keep the app running until standard input ends")
    parser.add_argument("--scratch", type=Path, help="folder for the layers; by default a temporary one")
    options = parser.parse_args()
    if os.environ.pop(INSIDE, None) is None:
        if os.geteuid():
            sys.exit("Overlays and another user's processes need root: run this with sudo.")
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what is below is cleaned up
        with tempfile.TemporaryDirectory(prefix="img2prompt-check-", dir=options.scratch) as scratch:
            again = [*NAMESPACE, sys.executable, *sys.argv, "--scratch", scratch]
            sys.exit(subprocess.run(again, check=False, env={**os.environ, INSIDE: "yes"}).returncode)
    builder = Builder(options.scratch, options.quick)
    serve(builder, builder.build(options.target), options.port, options.stay)
    say(f"The {options.target} target is fine.")


if __name__ == "__main__":
    main()
