"""Devices by name: what is known of them without asking, and what they say themselves.

Everything here costs nothing. Credentials, region, the device's state, its instructions, and the bucket for results are
all looked at before the first task.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore import exceptions
from braket.aws import AwsDevice
from braket.ir.openqasm import Program

from qdeq.backends.braket_remote.refusals import bucket_refused, explained, no_credentials
from qdeq.backends.braket_remote.retries import SERVICE_ERRORS, UNREADABLE, Clock, error_code
from qdeq.backends.braket_remote.session import LedgerSession
from qdeq.backends.braket_remote.target import Target
from qdeq.billing.execution import Execution
from qdeq.billing.prices import ListedPrice
from qdeq.errors import BackendError, UnsupportedError, printable

if TYPE_CHECKING:
    from qdeq.backends.braket_remote.backend import RemoteBraket

ACTION = "braket.ir.openqasm.program"
PREFIX = "qdeq"
"""Folder within the bucket, where none is given."""


@dataclass(frozen=True, eq=False)
class RemoteDevice:
    """A device that is online, with instructions for circuits, and a place for its results.

    Attributes:
        arn: Its ARN.
        target: Its name, and what it lists.
        num_qubits: Its size.
        shots: The least and the most that a task may have.
        destination: ``s3://bucket/prefix`` for results.
        session: Reaches it.
        device: The SDK's.
        poll_seconds: How often it wants to be asked at most.
        listed: The price in its properties, where they give one.
    """

    arn: str
    target: Target
    num_qubits: int
    shots: tuple[int, int]
    destination: str
    session: LedgerSession
    device: AwsDevice
    poll_seconds: float
    listed: ListedPrice | None

    def submit(self, execution: Execution, token: str, destination: str) -> str:
        """Make the task of this token, or find it, and return its ARN."""
        bucket, prefix = self.session.parse_s3_uri(destination)
        program = Program(source=execution.program, inputs=dict(execution.inputs) or None)
        with self.session.token(token):
            # qubits may be rewired on a QPU: results come back in the program's own order
            task = self.device.run(program, self.session.S3DestinationFolder(bucket, prefix), shots=execution.shots)
        return str(task.id)

    def state(self, arn: str) -> dict[str, Any]:
        """Return what the service says of a task."""
        return self.session.get_quantum_task(arn)

    def fetch(self, described: dict[str, Any]) -> bytes:
        """Return the results.json of a task that is completed."""
        return self.session.read_object(described["outputS3Bucket"], f"{described['outputS3Directory']}/results.json")

    def cancel(self, arn: str) -> None:
        """Ask the service to cancel a task."""
        self.session.cancel_quantum_task(arn)

    def explained(
        self, error: Exception, what: str, *, none_made: bool | None = None, way_out: str = ""
    ) -> BackendError:
        """Return an error of ours for one of the service's."""
        region, redact = self.session.region, self.session.redact
        return explained(error, what, region, redact, none_made=none_made, way_out=way_out)


def open_device(backend: RemoteBraket, clock: Clock) -> RemoteDevice:
    """Find the backend's device, and check all that can be checked for nothing.

    Raises:
        BackendError: No credentials, another region, a device that is not online, or no bucket.
        UnsupportedError: The device runs no circuits.
    """
    arn = backend.device_arn
    session = _session(backend, clock)
    name, region = arn.rpartition("/")[2], session.region
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of properties that it cannot read, which is an error below
            device = AwsDevice(arn, aws_session=session)
    except SERVICE_ERRORS as error:
        raise explained(error, f"asking for {name}", region, session.redact) from None  # its text may hold secrets
    except UNREADABLE as error:
        if "not found" not in str(error):
            raise _unreadable(name, error) from error
        raise BackendError(
            f"Amazon Braket has no device {arn} in {region}\n"
            "Compare the ARN with the list at https://docs.aws.amazon.com/braket, and set backend.region or AWS_REGION."
        ) from None
    if device.aws_session is not session:
        raise BackendError(
            f"{name} was found in {device.aws_session.region}, not in {region}; set backend.region to it"
        )
    _check_status(device)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # likewise
            return _described(backend, device, session)
    except UNREADABLE as error:
        raise _unreadable(name, error) from error


def _described(backend: RemoteBraket, device: AwsDevice, session: LedgerSession) -> RemoteDevice:
    """Return what a device says of itself, every number of it one that can be reckoned with."""
    properties: Any = device.properties
    action = (getattr(properties, "action", None) or {}).get(ACTION)
    if action is None and properties is not None:
        raise UnsupportedError(
            f"{device.name} runs no OpenQASM circuits, which is all that qdeq has\nUse braket-sv1, or a gate-based QPU."
        )
    service, poll = properties.service, properties.service.getTaskPollIntervalMillis
    least, most = map(int, service.shotsRange)
    return RemoteDevice(
        arn=backend.device_arn,
        target=Target.of(device.name, action),
        num_qubits=int(properties.paradigm.qubitCount),
        shots=(least, most),
        destination=_destination(backend.bucket, session),
        session=session,
        device=device,
        poll_seconds=(poll or 0) / 1000,
        listed=None if service.deviceCost is None else ListedPrice(service.deviceCost.price, service.deviceCost.unit),
    )


def _unreadable(name: str, error: Exception) -> BackendError:
    return BackendError(
        f"what {name} says of itself cannot be read ({type(error).__name__}: {printable(str(error), 160)})\n"
        "Install a newer amazon-braket-sdk, which may know how it is written; or use another device."
    )


def _session(backend: RemoteBraket, clock: Clock) -> LedgerSession:
    device_region = AwsDevice.get_device_region(backend.device_arn)
    try:
        found = boto3.Session(profile_name=backend.profile)
        asked = backend.region or os.environ.get("AWS_REGION") or found.region_name or device_region
        if not asked:
            raise BackendError(
                "no AWS region is set\nSet AWS_REGION, a region in the profile, or backend.region, such as us-east-1."
            )
        if device_region and asked != device_region:
            raise BackendError(
                f"{backend.device_arn} is in {device_region}, but the region is {asked}\n"
                f"Set AWS_REGION or backend.region to {device_region}; results go to a bucket there."
            )
        if asked not in AwsDevice.REGIONS:
            raise BackendError(
                f"Amazon Braket is not in region {asked}\n"
                f"Set AWS_REGION or backend.region to one of {', '.join(AwsDevice.REGIONS)}."
            )
        boto_session = boto3.Session(profile_name=backend.profile, region_name=asked)
        if boto_session.get_credentials() is None:
            raise no_credentials()
        return LedgerSession(
            boto_session,
            tries=backend.tries,
            creates_per_second=backend.creates_per_second,
            connections=backend.max_parallel + 2,
            clock=clock,
        )
    except exceptions.ProfileNotFound as error:
        raise BackendError(f"{error}\nSet AWS_PROFILE or backend.profile to one that `aws configure` made.") from error
    except exceptions.BotoCoreError as error:
        raise BackendError(
            f"the AWS configuration cannot be used ({type(error).__name__}: {error})\nMend it with `aws configure`."
        ) from error


def _check_status(device: AwsDevice) -> None:
    simulator = "; `backend: braket-sv1` is a simulator" if not device.arn.endswith("/sv1") else ""
    if device.status == "RETIRED":
        raise BackendError(f"{device.name} is retired\nUse another device{simulator}.")
    if device.status != "ONLINE":
        raise BackendError(
            f"{device.name} is {str(device.status).lower()}: tasks would wait for it to come back\n"
            f"Try again later, or use another device{simulator}."
        )


def _destination(bucket: str | None, session: LedgerSession) -> str:
    """Return where results go, and see that the bucket is there."""
    named, _, prefix = (bucket or "").removeprefix("s3://").partition("/")
    try:
        named = named or session.default_bucket()
        session.check_bucket(named)
    except (*SERVICE_ERRORS, ValueError) as error:
        why = error_code(error)
        words = {"404": "there is none of that name", "403": "AWS refuses it to these credentials"}
        if why not in words and not named:
            raise explained(error, "looking for the default bucket", session.region, session.redact) from None
        raise bucket_refused(named, words.get(why, session.redact(error))) from None
    return f"s3://{named}/{prefix.strip('/') or PREFIX}"
