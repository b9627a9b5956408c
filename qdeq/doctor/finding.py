"""What a check of the installation finds."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Literal

State = Literal["ok", "warning", "missing", "broken"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        section: What it belongs to: ``"core"``, ``"machine"``, ``"plug-ins"``, ``"self-test"``, ``"extras"``,
            ``"data"`` or ``"aws"``.
        name: Of the thing.
        state: ``"ok"``; ``"warning"``: works, but look at it; ``"missing"``: is not there, and only needed where you
            use it; ``"broken"``: is there, and does not work.
        what: What was found, in a line.
        mend: What to do about it, in a line; None where there is nothing to do.
        required: Whether qdeq cannot do without.
    """

    section: str
    name: str
    state: State
    what: str
    mend: str | None = None
    required: bool = False

    @property
    def fatal(self) -> bool:
        """Whether qdeq does not work because of it."""
        return self.required and self.state in ("missing", "broken")


@dataclass(frozen=True)
class Checkup:
    """All findings.

    Attributes:
        findings: In the order of the checks, one section after the other.
    """

    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether everything works that qdeq cannot do without."""
        return not any(finding.fatal for finding in self.findings)

    def to_json(self) -> str:
        """Return the findings as JSON."""
        data = {"format_version": 1, "ok": self.ok, "findings": [asdict(finding) for finding in self.findings]}
        return json.dumps(data, indent=2, ensure_ascii=False)
