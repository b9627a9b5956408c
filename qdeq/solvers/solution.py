"""What a solve returns: one status per sample, and the best iterate with its residual."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor

from qdeq.errors import plural

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
        "allow more max_steps, loosen rtol or atol, or try another solver (`qdeq solvers` lists them)",
    )
    NON_FINITE = (
        2,
        "f(y), its norm or the next iterate was not finite; the best finite iterate is returned, or NaN without one",
        "check this sample's input for NaN, inf and zero norms; if it diverged, lower damping or mixing",
    )
    FIXED_STEPS = 3, "a fixed number of steps was taken, without a test of convergence", ""
    NOISE_LIMITED = (
        4,
        "the residual cannot be told from the noise of the shots, which do not resolve the tolerance",
        "measure with more shots, or loosen rtol or atol to what these resolve",
    )

    def __new__(cls, value: int, message: str, remedy: str) -> Status:
        """Attach the texts to the member, whose value stays a plain integer."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.message = message
        member.remedy = remedy
        return member

    @property
    def failed(self) -> bool:
        """Whether the solve was meant to converge and did not, though no noise kept it from telling."""
        return self not in (Status.CONVERGED, Status.FIXED_STEPS, Status.NOISE_LIMITED)


@dataclass(frozen=True, eq=False, kw_only=True)
class Solution:
    """The outcome of :func:`qdeq.solvers.solve` for a batch of B samples with states of shape S.

    Attributes:
        value: ``[B, *S]``. The iterate y at which a sample converged or was limited by noise, else its best one
            (smallest residual in units of its tolerance; where f is measured, smallest upper limit on the residual),
            else, where no residual was finite, NaN. Where that residual is noise, the mean of y and of what was
            measured there; see ``weight``.
        status: ``[B]`` int8, values of :class:`Status`.
        residual: ``[B]``, ``||f(y) - y||_2`` as measured at that iterate y: of ``value`` itself where ``weight`` is 0
            or None. inf where no residual was finite.
        relative_residual: ``[B]``, ``residual / ||f(y)||_2`` (0 where the residual is 0).
        steps: ``[B]`` int64, steps taken until the sample was frozen.
        best_step: ``[B]`` int64, number of the iterate y, 0 for ``y0``.
        evaluations: ``[B]`` int64, evaluations of f that were spent on the sample.
        jacobians: ``[B]`` int64, Jacobians of f that were formed for the sample (0 for derivative-free solvers).
        trace: ``None`` or ``[T, B]``, the residual at each iterate; inf where it was not finite, NaN once frozen.
        trace_relative: The same over ``||f(y)||_2``.
        trace_evaluations: ``None`` or ``[T, B]`` int64, evaluations spent when that iterate had been measured; 0 once
            frozen.
        noise: ``[B]``, square root of the sum of the squared standard errors of f(y), as it was measured at y:
            ``residual**2`` is larger than the true one by its square, on average. None where f is not measured.
        weight: ``[B]``, w in ``value = (1 - w) y + w f(y)`` with f(y) as it was measured, so that value and y are
            ``w residual`` apart (:mod:`qdeq.solvers.measured`). None where f is not measured.
        shots: ``[B]`` int64, shots spent on the sample, those of Jacobians left out; None where f is not measured.
        tried: The solvers of a list that were tried (:func:`~qdeq.solvers.solve_in_turn`), in order, each with its
            number of samples; empty where there was no list.
    """

    value: Tensor
    status: Tensor
    residual: Tensor
    relative_residual: Tensor
    steps: Tensor
    best_step: Tensor
    evaluations: Tensor
    jacobians: Tensor
    trace: Tensor | None = None
    trace_relative: Tensor | None = None
    trace_evaluations: Tensor | None = None
    noise: Tensor | None = None
    weight: Tensor | None = None
    shots: Tensor | None = None
    tried: tuple[tuple[str, int], ...] = ()

    @property
    def converged(self) -> Tensor:
        """``[B]`` bool, True where the sample met its tolerance."""
        return self.status == Status.CONVERGED

    @property
    def failed(self) -> Tensor:
        """``[B]`` bool, True where the solve failed (:attr:`Status.failed`)."""
        failures = [status for status in Status if status.failed]
        return torch.isin(self.status, torch.tensor(failures, dtype=self.status.dtype, device=self.status.device))

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
            spent = "" if self.shots is None else f", {int(self.shots.sum())} shots"
            lines[0] += (
                f" (at most {plural(int(self.steps.max()), 'step')}, "
                f"{plural(int(self.evaluations.sum()), 'evaluation')}{spent} in all)"
            )
        if limited := statuses.count(Status.NOISE_LIMITED):
            lines[0] += f"; {limited} more ended where {Status.NOISE_LIMITED.message}"
        if len(self.tried) > 1:
            lines[0] += "; tried " + ", ".join(f"{name} on {samples}" for name, samples in self.tried)
        for status in Status:
            failed = [index for index, value in enumerate(statuses) if value == status]
            if failed and status.failed:
                names = ", ".join(map(str, failed[:_NAMED_SAMPLES])) + (", ..." if len(failed) > _NAMED_SAMPLES else "")
                lines.append(f"{plural(len(failed), 'sample')} ({names}): {status.message}. Remedy: {status.remedy}.")
        return "\n".join(lines)
