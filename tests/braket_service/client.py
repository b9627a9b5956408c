"""For tests: start the service in a process of its own, and control it. Needs nothing beyond the standard library."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from patience import HANG

SV1 = "arn:aws:braket:::device/quantum-simulator/amazon/sv1"
DM1 = "arn:aws:braket:::device/quantum-simulator/amazon/dm1"
GARNET = "arn:aws:braket:eu-north-1::device/qpu/iqm/Garnet"
EMERALD = "arn:aws:braket:eu-north-1::device/qpu/iqm/Emerald"
FORTE = "arn:aws:braket:us-east-1::device/qpu/ionq/Forte-1"
OFFLINE = "arn:aws:braket:us-east-1::device/qpu/ionq/Forte-Enterprise-1"
RETIRED = (
    "arn:aws:braket:::device/quantum-simulator/amazon/tn1",
    "arn:aws:braket:us-east-1::device/qpu/ionq/Aria-1",
    "arn:aws:braket:us-west-1::device/qpu/rigetti/Ankaa-3",
)


class Service:
    """A running service."""

    def __init__(self, url: str, env: dict[str, str]) -> None:
        self.url, self.env = url, env

    def tasks(self) -> list[dict[str, Any]]:
        """Return every task, oldest first."""
        return self._call("GET", "tasks")

    def bill(self) -> dict[str, Any]:
        """Return ``{"tasks", "shots", "usd", "by_device"}`` as billed."""
        return self._call("GET", "bill")

    def calls(self, service: str | None = None) -> list[dict[str, Any]]:
        """Return every HTTP call, oldest first; of one service (braket, s3, sts) if it is named."""
        return [call for call in self._call("GET", "calls") if service in (None, call["service"])]

    def fail(self, operation: str, kind: str, **settings: Any) -> None:
        """Add a fault rule: README.md lists kinds and settings."""
        self._call("POST", "faults", {"operation": operation, "kind": kind, **settings})

    def struck(self) -> list[dict[str, Any]]:
        """Return each rule with the number of calls that it struck."""
        return self._call("GET", "faults")

    def heal(self) -> None:
        """Remove all fault rules."""
        self._call("DELETE", "faults")

    def release(self) -> None:
        """Let go of all tasks that rules hold in the queue; they are simulated at once."""
        self._call("POST", "release")

    def set_device(self, arn: str, status: str | None = None, **action: Any) -> None:
        """Make a device ONLINE, OFFLINE or RETIRED, or replace members of its OpenQASM action's properties."""
        self._call("POST", "devices", {"arn": arn, "status": status, "action": action})

    def set_cost(self, arn: str, usd: float, unit: str) -> None:
        """Change the deviceCost in a device's properties, which the service bills by."""
        self._call("POST", "devices", {"arn": arn, "cost": {"price": usd, "unit": unit}})

    def limit(self, **limits: float) -> None:
        """Set limits: in_flight, creates_per_second, create_burst."""
        self._call("POST", "limits", limits)

    def reset(self) -> None:
        """Forget tasks, calls, rules, limits and buckets."""
        self._call("POST", "reset")

    def _call(self, method: str, what: str, content: Any = None) -> Any:
        body = None if content is None else json.dumps(content).encode()
        with urlopen(Request(f"{self.url}/_control/{what}", body, method=method), timeout=HANG) as response:
            return json.loads(response.read())


@contextmanager
def start_service(*arguments: str) -> Iterator[Service]:
    """Start the service in a process of its own, on a free port; it ends with the block, or with this process."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "tests.braket_service", "--until-eof", *arguments]
    with subprocess.Popen(
        command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"the Braket service did not start: exit status {process.wait()}")
            yield Service(**json.loads(line))
        finally:
            process.kill()
