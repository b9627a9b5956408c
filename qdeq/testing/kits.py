"""What the kits check, for lists of it."""

from __future__ import annotations


def kit_checks(kit: str) -> dict[str, str]:
    """Return what each check proves, by name, of the kit for ``backends``, ``solvers`` or ``datasets``, in order.

    That for backends needs hypothesis.
    """
    if kit == "backends":
        from qdeq.testing.backends import CHECK_NAMES as names
        from qdeq.testing.harness import CHECKS

        return {name: CHECKS[name].proves for name in names}
    if kit == "solvers":
        from qdeq.testing.solver_harness import SOLVER_CHECKS
        from qdeq.testing.solvers import CHECK_NAMES as solver_names

        return {name: SOLVER_CHECKS[name].proves for name in solver_names}
    from qdeq.testing.dataset_checks import DATASET_CHECKS

    return {name: check.proves for name, check in DATASET_CHECKS.items()}
