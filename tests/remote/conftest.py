from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.loaders import JSONFileLoader
from braket.aws import AwsSession
from braket_requests import BUCKET
from braket_service.client import Service, start_service


@pytest.fixture(scope="session", autouse=True)
def _data_files_read_once() -> Iterator[None]:
    """Botocore reads megabytes of JSON for every session; its content is the same for all tests."""
    read, known = JSONFileLoader.load_file, {}

    def load_file(self: JSONFileLoader, path: str) -> Any:
        if path not in known:
            known[path] = read(self, path)
        return known[path]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JSONFileLoader, "load_file", load_file)
        yield


@pytest.fixture(scope="session")
def _running_service() -> Iterator[Service]:
    with start_service() as service:
        yield service


@pytest.fixture
def braket_service(_running_service) -> Service:
    """The session's one service, as if it had just been started."""
    _running_service.reset()
    return _running_service


@pytest.fixture
def braket_env(braket_service, monkeypatch) -> Service:
    """The service, with this process's environment set so that boto3 reaches it; no credentials but fake ones."""
    for name in ("AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in braket_service.env.items():
        monkeypatch.setenv(name, value)
    return braket_service


@pytest.fixture(scope="session")
def _boto_session(_running_service) -> boto3.Session:
    """One for all tests: it reads botocore's data files once."""
    env = _running_service.env
    return boto3.Session(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], region_name=env["AWS_REGION"])


@pytest.fixture
def aws_session(braket_env, _boto_session) -> AwsSession:
    """The SDK's own session; boto3 retries as it does for everybody."""
    return AwsSession(_boto_session)


@pytest.fixture(scope="session")
def _clients(_running_service, _boto_session) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in _running_service.env.items():
            patch.setenv(name, value)
        config = Config(retries={"total_max_attempts": 1})
        return {name: _boto_session.client(name, config=config) for name in ("braket", "s3")}


@pytest.fixture
def client(braket_env, _clients):
    """boto3's client without retries, so that a test sees every answer; the bucket BUCKET exists."""
    _clients["s3"].create_bucket(Bucket=BUCKET)
    return _clients["braket"]
