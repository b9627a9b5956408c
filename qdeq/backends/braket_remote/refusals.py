"""What the service's errors mean, and how to mend them: two lines each, without secrets."""

from __future__ import annotations

from collections.abc import Callable

from botocore import exceptions

from qdeq.backends.braket_remote.retries import THROTTLED, error_code, may_pass
from qdeq.errors import BackendError

_REFUSED_CREDENTIALS = frozenset(
    {
        "UnrecognizedClientException",
        "InvalidSignatureException",
        "InvalidClientTokenId",
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "ExpiredToken",
        "ExpiredTokenException",
        "AuthFailure",
        "IncompleteSignature",
        "MissingAuthenticationToken",
    }
)
_SKEWED = frozenset({"RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"})
_EXPIRED = ("Signature expired", "Signature not yet current")
_FORBIDDEN = frozenset({"AccessDeniedException", "AccessDenied", "Forbidden", "403"})
NOTHING_DONE = THROTTLED | {
    "ValidationException",
    "DeviceOfflineException",
    "DeviceRetiredException",
    "ResourceNotFoundException",
}
"""Codes that say for certain that no task was made."""
_MISSING = frozenset({"NoSuchKey", "NoSuchBucket", "404"})
_QUOTAS = frozenset({"ServiceQuotaExceededException", "ServiceQuotaExceeded"})


def explained(
    error: Exception,
    what: str,
    region: str,
    redact: Callable[[object], str],
    *,
    none_made: bool | None = None,
    way_out: str = "",
) -> BackendError:
    """Return an error of ours for one of the service's.

    Args:
        error: What boto3 raised.
        what: What was being done, as in ``"asking for SV1"``.
        region: The region that was asked.
        redact: Takes secrets out.
        none_made: Whether it is certain that no task was made; None where none was asked for.
        way_out: How to go on without the task that this is about.
    """
    code = error_code(error)
    message = redact(error)
    if isinstance(error, exceptions.ClientError):
        message = redact(error.response.get("Error", {}).get("Message", "")) or message
    if isinstance(error, exceptions.NoCredentialsError | exceptions.PartialCredentialsError):
        return no_credentials()
    if code in _SKEWED or any(words in message for words in _EXPIRED):
        return BackendError(
            f"{what}: AWS finds the time of this machine wrong ({message})\nSet its clock, and run the same again."
        )
    if code in _REFUSED_CREDENTIALS or isinstance(error, exceptions.CredentialRetrievalError | exceptions.SSOError):
        return BackendError(
            f"{what}: AWS does not accept the credentials ({code or type(error).__name__})\n"
            "Renew them: `aws configure`, or `aws sso login`, or new AWS_... variables."
        )
    if code in _FORBIDDEN:
        return BackendError(
            f"{what}: AWS refuses it to these credentials ({message})\n"
            "They need the permissions of AmazonBraketFullAccess, and those for the results' bucket."
        )
    if code in _MISSING and way_out:
        return BackendError(
            f"{what}: it is not in its bucket ({message})\n"
            f"Run the same again later: nothing is paid for twice. If it never appears, {way_out}"
        )
    if code == "ConflictException":
        return BackendError(
            f"{what}: the service takes it for another request of the same name ({message})\n"
            f"Nothing that was paid for is lost. {way_out or 'Run the same again.'}"
        )
    if code in _QUOTAS:
        counted = "No task was made of it. " if none_made else ""
        return BackendError(
            f"{what}: a quota of the account is used up, and did not become free ({message})\n"
            f"{counted}Wait for tasks of others, set backend.max_parallel lower, or ask AWS for more in Service Quotas."
        )
    if code == "DeviceOfflineException":
        return BackendError(f"{what}: {message}\nTry again later, or use another device.")
    if code == "DeviceRetiredException":
        return BackendError(f"{what}: {message}\nUse another device; `qdeq backends` lists what runs on this machine.")
    if code == "ValidationException" and "bucket" in message.lower():
        return bucket_refused("", message)
    if code in ("ValidationException", "ResourceNotFoundException"):
        remedy = {
            True: "No task was made of it, and nothing was billed.",
            False: "An earlier request may have made a task of it, so it stays counted in the ledger.",
            None: "Look at it in the console of Amazon Braket.",
        }
        return BackendError(f"{what}: the service refuses it: {message}\n{remedy[none_made]}")
    if may_pass(error):
        return BackendError(
            f"{what}: Amazon Braket in {region} does not answer well ({code or type(error).__name__}: {message})\n"
            "Run the same command again later: the ledger knows every task, and none is paid for twice."
        )
    return BackendError(
        f"{what}: {type(error).__name__}: {message}\nLook at the AWS configuration: profile, region, network."
    )


def no_credentials() -> BackendError:
    """Return the error for a machine without credentials."""
    return BackendError(
        "no AWS credentials were found\n"
        "Run `aws configure` or `aws sso login`, set AWS_PROFILE or backend.profile, or AWS_ACCESS_KEY_ID and its like."
    )


def bucket_refused(bucket: str, why: str) -> BackendError:
    """Return the error for results that have nowhere to go."""
    named = f"the results' bucket {bucket!r}" if bucket else "the results' bucket"
    return BackendError(
        f"{named} cannot be used ({why})\n"
        "Give one in the device's region that you may write to, as backend.bucket; its name begins with amazon-braket-."
    )
