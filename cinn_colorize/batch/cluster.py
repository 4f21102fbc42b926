"""Photos on the machines of a Ray cluster, each by the same function as in the processes of one machine.

Ray Data distributes them to a pool of actors, one photo at a time. An actor that is killed is restarted, and
its photo is done again. Ray's driver is a process of its own: Ray prints unasked, handles signals itself, and
may end the process it is in. The process that started it prints and keeps the manifest, as in other batches.
"""

import contextlib
import ipaddress
import logging
import os
import pickle
import socket
from collections.abc import Generator, Iterator, Mapping
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from cinn_colorize import __version__
from cinn_colorize.batch.colorizing import Job
from cinn_colorize.batch.plan import Event, Failure, Plan, Result, Task
from cinn_colorize.batch.workers import Sender, prepare
from cinn_colorize.engines.choice import ModelSpec
from cinn_colorize.errors import CinnError, PhotoError, WorkerError, os_errors_as, printable_name
from cinn_colorize.files.atomic import TemporaryFolder, temporary
from cinn_colorize.files.processes import Child, end_with_parent

log = logging.getLogger(__name__)

_TRIES = 3  # for a photo whose process is killed, possibly because of the photo
_TIMEOUT = 10  # seconds, for a machine to answer and for Ray to end

_Row = dict[str, Any]  # of Ray Data


class _Answer(NamedTuple):
    """What a worker says of the task of this number."""

    number: int
    messages: list[logging.LogRecord | Event]


def on_cluster(
    address: str | None, workers: int | None, spec: ModelSpec, plan: Plan, items: Iterator[Task | Event]
) -> Generator[Event, None, None]:
    """Do the tasks on a Ray cluster, and pass on the events among them.

    ``address`` is as for ``ray.init``: HOST:PORT, ``auto`` or ``local``; None joins the cluster of this
    machine or of the environment, or else starts one for the duration of the batch. It does ``workers``
    photos at a time; None for one per core, or one per GPU where GPUs compute.
    """
    tasks: dict[int, Task] = {}
    for item in items:
        if isinstance(item, Task):
            tasks[len(tasks)] = item
        else:
            yield item
    if not tasks:
        return
    _check_address(address)
    level = logging.getLogger("cinn_colorize").level
    outputs = [output for task in tasks.values() for output in task.unlisted]
    with _probe(plan.folder) as probe:
        worker = {"spec": spec, "plan": plan, "level": level, "folder": Path.cwd(), "probe": probe}
        with _driver(outputs, address, workers, worker) as driver:
            yield from _listen(driver, tasks, {output for output in outputs if output.exists()})
    killed = f"the process that worked on it was killed {_TRIES} times"
    for path in [task.input.path for task in tasks.values()]:
        hint = "if memory ran out, use fewer --workers"
        yield Failure(path, f"{printable_name(path)}: {killed}; {hint}")


def _listen(driver: Connection, tasks: dict[int, Task], before: set[Path]) -> Iterator[Event]:
    """Yield the events of tasks, which are removed as they end; some of their files were there before."""
    try:
        driver.send(tasks)
        while True:
            answer: _Answer | CinnError | None = driver.recv()
            if isinstance(answer, CinnError):
                raise answer
            if not answer:
                return
            # A task that Ray ran again, having lost touch with its first run, counts once.
            for message in answer.messages if tasks.pop(answer.number, None) else ():
                if isinstance(message, logging.LogRecord):
                    log.handle(message)
                elif isinstance(message, Result) and message.output not in before:
                    # A worker that was killed after it had written a file left it to the next one.
                    yield replace(message, existed=False)
                else:
                    yield message
    except (EOFError, OSError):
        raise WorkerError("Ray is gone; run the same command again to continue") from None


def _check_address(address: str | None) -> None:
    """Check that a cluster answers; Ray itself would wait for minutes."""
    host, colon, port = (address or "").rpartition(":")
    if not colon:
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _TIMEOUT).close()
    except (OSError, ValueError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise WorkerError(f"no Ray cluster answers at {address} ({why})") from None


@contextlib.contextmanager
def _probe(folder: Path) -> Iterator[Path]:
    """Create a file in the output folder, which reveals machines that do not share the folder."""
    with os_errors_as(PhotoError, folder, "cannot be written to"):
        folder.mkdir(parents=True, exist_ok=True)
        path, descriptor = temporary(folder)
    try:
        yield path
    finally:
        os.close(descriptor)
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def _driver(outputs: list[Path], *arguments: object) -> Iterator[Connection]:
    """Start Ray's driver process and yield a connection to it; whatever it starts ends with it.

    Then temporary files beside the outputs, which killed workers may have left, are removed.
    """
    child = Child(_drive, *arguments)
    try:
        yield child.pipe
    finally:
        child.pipe.close()
        child.process.terminate()
        child.process.join(_TIMEOUT)
        child.kill(outputs)


def _drive(parent: Connection, address: str | None, workers: int | None, worker: _Row) -> None:
    """Receive tasks; send the answer to each, and None or an error at the end."""
    end_with_parent()
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):
        os.dup2(null, stream)
    try:
        with contextlib.closing(_answers(parent.recv(), address, workers, worker)) as answers:
            for answer in answers:
                parent.send(answer)
        parent.send(None)
    except CinnError as error:
        parent.send(error)
    except OSError as error:  # from ray.init, or because the parent has ended
        advice = "if the cluster requires a token, set RAY_AUTH_MODE=token"
        parent.send(WorkerError(f"Ray: {error}; {advice}"))
    except Exception as error:
        line = (str(error).strip().splitlines() or [repr(error)])[-1].strip()
        advice = "run the same command again to continue"
        if "ModuleNotFoundError" in line:
            advice = "install 'cinn-colorize[ray]' on all machines of the cluster"
        parent.send(WorkerError(f"Ray: {line}; {advice}"))


def _answers(
    tasks: Mapping[int, Task], address: str | None, workers: int | None, worker: _Row
) -> Generator[_Answer, None, None]:
    import ray
    from ray.data import ActorPoolStrategy, DataContext, from_items

    spec: ModelSpec = worker["spec"]
    try:
        _join_or_start(address)
        resources = ray.cluster_resources()  # type: ignore[no-untyped-call]
        cores, gpus = int(resources.get("CPU", 0)), int(resources.get("GPU", 0))
        device = spec.device if spec.device != "auto" else "cuda" if gpus else "cpu"
        if device == "cuda" and not gpus:
            raise WorkerError("the Ray cluster has no GPU; omit --device")
        number = min(workers or (gpus if device == "cuda" else cores) or 1, len(tasks))

        context = DataContext.get_current()
        context.enable_progress_bars = False
        context.max_errored_blocks = -1  # a photo that failed is recognised by its absence
        items = [{"number": number, "task": pickle.dumps(task)} for number, task in tasks.items()]
        rows = from_items(items, override_num_blocks=len(items)).flat_map(
            _Worker,
            fn_constructor_kwargs={
                **worker,
                "spec": replace(spec, device=device),
                "weights": ray.put(spec.weights.read_bytes()),
                "version": __version__,
            },
            compute=ActorPoolStrategy(size=number, max_tasks_in_flight_per_actor=1),
            num_cpus=1,
            num_gpus=1 if device == "cuda" else 0,
            max_restarts=-1,
            max_task_retries=_TRIES - 1,
        )
        for row in rows.iter_rows():
            answer: _Answer | CinnError = pickle.loads(row["answer"])
            if isinstance(answer, CinnError):
                raise answer
            yield answer
    finally:
        ray.shutdown()


def _join_or_start(address: str | None) -> None:
    """Join a cluster, or start one, which listens on the loopback address only: Ray runs what it receives."""
    import ray
    from ray._private import ray_constants, services

    starts = services.canonicalize_bootstrap_address(address) is None  # type: ignore[arg-type]
    if starts:
        # All that Ray starts listens where the node's address is. As an argument, the loopback address would
        # be replaced by the machine's; this is how Ray keeps to it where a firewall would ask.
        ray_constants.ENABLE_RAY_CLUSTER = False
        address = "local"
    ray.init(address, log_to_driver=False, logging_level=logging.CRITICAL, include_dashboard=False)
    node = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    if starts and not ipaddress.ip_address(node).is_loopback:
        advice = "omit --engine ray, or start a cluster with ray start and give its --address"
        raise WorkerError(f"Ray {ray.__version__} would listen beyond this machine; {advice}")


class _Worker:
    """A process of the cluster; if it cannot start its work, the error is its answer to the first photo."""

    def __init__(self, **arguments: Any) -> None:
        self._messages: list[logging.LogRecord | Event] = []
        self._sender = Sender(self._messages.append)
        try:
            self._job: Job | CinnError = self._start(**arguments)
        except CinnError as error:
            self._job = error

    def _start(
        self, spec: ModelSpec, plan: Plan, level: int, folder: Path, probe: Path, weights: Any, version: str
    ) -> Job:
        import ray

        host = socket.gethostname()
        if version != __version__:
            advice = "install the same version everywhere"
            raise WorkerError(f"{host} has cinn-colorize {__version__}, not {version}; {advice}")
        with contextlib.suppress(OSError):  # which matters only if there are relative paths
            os.chdir(folder)
        if not probe.exists():
            must = "photos and results must lie in folders that all machines of the cluster share"
            name = printable_name(plan.folder)
            raise WorkerError(f"{host} does not see the folder {name}; {must} under the same path")
        self._sender.take_log(level)
        with TemporaryFolder() as name:
            file = Path(name, spec.weights.name)
            file.write_bytes(ray.get(weights))
            spec = replace(spec, weights=file)
            prepare(spec, threads=1)
            job = Job(spec, plan)
            job.load()
            return job

    def __call__(self, row: _Row) -> list[_Row]:
        if isinstance(self._job, CinnError):
            return [{"answer": pickle.dumps(self._job)}]
        self._messages.clear()
        for event in self._job.events(pickle.loads(row["task"])):
            self._sender.send(event)
        return [{"answer": pickle.dumps(_Answer(row["number"], self._messages))}]
