"""AWS, for backends that cost money: whether there are credentials and a region. No value of a credential is shown."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from typing import Any

from qdeq.doctor.finding import Finding
from qdeq.extras import install_extra

LOCAL = {"env": "environment variables", "shared-credentials-file": "credentials file", "config-file": "config file"}
"""Where credentials may lie as they are; everywhere else they are asked for, over the network or of a program."""
ASKED = {
    "role_arn": "a role",
    "sso_session": "single sign-on",
    "sso_start_url": "single sign-on",
    "login_session": "a login session",
    "credential_process": "a program",
}
REGION_NAMES = ("AWS_REGION", "AWS_DEFAULT_REGION")


def aws(*, online: bool) -> Iterator[Finding]:
    """Look for credentials and region; with ``online``, ask AWS about them."""
    if importlib.util.find_spec("boto3") is None or importlib.util.find_spec("braket") is None:
        yield Finding("aws", "software", "missing", "Amazon Braket's SDK is not installed", install_extra("braket"))
        return
    import boto3
    from botocore.exceptions import BotoCoreError

    try:
        session = boto3.Session()
        yield _credentials(session, online)
        yield _region(session)
    except BotoCoreError as error:  # a profile that is not there, a file that cannot be parsed
        yield Finding("aws", "configuration", "broken", f"{type(error).__name__}: {error}", "mend it: `aws configure`")
        return
    if online:
        yield _asked(session)


def _credentials(session: Any, online: bool) -> Finding:
    botocore = session._session  # boto3 would ask the network for what it does not find, and has no switch for that
    for provider in botocore.get_component("credential_provider").providers:
        if provider.METHOD in LOCAL and provider.load() is not None:
            return Finding("aws", "credentials", "ok", f"found in {LOCAL[provider.METHOD]}")
    profile = botocore.get_scoped_config()
    for key, what in ASKED.items():
        if key in profile:
            tried = "" if online else " (not tried; --online does)"
            return Finding("aws", "credentials", "ok", f"the profile gets them from {what}{tried}")
    if any(
        name.startswith("AWS_CONTAINER_CREDENTIALS_") or name == "AWS_WEB_IDENTITY_TOKEN_FILE" for name in os.environ
    ):
        return Finding("aws", "credentials", "ok", "the surroundings give them (not tried; --online does)")
    mend = "`aws configure`, `aws sso login`, AWS_PROFILE, or AWS_ACCESS_KEY_ID and its like"
    return Finding("aws", "credentials", "missing", "none; only backends that cost money need them", mend)


def _region(session: Any) -> Finding:
    from braket.aws import AwsDevice

    region = next(filter(None, map(os.environ.get, REGION_NAMES)), session.region_name)
    if not region:
        return Finding("aws", "region", "missing", "none is set", "set AWS_REGION, such as us-east-1")
    if region not in AwsDevice.REGIONS:
        where = ", ".join(AwsDevice.REGIONS)
        return Finding("aws", "region", "warning", f"{region}, where Amazon Braket is not", f"use one of {where}")
    return Finding("aws", "region", "ok", region)


def _asked(session: Any) -> Finding:
    """Ask who we are, and whether SV1 is online."""
    from botocore.config import Config

    from qdeq.backends.braket_remote.backend import SV1
    from qdeq.backends.braket_remote.refusals import explained
    from qdeq.backends.braket_remote.retries import SERVICE_ERRORS, may_pass
    from qdeq.backends.braket_remote.session import Redactor

    region = next(filter(None, map(os.environ.get, REGION_NAMES)), session.region_name) or "us-east-1"
    quick = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 2, "mode": "standard"})
    try:
        session.client("sts", region_name=region, config=quick).get_caller_identity()
        state = session.client("braket", region_name=region, config=quick).get_device(deviceArn=SV1)["deviceStatus"]
    except SERVICE_ERRORS as error:
        what, _, mend = str(explained(error, "asking AWS", region, Redactor(session))).partition("\n")
        later = "look at the network, or try again later"  # nothing was paid for here, so no ledger need be spoken of
        return Finding("aws", "service", "broken", what, later if may_pass(error) else mend or None)
    return Finding("aws", "service", "ok", f"takes the credentials; SV1 is {state.lower()}")
