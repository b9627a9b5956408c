"""How far a share of test images may be from the share of all images."""

from __future__ import annotations

import math
from statistics import NormalDist

LEVEL = 0.95
_Z = NormalDist().inv_cdf((1 + LEVEL) / 2)


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Return the 95 % interval of a probability (E. B. Wilson, J. Am. Stat. Assoc. 22, 209 (1927)).

    Unlike the interval ``p ± z s``, it never leaves [0, 1], and is none of zero width where all or no images are right.

    Args:
        successes: How often it happened.
        trials: Of how many independent ones; at least 1.
    """
    share, weight = successes / trials, _Z**2 / trials
    middle = (share + weight / 2) / (1 + weight)
    half = _Z * math.sqrt(share * (1 - share) / trials + weight / (4 * trials)) / (1 + weight)
    # rounding must not leave the ends of the range
    return (0.0 if not successes else middle - half), (1.0 if successes == trials else middle + half)
