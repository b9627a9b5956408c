"""GetDevice and SearchDevices: which devices a region knows, and in what state they are."""

from __future__ import annotations

import json
from typing import Any

from .devices import DEVICES
from .wire import ServiceError


class Catalogue:
    """The devices, whose state a test may change."""

    def __init__(self) -> None:
        self._status: dict[str, str] = {}
        self._action: dict[str, dict[str, Any]] = {}
        self._cost: dict[str, dict[str, Any]] = {}

    def reset(self) -> None:
        """Give every device its own state and properties again."""
        self._status.clear()
        self._action.clear()
        self._cost.clear()

    def change(
        self,
        arn: str,
        status: str | None = None,
        action: dict[str, Any] | None = None,
        cost: dict[str, Any] | None = None,
    ) -> None:
        """Make a device ONLINE, OFFLINE or RETIRED, or replace its deviceCost or members of its OpenQASM action."""
        if arn not in DEVICES or status not in (None, "ONLINE", "OFFLINE", "RETIRED"):
            raise ServiceError("ValidationException", f"no such device or status: {arn}, {status}")
        if status is not None:
            self._status[arn] = status
        self._action.setdefault(arn, {}).update(action or {})
        if cost is not None:
            self._cost[arn] = cost

    def status(self, arn: str) -> str:
        """Return a device's state."""
        return self._status.get(arn, DEVICES[arn]["deviceStatus"])

    def find(self, arn: str, region: str) -> dict[str, Any]:
        """Return a device.

        Raises:
            ServiceError: A ResourceNotFoundException, if the region does not know it.
        """
        device = DEVICES.get(arn)
        if device is None or region not in device["regions"]:
            raise ServiceError("ResourceNotFoundException", f"The device {arn} was not found in {region}.")
        return {**device, "capabilities": self.capabilities(arn)}

    def capabilities(self, arn: str) -> dict[str, Any]:
        """Return a device's properties, as they are now."""
        known = DEVICES[arn]["capabilities"]
        actions = {kind: row | self._action.get(arn, {}) for kind, row in known["action"].items()}
        actions = {row["actionType"]: row for row in actions.values()}  # another type of action is another key
        cost = self._cost.get(arn, known["service"]["deviceCost"])
        return {**known, "action": actions, "service": {**known["service"], "deviceCost": cost}}

    def for_task(self, arn: str, region: str) -> dict[str, Any]:
        """Return a device that takes tasks.

        Raises:
            ServiceError: The device is offline, retired or unknown (which CreateQuantumTask calls invalid).
        """
        try:
            device = self.find(arn, region)
        except ServiceError as error:
            raise ServiceError("ValidationException", error.message) from error
        if self.status(arn) == "RETIRED":
            raise ServiceError("DeviceRetiredException", f"The device {arn} has been retired.")
        if self.status(arn) == "OFFLINE":
            raise ServiceError("DeviceOfflineException", f"The device {arn} is currently offline.")
        return device

    def describe(self, arn: str, region: str, queued: int) -> dict[str, Any]:
        """Return GetDevice's answer."""
        device = self.find(arn, region)
        return {
            **self._summary(arn),
            "deviceCapabilities": json.dumps(device["capabilities"]),
            "deviceQueueInfo": [
                {"queue": "QUANTUM_TASKS_QUEUE", "queueSize": str(queued), "queuePriority": "Normal"},
                {"queue": "QUANTUM_TASKS_QUEUE", "queueSize": "0", "queuePriority": "Priority"},
                {"queue": "JOBS_QUEUE", "queueSize": "0"},
            ],
        }

    def search(self, filters: list[dict[str, Any]], region: str) -> list[dict[str, Any]]:
        """Return the summaries of a region's devices that pass every filter."""
        found = [self._summary(arn) for arn, device in DEVICES.items() if region in device["regions"]]
        for each in filters:
            found = [summary for summary in found if summary.get(each["name"]) in each["values"]]
        return found

    def _summary(self, arn: str) -> dict[str, Any]:
        names = ("deviceName", "providerName", "deviceType")
        return {"deviceArn": arn, "deviceStatus": self.status(arn), **{name: DEVICES[arn][name] for name in names}}
