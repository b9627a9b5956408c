"""All checks, in order; a check that fails itself is a finding, and the others go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from qdeq.doctor.finding import Checkup, Finding
from qdeq.errors import QdeqError, printable

Check = Callable[[], Iterator[Finding]]


def examine(*, online: bool = False, watch: Callable[[str], None] = lambda section: None) -> Checkup:
    """Look at everything that qdeq needs or can use.

    Args:
        online: Ask AWS, too, whether it takes the credentials, and whether SV1 is online; that costs nothing.
        watch: Told of every section before it is looked at.
    """
    findings: list[Finding] = []
    for section, check in _checks(online).items():
        watch(section)
        findings += _guarded(section, check)
    return Checkup(tuple(findings))


def _checks(online: bool) -> dict[str, Check]:
    from qdeq.doctor import aws, datasets, machine, packages, plugins, selftest

    return {
        "core": packages.core,
        "machine": machine.machine,
        "plug-ins": plugins.plugins,
        "self-test": selftest.selftest,
        "extras": packages.extras,
        "data": datasets.datasets,
        "aws": partial(aws.aws, online=online),
    }


def _guarded(section: str, check: Check) -> Iterator[Finding]:
    try:
        yield from check()
    except Exception as error:  # whatever is wrong here is what the user asks about
        yield Finding(
            section, "the check itself", "broken", described(error), required=section in ("core", "self-test")
        )


def described(error: BaseException) -> str:
    """Return an error in one line."""
    text = " ".join(str(error).split())
    return printable(text if isinstance(error, QdeqError) else f"{type(error).__name__}: {text}")
