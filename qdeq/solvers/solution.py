"""What a solve returns: one status per sample, and the best iterate with its residual."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from torch import Tensor

_NAMED_SAMPLES = 8  # how many failed samples a summary names before it writes "..."


class Status(IntEnum):
    """How the solve of one sample ended; a tensor of statuses is int8.

    Attributes:
        message: What happened, for a sentence such as ``"sample 3: <message>"``.
        remedy: What to try next; empty where nothing is wrong.
    """

    message: str
    remedy: str

    CONVERGED = 0, "converged", ""
    MAX_STEPS = (
        1,
        "no convergence within max_steps; the best iterate is returned",
        "allow more max_steps, loosen rtol or atol, or try another solver (anderson, broyden)",
    )
    NON_FINITE = (
        2,
        "f(y), its norm or the next iterate was not finite; the best finite iterate is returned",
        "check this sample's input for NaN, inf and zero norms; if it diverged, lower damping or mixing",
    )
    FIXED_STEPS = 3, "a fixed number of steps was taken, without a test of convergence", ""

    def __new__(cls, value: int, message: str, remedy: str) -> Status:
        """Attach the texts to the member, whose value stays a plain integer."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.message = message
        member.remedy = remedy
        return member

    @property
    def failed(self) -> bool:
        """Whether the solve was meant to converge and did not."""
        return self not in (Status.CONVERGED, Status.FIXED_STEPS)


@dataclass(frozen=True, eq=False)
class Solution:
    """The outcome of :func:`qdeq.solvers.solve` for a batch of B samples with states of shape S.

    Attributes:
        value: ``[B, *S]``. The iterate at which a sample converged, else its best one (smallest residual in units of
            its tolerance), else, where no residual was finite, ``y0``.
        status: ``[B]`` int8, values of :class:`Status`.
        residual: ``[B]``, ``||f(y) - y||_2`` measured at ``value``; inf where no residual was finite.
        relative_residual: ``[B]``, ``residual / ||f(y)||_2`` (0 where the residual is 0).
        steps: ``[B]`` int64, steps taken until the sample was frozen.
        evaluations: ``[B]`` int64, evaluations of f that were spent on the sample.
        jacobians: ``[B]`` int64, Jacobians of f that were formed for the sample (0 for derivative-free solvers).
        trace: ``None`` or ``[T, B]``, the residual at each iterate; inf where it was not finite, NaN once frozen.
    """

    value: Tensor
    status: Tensor
    residual: Tensor
    relative_residual: Tensor
    steps: Tensor
    evaluations: Tensor
    jacobians: Tensor
    trace: Tensor | None = None

    @property
    def converged(self) -> Tensor:
        """``[B]`` bool, True where the sample met its tolerance."""
        return self.status == Status.CONVERGED

    @property
    def all_converged(self) -> bool:
        """Whether every sample converged (true of an empty batch)."""
        return bool(self.converged.all())

    def counts(self) -> dict[Status, int]:
        """Return the number of samples of each status, zeros included."""
        statuses = self.status.tolist()
        return {status: statuses.count(status) for status in Status}

    def summary(self) -> str:
        """Return one line for the batch, and one for each kind of failure with its samples and the remedy."""
        statuses = self.status.tolist()
        lines = [f"{statuses.count(Status.CONVERGED)} of {len(statuses)} samples converged"]
        if statuses:
            lines[0] += f" (at most {int(self.steps.max())} steps, {int(self.evaluations.sum())} evaluations in all)"
        for status in Status:
            failed = [index for index, value in enumerate(statuses) if value == status]
            if failed and status.failed:
                names = ", ".join(map(str, failed[:_NAMED_SAMPLES])) + (", ..." if len(failed) > _NAMED_SAMPLES else "")
                lines.append(f"{_plural(len(failed), 'sample')} ({names}): {status.message}. Remedy: {status.remedy}.")
        return "\n".join(lines)


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")
