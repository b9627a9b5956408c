"""From what is wanted to the fewest circuits that have to run: duplicates removed, counted, spread over workers."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from torch import Tensor

from qdeq.circuit import Circuit
from qdeq.errors import BackendError
from qdeq.extras import install_extra

if TYPE_CHECKING:
    from qdeq.backends.adapter import CircuitBackend

CHUNKS_PER_WORKER = 4
"""Small enough chunks that workers finish together, large enough that handing them over costs little."""


@dataclass
class ExecutionCount:
    """How many circuits ran, and how many were asked for, within :func:`count_executions`; and measurements made."""

    executed: int = 0
    requested: int = 0
    shots: int = 0


_counters: ContextVar[tuple[ExecutionCount, ...]] = ContextVar("qdeq_execution_counters", default=())


@contextlib.contextmanager
def count_executions() -> Iterator[ExecutionCount]:
    """Count the circuits that backends run within the block.

    Example:
        >>> with count_executions() as count:
        ...     pass
        >>> count.executed
        0
    """
    count = ExecutionCount()
    token = _counters.set((*_counters.get(), count))
    try:
        yield count
    finally:
        _counters.reset(token)


def record_executions(executed: int, requested: int) -> None:
    """Add to every counter that is open."""
    for counter in _counters.get():
        counter.executed += executed
        counter.requested += requested


def record_shots(shots: int) -> None:
    """Add to every counter that is open."""
    for counter in _counters.get():
        counter.shots += shots


def bind_rows(circuits: Sequence[Circuit], inputs: Tensor, weights: Tensor) -> list[Circuit]:
    """Return every circuit at every row of the inputs ``[B, I]`` and at weights ``[P]``, circuit by circuit."""
    values = weights.detach().double().cpu().numpy()
    rows = inputs.detach().double().cpu().numpy()
    bound = []
    for circuit in circuits:
        fixed = circuit.bind(weights=values[: circuit.num_weights].tolist())
        bound += [fixed.bind(inputs=row[: circuit.num_inputs].tolist()) for row in rows]
    return bound


@dataclass(frozen=True)
class ExecutionPlan:
    """Bound circuits to run, each once.

    Attributes:
        circuits: The distinct circuits.
        rows: For each request, the position of its circuit.
    """

    circuits: tuple[Circuit, ...]
    rows: np.ndarray

    @classmethod
    def of(cls, requests: Sequence[Circuit]) -> ExecutionPlan:
        """Remove duplicates from bound circuits."""
        position: dict[Circuit, int] = {}
        rows = [position.setdefault(circuit, len(position)) for circuit in requests]
        return cls(tuple(position), np.array(rows, dtype=np.int64))

    def run(self, backend: CircuitBackend) -> np.ndarray:
        """Run the circuits and return one row ``[2^n]`` for each request."""
        record_executions(len(self.circuits), len(self.rows))
        return run_parallel(backend, self.circuits)[self.rows]


class Runner(Protocol):
    """What jobs are spread over workers for: a backend and its bound circuits, for one."""

    @property
    def name(self) -> str:
        """The backend's name."""

    @property
    def workers(self) -> int:
        """Processes that jobs are spread over."""

    @property
    def ray_address(self) -> str | None:
        """Address of a Ray cluster; None for this machine."""

    def run(self, circuits: Sequence[Any]) -> np.ndarray:
        """Run jobs and return one row for each."""


def run_parallel(backend: Runner, circuits: Sequence[Any]) -> np.ndarray:
    """Run bound circuits, or other jobs of a backend, on its workers; with one worker, here.

    A worker that dies takes its chunks with it: they are redone once, then the failure is reported.
    """
    workers = min(backend.workers, len(circuits))
    if workers <= 1 and backend.ray_address is None:
        return backend.run(circuits)
    size = max(1, -(-len(circuits) // (workers * CHUNKS_PER_WORKER)))
    chunks = [circuits[start : start + size] for start in range(0, len(circuits), size)]
    from joblib.externals.loky.process_executor import BrokenProcessPool

    for attempt in (1, 2):
        try:
            return np.concatenate(_map(backend, chunks, workers))
        except BrokenProcessPool as error:
            if attempt == 2:
                raise BackendError(
                    f"a worker of backend {backend.name!r} died twice while running {len(circuits)} circuits; "
                    "it may have run out of memory: set fewer workers (backend.workers)"
                ) from error
    raise AssertionError("unreachable")


def _map(backend: Runner, chunks: Sequence[Sequence[Any]], workers: int) -> list[np.ndarray]:
    if backend.ray_address is not None:
        return _map_on_ray(backend, chunks)
    import joblib

    parallel = joblib.Parallel(n_jobs=workers, backend="loky")
    return list(parallel(joblib.delayed(_run_chunk)(backend, chunk) for chunk in chunks))


def _map_on_ray(backend: Runner, chunks: Sequence[Sequence[Any]]) -> list[np.ndarray]:
    """Run chunks as tasks of a Ray cluster, which has those anew that a lost machine took with it."""
    try:
        import ray
    except ImportError as error:
        raise BackendError(f"ray_address needs Ray: {install_extra('distributed')}") from error
    if not ray.is_initialized():
        ray.init(address=backend.ray_address, log_to_driver=False)
    run, errors = ray.remote(_run_chunk), ray.exceptions
    try:
        results: list[np.ndarray] = ray.get([run.remote(backend, chunk) for chunk in chunks])
    except errors.RayTaskError as error:  # what a chunk itself raised
        raise error.cause from error
    except (errors.WorkerCrashedError, errors.NodeDiedError, errors.ObjectLostError, errors.OutOfMemoryError) as error:
        raise BackendError(
            f"the Ray cluster at {backend.ray_address} lost the circuits of backend {backend.name!r} again and again "
            f"({type(error).__name__})\nLook at its nodes with `ray status`; they may have run out of memory."
        ) from error
    return results


def _run_chunk(backend: Runner, circuits: Sequence[Any]) -> np.ndarray:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the workers share the cores already
    return backend.run(circuits)
