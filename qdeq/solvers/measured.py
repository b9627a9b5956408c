"""A function whose values are measured: what their noise lets a solve say, and how many shots each sample is given.

At an iterate y the residual ``r = f(y) + ε - y`` is measured, and f's components come with their standard errors σ_i.
So ``E ||r||² = ||f(y) - y||² + s²`` with ``s² = Σ σ_i²`` (the trace of ε's covariance, whatever the correlations), and
no residual can be expected below s, the noise. Two tests follow. Both take ε for normal, as a mean of many shots nearly
is.

*Is the residual noise?* Where ``f(y) = y``, ``||r||²`` is s² on average. It is taken for noise unless it exceeds what
``(s² / ν) χ²_ν`` exceeds with probability :data:`FALSE_ALARM`. ``ν = s⁴ / Σ σ_i⁴`` gives ``||ε||²`` its variance where
components are uncorrelated (F. E. Satterthwaite, Biometrics Bull. 2, 110 (1946); the quantile by E. B. Wilson and
M. M. Hilferty, PNAS 17, 684 (1931)). Components that share their shots are correlated, and false alarms may be more
frequent than that. Each costs a step that was not needed, and nothing else.

*Is the residual within the tolerance?* ``||f(y) - y|| <= ||r|| + ||ε||``, and ``||ε|| > z s`` is no more probable than
a standard normal variable beyond ±z, whatever the correlations: of all quadratic forms in normal variables with one
mean, that of rank one has the longest tail (G. J. Székely and N. K. Bakirov, Probab. Theory Relat. Fields 126, 184
(2003), for probabilities below 0.21). So a sample has converged where
``||r|| + (1 + rtol) z s <= atol + rtol ||f(y) + ε||``. This is said of a sample for which it is not true with
probability :data:`FALSE_CLAIM` at most in each measurement.

*What is the equilibrium, where the residual is noise?* An iterate rests on the measurement before it, and carries its
noise, s'. Then y and f(y) + ε are two estimates of the equilibrium with noise of their own. The value is their mean, in
which each weighs what is known of it: ``w = s'² / (s'² + s²)`` of the second, one half where shots are equal. To first
order, with ``e = y - y*`` and the covariances P of e and C of ε, that mean is off by ``(e + J e + ε) / 2``. Its mean
square is ``(tr P + tr J P J^T) / 2`` where the last step was Newton's, with ``P = (1 - J)^-1 C (1 - J)^-T``, by the
parallelogram law; and ``(tr P + tr J P) / 2`` where steps are plain, with ``P = J P J^T + C``. Neither is more than y's
own, tr P, if ``||J||_2 <= 1``, and both are half of it where J is small. f(y) + ε alone is off by ``J e + ε``: after a
Newton step that is more than y wherever an eigenvalue of J is negative. This is the shortest of the averages of
B. T. Polyak and A. B. Juditsky, SIAM J. Control Optim. 30, 838 (1992). It takes no shots; residual and noise remain
those that were measured at y.

y0 rests on no measurement: its error has nothing to do with the noise, and few shots show no residual however large
that error is. So no solve ends there that may take a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import torch
from torch import Tensor

from qdeq.errors import SolverError
from qdeq.functions import Function
from qdeq.numbers import whole
from qdeq.solvers.base import Problem, Solver

FALSE_ALARM = 0.05
"""Probability that a residual measured at an equilibrium is not taken for noise."""

FALSE_CLAIM = 1e-3
"""Probability that a measured residual shows convergence where there is none; for 50 measurements at most 5 %."""

_ALARM_Z = NormalDist().inv_cdf(1 - FALSE_ALARM)
CLAIM_Z = NormalDist().inv_cdf(1 - FALSE_CLAIM / 2)
"""Standard errors that a measured residual is taken to be off by at most."""


def problem_of(f: Function, y: Tensor, shape: Sequence[int], args: tuple[Tensor, ...], solver: Solver) -> Problem:
    """Return what a solve from the iterates y ``[B, N]`` is about; other arguments as for :class:`MeasuredProblem`."""
    if f.shots is None:
        return Problem(f, shape, args, type(solver).__name__)
    return MeasuredProblem(f, y, shape, args, solver)


class MeasuredProblem(Problem):
    """f restricted to the samples still being solved, each measured with a number of shots of its own.

    Args:
        f: A :class:`~qdeq.functions.Function` with a number of shots.
        y: ``[B, N]``, first iterates.
        shape: S, the shape of one sample's state.
        args: Tensors with the batch first.
        solver: Its tolerances are tested for; where both are 0, nothing is.

    Attributes:
        spent: ``[b]`` int64, shots so far; those of Jacobians are not counted.
        noise: ``[b, 1]``, s at the last iterate.
        converged: ``[b, 1]`` bool, whether its residual was shown to be within the tolerance.
        limited: ``[b, 1]`` bool, whether it is noise, with all shots, and the solve has nothing more to do.
        weight: ``[b, 1]``, w: what of ``f(y) + ε`` goes into an estimate; 0 where the residual is not noise.
        unproven: ``[b, 1]`` bool, whether it is noise at the first iterate, of which a measurement is still to come.
    """

    def __init__(self, f: Function, y: Tensor, shape: Sequence[int], args: tuple[Tensor, ...], solver: Solver) -> None:
        super().__init__(f, shape, args, type(solver).__name__)
        self._most = whole(f.shots, "the shots of f", 1, error=SolverError)
        self._growth, self._settings = f.shots_growth, f.settings
        first = self._most if f.first_shots is None else f.first_shots
        self._rtol, self._atol = solver.rtol, solver.atol
        self._tested = solver.rtol + solver.atol > 0
        self._shots = torch.full((len(y),), first, dtype=torch.int64, device=y.device)
        self._variance = torch.zeros_like(y)
        self._carried = torch.zeros_like(y[:, :1])  # s² of the measurement that led to the iterate: y0 rests on none
        self._started = solver.max_steps == 0
        self.spent = torch.zeros_like(self._shots)
        self.noise = self.weight = torch.zeros_like(self._carried)
        self.converged = self.limited = self.unproven = self.noise > 0

    def at_iterate(self, y: Tensor) -> Tensor:
        """Return f(y) ``[b, N]`` with as many shots as it takes to tell f(y) - y from noise, and judge it."""
        fy = self(y)
        variance = self._variance
        lost = self._judge(y, fy, variance)
        while len(rows := (lost & self._tested & (self._shots[:, None] < self._most)).squeeze(1).nonzero().squeeze(1)):
            more = (self._shots[rows].double() * self._growth).ceil().clamp(max=self._most)
            self._shots[rows] = more.to(torch.int64)
            fy[rows] = self.evaluate(rows, y[rows])
            variance[rows] = self._variance
            lost = self._judge(y, fy, variance)
        total = self.noise.square()
        self.weight = torch.where(lost, self._carried / (self._carried + total), 0.0)
        self.limited, self.unproven = lost & self._started & self._tested, lost & (not self._started)
        self._carried, self._started = total, True
        return fy

    def estimate(self, y: Tensor, fy: Tensor) -> Tensor:
        """Return the estimate of the equilibrium ``[b, N]`` that the last iterate y and its f(y) + ε give together."""
        return torch.where(self.weight > 0, torch.lerp(y, fy, self.weight), y)

    def upper_limit(self, residual: Tensor) -> Tensor:
        """Return what ``||f(y) - y||`` ``[b, 1]`` is at most where ``residual [b, 1]`` was measured."""
        return residual + CLAIM_Z * self.noise

    def _judge(self, y: Tensor, fy: Tensor, variance: Tensor) -> Tensor:
        """Set noise and convergence, and return where else the residual is noise, ``[b, 1]`` bool."""
        total = variance.sum(dim=1, keepdim=True)
        self.noise = total.sqrt()
        residual = torch.linalg.vector_norm(fy - y, dim=1, keepdim=True)
        tolerance = self._atol + self._rtol * torch.linalg.vector_norm(fy, dim=1, keepdim=True)
        self.converged = residual + (1 + self._rtol) * CLAIM_Z * self.noise <= tolerance
        # the quantile of χ²_ν / ν, by its cube root, which is nearly normal
        spread = 2 / 9 * variance.square().sum(dim=1, keepdim=True) / total.square()
        noisy = residual.square() <= total * (1 - spread + _ALARM_Z * spread.sqrt()) ** 3
        return noisy & ~self.converged

    def keep(self, rows: Tensor) -> None:
        """Drop all samples but ``rows``; see :meth:`Problem.keep`."""
        super().keep(rows)
        self._shots, self.spent, self._carried = self._shots[rows], self.spent[rows], self._carried[rows]

    def _values(self, y: Tensor, number: int | Tensor, rows: Tensor | None = None) -> Tensor:
        """Measure f(y) ``[k, N]``, and keep the squared standard errors; see :meth:`Problem._values`."""
        rows = torch.arange(len(y), device=y.device) if rows is None else rows
        shots = self._shots[rows]
        self.spent[rows] += shots * self._settings
        numbers = torch.zeros_like(shots) + number
        value, error = torch.empty_like(y), torch.empty_like(y)
        for each, level in torch.stack([numbers, shots], dim=1).unique(dim=0).tolist():
            same = ((numbers == each) & (shots == level)).nonzero().squeeze(1)
            value[same], error[same] = self._measured(y[same], each, level, rows[same])
        self._variance = error.square()
        # a value that is known to no accuracy is no value
        return value.masked_fill(~error.isfinite(), torch.nan)

    def _measured(self, y: Tensor, number: int, shots: int, rows: Tensor) -> tuple[Tensor, Tensor]:
        f = self._f.at_evaluation(number)
        f = f if shots == self._most else f.at_shots(shots)
        found = self._called(f.measure, y, rows)
        if not (isinstance(found, tuple) and len(found) == 2):
            raise SolverError(
                f"{self._name}: f.measure returned {type(found).__name__}: it returns (values, standard errors)."
            )
        value, error = found
        value = self._checked(value, y, "f.measure")
        error = self._checked(error, y, "f.measure, as its second result,")
        if (error < 0).any():
            raise SolverError(f"{self._name}: f.measure returned a negative standard error.")
        return value, error
