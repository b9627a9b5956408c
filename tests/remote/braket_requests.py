"""Requests for CreateQuantumTask, as boto3 takes them."""

import json

from braket_service.client import SV1

BUCKET = "amazon-braket-results"
BELL = "OPENQASM 3.0;\nbit[2] b;\nqubit[2] q;\nh q[0];\ncnot q[0], q[1];\nb[0] = measure q[0];\nb[1] = measure q[1];\n"
EXACT = "OPENQASM 3.0;\nqubit[1] q;\nry(0.3) q[0];\n#pragma braket result expectation z(q[0])\n"


def task_request(source=EXACT, *, token="a-token", device=SV1, shots=0, inputs=None, **more):
    action = {"braketSchemaHeader": {"name": "braket.ir.openqasm.program", "version": "1"}, "source": source}
    return {
        "clientToken": token,
        "deviceArn": device,
        "shots": shots,
        "outputS3Bucket": BUCKET,
        "outputS3KeyPrefix": "tasks",
        "action": json.dumps(action | ({} if inputs is None else {"inputs": inputs})),
        **more,
    }
