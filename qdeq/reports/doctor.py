"""A check of the installation, for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from qdeq.doctor import Checkup

STYLES = {"ok": "green", "warning": "yellow", "missing": "dim", "broken": "bold red"}


def checkup_report(checkup: Checkup) -> RenderableType:
    """Return a line for each finding, and below it how to mend what can be mended."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    section = ""
    for finding in checkup.findings:
        if finding.section != section:
            section = finding.section
            table.add_row(Text(section, "bold"))
        table.add_row(Text(finding.state, STYLES[finding.state]), Text(finding.name), Text(finding.what))
        if finding.mend:
            table.add_row("", "", Text(f"-> {finding.mend}"))
    return Group(table, Text(""), _verdict(checkup))


def _verdict(checkup: Checkup) -> Text:
    fatal = [finding.name for finding in checkup.findings if finding.fatal]
    if fatal:
        return Text(f"qdeq does not work here: {', '.join(fatal)}", STYLES["broken"])
    counts = {state: sum(finding.state == state for finding in checkup.findings) for state in STYLES}
    rest = ", ".join(f"{count} {state}" for state, count in counts.items() if count and state != "ok")
    return Text(f"qdeq works here: {counts['ok']} ok" + (f", {rest}" if rest else ""))
