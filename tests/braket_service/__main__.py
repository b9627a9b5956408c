"""Start the service: ``python -m tests.braket_service`` from the repository root."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import threading

from .server import Server


def main() -> None:
    """Serve until killed; the first line of output says where, and what a client's environment needs."""
    parser = argparse.ArgumentParser(prog="python -m tests.braket_service", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--region", default="us-east-1", help="the client's default region")
    parser.add_argument(
        "--until-eof", action="store_true", help="end when standard input does: with the parent process"
    )
    options = parser.parse_args()
    server = Server(options.port)
    env = {
        **{f"AWS_ENDPOINT_URL_{service}": server.url for service in ("BRAKET", "S3", "STS")},
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_SESSION_TOKEN": "testing",
        "AWS_REGION": options.region,
        "AWS_DEFAULT_REGION": options.region,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    print(json.dumps({"url": server.url, "env": env}), flush=True)
    if options.until_eof:
        threading.Thread(target=lambda: (sys.stdin.read(), server.shutdown()), daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()


if __name__ == "__main__":
    main()
