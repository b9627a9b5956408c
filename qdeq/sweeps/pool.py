"""Ray as a pool of worker processes: one cell at a time in each, a fresh process for every cell."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, Protocol

from qdeq.errors import PluginError, TrainingError
from qdeq.extras import install_extra
from qdeq.sweeps.worker import Outcome, Task, run_task

STOP_SECONDS = 60.0
"""How long cells that were asked to stop have for writing their checkpoints."""

REACH_SECONDS = 10.0
"""How long a cluster's address has for answering."""

_OBJECT_STORE = (
    80 << 20
)  # bytes; Ray's least is 75 MiB, its default a third of the memory, and cells send next to nothing


class Pool(Protocol):
    """Runs tasks in other processes."""

    workers: int
    """How many tasks are run at a time."""

    def submit(self, name: str, task: Task, gpus: float) -> None:
        """Take on a task; names are unique among those taken on."""

    def wait(self, seconds: float) -> list[tuple[str, Outcome]]:
        """Return the tasks that have ended; wait at most so long for the first."""

    def stop(self) -> None:
        """Ask all tasks to stop, and wait until they have written their checkpoints."""


class RayPool:
    """A pool on Ray. See :func:`ray_pool`."""

    def __init__(self, workers: int, cpus: int) -> None:
        import ray

        self._ray = ray
        self.workers = workers
        # max_calls: a fresh process for each cell, so that its peak memory is its own, and nothing is left from others;
        # max_retries: the sweep decides what is run again
        self._run = ray.remote(num_cpus=cpus, max_calls=1, max_retries=0)(run_task)
        self._names: dict[Any, str] = {}

    def submit(self, name: str, task: Task, gpus: float) -> None:
        """Hand a task to Ray."""
        self._names[self._run.options(num_gpus=gpus, name=name).remote(asdict(task))] = name

    def wait(self, seconds: float) -> list[tuple[str, Outcome]]:
        """Return the tasks that have ended."""
        if not self._names:
            time.sleep(seconds)
            return []
        done, _ = self._ray.wait(list(self._names), num_returns=1, timeout=seconds)
        return [(self._names.pop(reference), self._outcome(reference)) for reference in done]

    def stop(self) -> None:
        """Interrupt all tasks as Ctrl-C does, and give them time to save their state."""
        for reference in self._names:
            self._ray.cancel(reference)
        if self._names:
            self._ray.wait(list(self._names), num_returns=len(self._names), timeout=STOP_SECONDS)
        self._names.clear()

    def _outcome(self, reference: Any) -> Outcome:
        errors = self._ray.exceptions
        try:
            return Outcome(**self._ray.get(reference))
        except errors.TaskCancelledError:
            return Outcome("interrupted")
        except errors.RayTaskError as error:  # what run_task does not catch: qdeq is missing on that machine, say
            return Outcome("failed", str(error.cause or error).strip().splitlines()[-1])
        except errors.OutOfMemoryError:
            return Outcome("lost", "its worker was ended because the machine ran out of memory: set fewer --workers")
        except errors.RayError:
            return Outcome("lost", "its worker died: it was killed, or its machine is gone")


@contextmanager
def ray_pool(address: str | None, workers: int | None, cpus: int) -> Iterator[RayPool]:
    """Start Ray on this machine, or join a cluster, for the block. A Ray that this process has joined is used as it is.

    Args:
        address: Of a cluster; None to start one on this machine.
        workers: Cells at a time; None for as many as there are CPUs.
        cpus: That each cell takes.

    Raises:
        PluginError: Ray is not installed.
        TrainingError: It cannot be started, or there is no cluster at the address.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nothing is sent to anybody
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"  # Ray's own default from the next version on
    try:
        import ray
    except ImportError as error:
        raise PluginError(f"a sweep runs on Ray, which is not installed: {install_extra('distributed')}") from error
    joined = ray.is_initialized()
    if not joined:
        _start(address, (workers or _own_cpus() // cpus or 1) * cpus)
    try:
        yield RayPool(workers or max(1, int(ray.cluster_resources().get("CPU", 1)) // cpus), cpus)
    finally:
        if not joined:
            ray.shutdown()


def _start(address: str | None, cpus: int) -> None:
    import ray
    from ray._private import worker

    worker._worker_logs_enabled = False  # lines like "a worker died", which the sweep says itself, and on stdout too
    local: dict[str, Any] = {"num_cpus": cpus, "include_dashboard": False, "object_store_memory": _OBJECT_STORE}
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    with _own_sigterm():
        try:
            if address:
                _reach(address)
            ray.init(
                address=address or "local",
                log_to_driver=False,
                logging_level=logging.CRITICAL,
                **({} if address else local),
            )
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            what = f"no Ray cluster could be joined at {address}" if address else "Ray could not be started"
            raise TrainingError(
                f"{what}: {str(error).strip().splitlines()[0]}\n"
                "Give --ray the address that `ray start --head` printed, and the cluster's token where it has one "
                "(RAY_AUTH_MODE=token, RAY_AUTH_TOKEN_PATH=FILE); or leave it out to run on this machine."
            ) from error


def _reach(address: str) -> None:
    """Try the port of ``host:port`` or ``ray://host:port``: Ray itself takes minutes to give up.

    Raises:
        OSError: Nobody listens there.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=REACH_SECONDS).close()


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Keep this process's handler of SIGTERM, which Ray replaces by its own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)


def _own_cpus() -> int:
    """Return how many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
