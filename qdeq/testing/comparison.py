"""How what a plug-in gives is compared with what is right, and how a difference is told."""

from __future__ import annotations

import traceback

import numpy as np
import torch


class Mismatch(Exception):
    """A plug-in is not what it should be.

    Args:
        problem: What is wrong.
        expected: What was expected.
        got: What came.
        difference: Largest difference, where there is one.
        tolerance: What is allowed.
    """

    def __init__(
        self,
        problem: str,
        expected: object = "",
        got: object = "",
        difference: float | None = None,
        tolerance: float | None = None,
    ) -> None:
        super().__init__(problem)
        self.expected, self.got = _text(expected), _text(got)
        self.difference, self.tolerance = difference, tolerance


class Comparisons:
    """Compares arrays, and remembers the largest difference.

    Attributes:
        worst: Largest difference so far and its tolerance, by their ratio; reset for every check.
    """

    worst: tuple[float, float] | None = None

    def compare(self, what: str, expected: object, got: object, tolerance: float | np.ndarray) -> None:
        """Compare two arrays, and remember the largest difference.

        Args:
            what: What they are, in the plural.
            expected: What they should be.
            got: What they are.
            tolerance: Largest allowed difference, for all entries or for each of the last dimension.

        Raises:
            Mismatch: They differ in shape, or by more than the tolerance, or are not finite.
        """
        right, found = _array(expected), _array(got)
        if right.shape != found.shape:
            raise Mismatch(f"{what} have shape {list(found.shape)}, not {list(right.shape)}", right, found)
        if not found.size:
            return
        difference = np.abs(found - right)
        allowed = np.broadcast_to(tolerance, difference.shape)
        at = np.unravel_index(np.argmax(np.where(np.isfinite(difference), difference / allowed, np.inf)), right.shape)
        largest, limit = float(difference[at]), float(allowed[at])
        if not largest <= limit:
            place = f" (entry {[int(i) for i in at]})" if right.size > 1 else ""
            raise Mismatch(
                f"{what} differ by {largest:.3g}{place}, more than {limit:.1g}", right, found, largest, limit
            )
        if self.worst is None or largest / limit > self.worst[0] / self.worst[1]:
            self.worst = largest, limit


def told(error: Exception, expected: str) -> tuple[str, str, str, str]:
    """Return what is wrong, what was expected and what came, of a mismatch or of a crash; and of a crash, its kind.

    Args:
        error: What a check raised.
        expected: What should have come instead of a crash.

    Returns:
        The problem, the expected and the obtained, and for a crash its type with the place of its cause, which are the
        same for the same mistake.
    """
    if isinstance(error, Mismatch):
        return str(error), error.expected, error.got, ""
    origin: BaseException = error
    while origin.__cause__ is not None:
        origin = origin.__cause__
    where = traceback.extract_tb(origin.__traceback__)[-1]
    place = f"in {where.name}, {where.filename}:{where.lineno}"
    problem = f"it raised {type(error).__name__}: {error}\n({place})"
    return problem, expected, type(error).__name__, f"{type(origin).__name__} {place}"


def _array(values: object) -> np.ndarray:
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().numpy()
    array = np.asarray(values)
    return array.astype(complex if np.iscomplexobj(array) else float)


def _text(values: object) -> str:
    if isinstance(values, np.ndarray | torch.Tensor):
        text = np.array2string(_array(values), precision=6, suppress_small=True, threshold=24, separator=", ")
        return " ".join(text.split())
    return str(values)
