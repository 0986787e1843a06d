"""Do the work of `img2prompt.batch.work` in many processes or on many machines, with Ray Data."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from img2prompt import threads as computing
from img2prompt.batch.journal import Journal
from img2prompt.batch.rows import Row
from img2prompt.batch.sources import Item
from img2prompt.batch.work import cores, cut, describe, fingerprint, open_ahead
from img2prompt.errors import ConfigError, DataError, Img2PromptError
from img2prompt.libraries import install
from img2prompt.settings import Settings
from img2prompt.wording import reason

if TYPE_CHECKING:
    from img2prompt.pipeline import Pipeline

log = logging.getLogger(__name__)

STORE_BYTES = (
    128 * 2**20
)  # of Ray's object store: enough, as only names and results pass through it; 75 MB is its least


def import_ray() -> ModuleType:
    """Import ``ray`` with ``ray.data``, set up to print nothing and report nothing.

    Raises
    ------
    ConfigError
        When Ray is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # send no usage statistics
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # errors arrive as exceptions
    os.environ.setdefault(
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0"
    )  # otherwise Ray warns about its own default
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ConfigError(f"Ray is not installed. {install('ray', 'fsspec', 'threadpoolctl')}") from error
    return ray


def work_on_ray(
    settings: Settings,
    items: Sequence[Item],
    journal: Journal,
    batch_size: int,
    actors: int | None = None,
    workers: int | None = None,
) -> Iterator[list[Row]]:
    """Do the work of `img2prompt.batch.work` on Ray, with one model in each of several actors.

    It runs on the cluster that ``RAY_ADDRESS`` names or that this process is connected to, else in
    processes on this machine. Every node needs this version of img2prompt and must see the
    pictures under the same paths or URLs. An actor computes with as many threads as this process
    would, and reserves as many cores, or one GPU: the last bits of results depend on the number
    of threads, and may depend on the kind of processor.

    Groups are saved in the order in which they finish, so that none waits for a slow one. A
    stopped run leaves whole groups, of which at most the last is short. The next run cuts the
    missing items into the same groups again.

    Parameters
    ----------
    settings : settings of each actor's pipeline
    items : the pictures
    journal : has the `fingerprint` of these settings; every actor must have the same
    batch_size : pictures in a group
    actors : number of models; by default as many as the cluster has room for
    workers : threads that open pictures in each actor; by default one for each core, at most 8

    Yields
    ------
    The rows of each group, once they are saved.

    Raises
    ------
    ConfigError, WeightsError
        When Ray is not installed, a node lacks the weights or has another version, or none has
        room for a model.
    DataError
        When the journal cannot be written, or Ray cannot start or loses too many workers.
    """
    ray = import_ray()
    missing = journal.missing(items)
    if not missing:
        return
    groups = cut(missing, batch_size)
    threads = Threads.here()
    with _connected(ray, (actors or max(1, (os.cpu_count() or 1) // threads.cores)) * threads.cores):
        settings, reserved, room = _share(ray, settings, threads.cores)
        if not (actors or room):
            needs = "a GPU" if "num_gpus" in reserved else f"{threads.cores} cores, one for each thread"
            raise ConfigError(
                f"No machine of the cluster has {needs}. Set OMP_NUM_THREADS or --device to what one has, "
                "or give --actors if the cluster grows."
            )
        # Pickles only travel between the processes of this run, like everything that Ray sends.
        rows = [{"group": number, "items": pickle.dumps(group)} for number, group in enumerate(groups)]
        described = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            Worker,
            fn_constructor_args=(settings, journal.settings, threads, workers),
            compute=ray.data.ActorPoolStrategy(size=min(actors or room, len(groups))),
            **reserved,
        )
        try:
            for done in described.iter_rows():
                result = pickle.loads(done["result"])
                if isinstance(result, Img2PromptError):
                    raise result
                log.debug(
                    "Group %d came from process %d on %s.", done["group"], done["process"], done["node"]
                )
                journal.add(groups[done["group"]], result)
                yield result
        except ray.exceptions.UserCodeException:
            raise  # a mistake of this program
        except ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()[-1:]
            raise DataError(
                f"Ray stopped: {type(error).__name__} {' '.join(reason)}. What is done is kept; "
                "see the workers' memory and logs, and give the same command again."
            ) from error


class Threads(NamedTuple):
    """Numbers of threads that networks and NumPy's BLAS compute with; results depend on all of them."""

    networks: int  # of ONNX Runtime, see `img2prompt.threads`
    torch: int  # 0 where it is not loaded
    blas: int

    @property
    def cores(self) -> int:
        """Cores that a model needs."""
        return max(self.networks, self.torch)

    @classmethod
    def here(cls) -> Threads:
        """The numbers in this process."""
        from threadpoolctl import threadpool_info

        torch = sys.modules.get("torch")
        pools = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
        return cls(computing.count(), torch.get_num_threads() if torch else 0, max(pools, default=1))

    def use(self) -> None:
        """Compute with these numbers in this process, whatever Ray set OMP_NUM_THREADS to."""
        from threadpoolctl import threadpool_limits

        os.environ[computing.VARIABLE] = str(self.networks)
        if self.torch:
            import torch

            torch.set_num_threads(self.torch)
        threadpool_limits(self.blas, user_api="blas")


class Worker:
    """An actor: describes groups of pictures with a pipeline of its own.

    It returns the errors of this program instead of raising them, because Ray would wrap an
    exception in its own and try again.
    """

    def __init__(self, settings: Settings, expected: str, threads: Threads, workers: int | None):
        threads.use()
        self.workers = workers or cores()
        self.pipeline: Pipeline | Img2PromptError
        try:
            self.pipeline = _load(settings, expected)
        except Img2PromptError as error:
            self.pipeline = error

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        from socket import gethostname

        result: list[Row] | Img2PromptError
        if isinstance(self.pipeline, Img2PromptError):
            result = self.pipeline
        else:
            items = pickle.loads(row["items"])
            opened = list(open_ahead(self.pipeline, items, self.workers, ahead=len(items)))
            try:
                result = describe(self.pipeline, opened)
            except Img2PromptError as error:
                result = error
        return {
            "group": row["group"],
            "result": pickle.dumps(result),
            "process": os.getpid(),
            "node": gethostname(),
        }


def _load(settings: Settings, expected: str) -> Pipeline:
    from socket import gethostname

    from img2prompt import __version__
    from img2prompt.pipeline import load_pipeline

    pipeline = load_pipeline(settings)
    if fingerprint(pipeline) != expected:
        raise ConfigError(
            f"{gethostname()} would give other results: its img2prompt ({__version__}) or its weights "
            "are not those of the machine that started the run. Install the same on both."
        )
    return pipeline


@contextlib.contextmanager
def _connected(ray: ModuleType, processors: int) -> Iterator[None]:
    """Connect to Ray: keep an existing connection, else use RAY_ADDRESS, else start Ray for this block."""
    if ray.is_initialized():
        yield
        return
    quiet = {"logging_level": "error", "log_to_driver": False}
    local = {
        "address": "local",
        "num_cpus": processors,
        "object_store_memory": STORE_BYTES,
        "include_dashboard": False,
    }
    address = os.environ.get("RAY_ADDRESS")
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(**quiet, **({} if address else local))
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        where = f"at RAY_ADDRESS={address}" if address else "on this machine"
        raise DataError(f"Ray cannot start {where} ({reason(error)}).") from error
    if threading.current_thread() is threading.main_thread():
        # Ray has set its own, which exits with the signal's number.
        signal.signal(signal.SIGTERM, handler or signal.SIG_DFL)
    try:
        yield
    finally:
        ray.shutdown()


def _share(ray: ModuleType, settings: Settings, threads: int) -> tuple[Settings, dict[str, int], int]:
    """An actor's settings, the resources it reserves, and how many actors the cluster has room for."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = int(sum(node.get("GPU", 0) for node in nodes))
    takes_any = settings.device == "auto" and settings.engine not in (
        "lite",
        "endpoint",
    )  # which compute on processors
    if settings.device.startswith("cuda") or (takes_any and gpus):
        # Ray shows each actor its own GPU only.
        return replace(settings, device="cuda"), {"num_gpus": 1}, gpus
    device = "cpu" if settings.device == "auto" else settings.device
    room = sum(int(node.get("CPU", 0)) // threads for node in nodes)  # an actor runs on one node
    return replace(settings, device=device), {"num_cpus": threads}, room
