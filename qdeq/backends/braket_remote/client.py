"""The client: many tasks at once, within the service's limits and the budget's."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from qdeq.backends.braket_remote.devices import RemoteDevice
from qdeq.backends.braket_remote.programs import write_trials
from qdeq.backends.braket_remote.retries import SERVICE_ERRORS, Clock
from qdeq.backends.braket_remote.tasks import ENDED, Failed, Tasks
from qdeq.backends.paid import Client
from qdeq.billing.account import OpenAccount
from qdeq.billing.budget import Budget
from qdeq.billing.entries import Entry
from qdeq.billing.execution import Asked, Execution, Result
from qdeq.billing.prices import Price, chosen_price, price_of
from qdeq.circuit import Circuit
from qdeq.errors import BackendError, BudgetReached, UnsupportedError
from qdeq.observables import Observable


class BraketClient(Client):
    """Runs executions as tasks on one device.

    Args:
        device: Open.
        backend: Name of the backend, by which the user may have given a price.
        clock: Waits; the device's session has the same one.
        max_parallel: Tasks in flight at most.
        timeout: Most time that a task is waited for [s].
        resubmissions: New tasks, each counted and paid for, after one that failed.
    """

    def __init__(
        self, device: RemoteDevice, backend: str, clock: Clock, *, max_parallel: int, timeout: float, resubmissions: int
    ) -> None:
        self.device = device
        self._backend = backend
        self._clock = clock
        self._max_parallel = max_parallel
        self._tasks = Tasks(device, clock, timeout)
        self._resubmissions = resubmissions

    def check(
        self, circuit: Circuit, observables: Sequence[Observable], shots: int | None, *, native: bool = False
    ) -> None:
        """Refuse what the device cannot run, by writing a program of each kind; see :meth:`Client.check`."""
        self.check_size(circuit.num_qubits, shots)
        write_trials(circuit, observables, shots, self.device.target, native=native)

    def price(self, budget: Budget) -> Price:
        """Return what tasks are taken to cost; see :meth:`Client.price`."""
        return self._compared(budget)[0]

    def _compared(self, budget: Budget) -> tuple[Price, str | None]:
        """Return the price, and what there is to say where the device lists another."""
        price = price_of(self.device.arn, self._backend, budget.prices)
        if self.device.listed is None:
            return price, None
        chosen = chosen_price(self.device.arn, self._backend, budget.prices) is not None
        price, said = self.device.listed.compare(price, chosen=chosen)
        return price, said and f"{self.device.target.name}: {said}"

    def check_size(self, num_qubits: int, shots: int | None) -> None:
        """Refuse a register or a number of shots that the device does not take.

        Raises:
            UnsupportedError: It does not.
        """
        name, (least, most) = self.device.target.name, self.device.shots
        if num_qubits > self.device.num_qubits:
            raise UnsupportedError(
                f"{name} has {self.device.num_qubits} qubits, and the circuit {num_qubits}; use a larger device"
            )
        if shots is not None and not least <= shots <= most:
            raise UnsupportedError(f"{name} takes {least:,} to {most:,} shots a task, not {shots:,}; change shots")

    def run(self, executions: Sequence[Execution], account: OpenAccount) -> Mapping[str, Result]:
        """Return a result for the content hash of each execution; see :meth:`Client.run`."""
        price = self.price(account.budget)
        waiting, running = deque(executions), dict[Future[Result | Failed], Execution]()
        failures: Counter[str] = Counter()
        results: dict[str, Result] = {}
        pool = ThreadPoolExecutor(max_workers=min(self._max_parallel, len(executions)), thread_name_prefix="braket")
        try:
            while waiting or running:
                limit = self._admit(waiting, running, pool, account, price)
                if limit and not running:
                    raise _reached(limit, account)
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    execution, outcome = running.pop(future), future.result()
                    if isinstance(outcome, Result):
                        results[execution.hash] = outcome
                        continue
                    failures[execution.hash] += 1
                    self._report(outcome, failures[execution.hash], account)
                    waiting.append(execution)
        except BaseException:
            self._clock.stop()  # what is in flight stays there, and the ledger knows it
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            self._clock.resume()
        return results

    def _admit(
        self,
        waiting: deque[Execution],
        running: dict[Future[Result | Failed], Execution],
        pool: ThreadPoolExecutor,
        account: OpenAccount,
        price: Price,
    ) -> str | None:
        """Reserve and send as many as there are places for; return the limit that was in the way, if any."""
        batch = [waiting.popleft() for _ in range(min(len(waiting), self._max_parallel - len(running)))]
        if not batch:
            return None
        longest = account.ledger.longest(self.device.arn)
        amounts = [
            max(price.bounds(execution.shots, execution.qubits)[1], price.cost(execution.shots, longest))
            for execution in batch
        ]
        entries, limit = account.ledger.reserve(
            list(zip(batch, amounts, strict=True)), account.budget.limits, self.device.destination
        )
        account.handled.update(entry.token for entry in entries)
        for execution, entry in zip(batch, entries, strict=False):
            running[pool.submit(self._tasks.obtain, execution, entry, account, price)] = execution
        waiting.extendleft(reversed(batch[len(entries) :]))
        return limit

    def _report(self, failed: Failed, count: int, account: OpenAccount) -> None:
        """Tell of a failed task, and refuse to pay for the same one again and again.

        One that somebody cancelled is not replaced: to pay for it after all is theirs to say.
        """
        if failed.cancelled:
            raise BackendError(
                f"{failed.arn}: {failed.reason}\nRun the same again to have a new task in its place; both are counted."
            )
        if count > self._resubmissions:
            raise BackendError(
                f"{failed.arn} failed: {failed.reason}\n"
                f"It was tried {count} times, each counted against the budget; backend.resubmissions says how often."
            )
        account.note(f"{failed.arn} failed: {failed.reason}; a new task takes its place, and is counted")

    # -- tasks of an earlier run, and of this one when it is interrupted -----------------------------------------------

    def recover(self, account: OpenAccount) -> None:
        """Tell of the device's price, look once after each task in flight on it, and write down those that ended."""
        price, said = self._compared(account.budget)
        if said:
            account.note(said)
        found = [entry for entry in account.ledger.in_flight() if entry.device == self.device.arn]
        ended = 0
        for entry in found:
            if entry.arn is None or entry.asked is None:  # met again when it is wanted again
                continue
            described = self._tasks.state(entry.arn)
            if described["status"] not in ENDED:
                continue
            try:
                self._tasks.settle(entry, entry.arn, described, account, price, Asked.from_json(entry.asked))
                ended += 1
            except BackendError as error:  # it may be another run's; this one is stopped when it wants the result
                account.note(f"left in flight: {error}")
        if found:
            account.note(f"ledger: {len(found)} tasks were in flight; {ended} of them have ended and are settled")

    def cancel(self, entries: Sequence[Entry], account: OpenAccount) -> list[Entry]:
        """Cancel tasks in flight, and return those that could not be: ended by now, or never named by the service."""
        left = []
        for entry in entries:
            try:
                if entry.arn is None:
                    left.append(entry)
                    continue
                self.device.cancel(entry.arn)
                account.ledger.end(entry.token, "cancelled", "at an interrupt, as budget.on_interrupt says")
            except SERVICE_ERRORS:  # it has ended: the next run reads its result
                left.append(entry)
        return left


def _reached(limit: str, account: OpenAccount) -> BudgetReached:
    return BudgetReached(
        f"the next task would pass budget.{limit} (used: {account.standing()})\n"
        f"Raise budget.{limit} and go on: what is in {account.ledger.path} is not paid for twice."
    )
