"""The devices: properties in the shape of GetDevice's, and the regions that know them.

SV1's action is the one that AWS's developer guide prints ("Support for OpenQASM on different Braket devices"). DM1's is
the same without amplitudes and gradients, and with noise. The QPUs have few gates, shots only, and a price per shot.
TN1, Aria-1 and Ankaa-3 are retired, Forte-Enterprise-1 is offline. The SDK's classes read all of them in
``tests/remote/test_service_devices.py``.
"""

from __future__ import annotations

from typing import Any

SIMULATOR_REGIONS = ("us-east-1", "us-west-1", "us-west-2", "eu-west-2")

_GATES = (
    "ccnot cnot cphaseshift cphaseshift00 cphaseshift01 cphaseshift10 cswap cy cz h i iswap pswap phaseshift "
    "rx ry rz s si swap t ti v vi x xx xy y yy z zz"
)
_NOISE = (
    "amplitude_damping bit_flip depolarizing generalized_amplitude_damping kraus pauli_channel phase_damping "
    "phase_flip two_qubit_dephasing two_qubit_depolarizing"
)
_GARNET = "cnot cz h i prx rx ry rz x y z"
_IONQ = "cnot h i rx ry rz s si swap t ti v vi x xx y yy z zz"
_ANKAA = "cnot cz h i iswap rx ry rz x y z"
_OBSERVABLES = ["x", "y", "z", "h", "i", "hermitian"]
_ARRAY_OPERATIONS = ["concatenation", "negativeIndex", "range", "rangeWithStep", "slicing", "selection"]
_ALWAYS = {"executionDay": "Everyday", "windowStartHour": "00:00", "windowEndHour": "23:59:59"}
MAX_SHOTS = 100000


def _header(name: str) -> dict[str, str]:
    return {"name": f"braket.device_schema.{name}", "version": "1"}


def _service(shots: tuple[int, int], price: float, unit: str, location: str) -> dict[str, Any]:
    return {
        "braketSchemaHeader": _header("device_service_properties"),
        "executionWindows": [_ALWAYS],
        "shotsRange": list(shots),
        "deviceCost": {"price": price, "unit": unit},
        "deviceLocation": location,
        "updatedAt": "2025-06-01T00:00:00",
        "getTaskPollIntervalMillis": 20,  # a real one says 200 or more; tests need not wait for that
    }


def _results(*names: str, shots: int = MAX_SHOTS) -> list[dict[str, Any]]:
    exact, sampled = ("Amplitude", "AdjointGradient", "DensityMatrix"), ("Sample", "Probability")
    rows = []
    for name in names:
        low, high = (0, 0) if name in exact else (1, shots) if name in sampled else (0, shots)
        row: dict[str, Any] = {"name": name, "minShots": low, "maxShots": high}
        if name in ("Sample", "Expectation", "Variance"):
            row["observables"] = _OBSERVABLES
        elif name == "AdjointGradient":
            row["observables"] = _OBSERVABLES[:5]
        rows.append(row)
    return rows


def _action(operations: str, results: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    program = {
        "actionType": "braket.ir.openqasm.program",
        "version": ["1"],
        "supportedOperations": operations.split(),
        "supportedModifiers": [],
        "supportedPragmas": [],
        "forbiddenPragmas": [],
        "maximumQubitArrays": 1,
        "maximumClassicalArrays": 1,
        "forbiddenArrayOperations": _ARRAY_OPERATIONS,
        "requiresAllQubitsMeasurement": True,
        "supportPhysicalQubits": False,
        "requiresContiguousQubitIndices": True,
        "disabledQubitRewiringSupported": False,
        "supportedResultTypes": results,
        **more,
    }
    return {"braket.ir.openqasm.program": program}


def _simulator(name: str, qubits: int, action: dict[str, Any], status: str = "ONLINE") -> dict[str, Any]:
    return {
        "deviceName": name,
        "providerName": "Amazon Braket",
        "deviceType": "SIMULATOR",
        "deviceStatus": status,
        "regions": SIMULATOR_REGIONS,
        "capabilities": {
            "braketSchemaHeader": _header("simulators.gate_model_simulator_device_capabilities"),
            "service": _service((0, MAX_SHOTS), 0.075, "minute", "N. Virginia, US East"),
            "action": action,
            "paradigm": {
                "braketSchemaHeader": _header("simulators.gate_model_simulator_paradigm_properties"),
                "qubitCount": qubits,
            },
            "deviceParameters": {},
        },
    }


def _qpu(
    name: str,
    provider: str,
    gates: str,
    *,
    native: list[str],
    region: str,
    qubits: int,
    price: float,
    shots: tuple[int, int],
    line: bool = False,
    status: str = "ONLINE",
    maximum_gates: int | None = None,
) -> dict[str, Any]:
    """Return a QPU whose qubits are all connected, or are a line of neighbours."""
    neighbours = {q: [str(p) for p in (q - 1, q + 1) if 1 <= p <= qubits] for q in range(1, qubits + 1)}
    schema = f"{provider.lower()}.{provider.lower()}_device_capabilities"
    results = _results("Sample", "Expectation", "Variance", "Probability", shots=shots[1])
    for row in results:
        row["minShots"] = 1
    return {
        "deviceName": name,
        "providerName": provider,
        "deviceType": "QPU",
        "deviceStatus": status,
        "regions": (region,),
        "maximumGates": maximum_gates,
        "capabilities": {
            "braketSchemaHeader": _header(schema),
            "service": _service(shots, price, "shot", region),
            "action": _action(
                gates,
                results,
                supportPhysicalQubits=True,
                disabledQubitRewiringSupported=True,
                requiresContiguousQubitIndices=not line,
            ),
            "paradigm": {
                "braketSchemaHeader": _header("gate_model_qpu_paradigm_properties"),
                "connectivity": {
                    "fullyConnected": not line,
                    "connectivityGraph": {str(q): near for q, near in neighbours.items()} if line else {},
                },
                "qubitCount": qubits,
                "nativeGateSet": native,
            },
            "deviceParameters": {},
        },
    }


_SV1 = _action(
    _GATES,
    _results("Sample", "Expectation", "Variance", "Probability", "Amplitude", "AdjointGradient"),
    supportedPragmas=["braket_unitary_matrix"],
)
_DM1 = _action(
    f"{_GATES} {_NOISE}",
    _results("Sample", "Expectation", "Variance", "Probability", "DensityMatrix"),
    supportedPragmas=["braket_unitary_matrix", *(f"braket_noise_{name}" for name in _NOISE.split())],
)


def _iqm(name: str, qubits: int, price: float) -> dict[str, Any]:
    return _qpu(
        name,
        "IQM",
        _GARNET,
        native=["cz", "prx"],
        region="eu-north-1",
        qubits=qubits,
        price=price,
        shots=(1, 20000),
        line=True,
    )


def _ionq(name: str, qubits: int, price: float, status: str = "ONLINE") -> dict[str, Any]:
    return _qpu(
        name,
        "IonQ",
        _IONQ,
        native=["GPI", "GPI2", "ZZ"],
        region="us-east-1",
        qubits=qubits,
        price=price,
        shots=(100, 5000),
        status=status,
        maximum_gates=2000,
    )


_ANKAA_3 = _qpu(
    "Ankaa-3",
    "Rigetti",
    _ANKAA,
    native=["rx", "rz", "iswap"],
    region="us-west-1",
    qubits=82,
    price=0.0009,
    shots=(10, 50000),
    line=True,
    status="RETIRED",
)

DEVICES: dict[str, dict[str, Any]] = {
    "arn:aws:braket:::device/quantum-simulator/amazon/sv1": _simulator("SV1", 34, _SV1),
    "arn:aws:braket:::device/quantum-simulator/amazon/dm1": _simulator("dm1", 17, _DM1),
    "arn:aws:braket:::device/quantum-simulator/amazon/tn1": _simulator("TN1", 50, _SV1, "RETIRED"),
    "arn:aws:braket:eu-north-1::device/qpu/iqm/Garnet": _iqm("Garnet", 20, 0.00145),
    "arn:aws:braket:eu-north-1::device/qpu/iqm/Emerald": _iqm("Emerald", 54, 0.0016),
    "arn:aws:braket:us-east-1::device/qpu/ionq/Forte-1": _ionq("Forte 1", 36, 0.08),
    "arn:aws:braket:us-east-1::device/qpu/ionq/Forte-Enterprise-1": _ionq("Forte Enterprise 1", 36, 0.08, "OFFLINE"),
    "arn:aws:braket:us-east-1::device/qpu/ionq/Aria-1": _ionq("Aria 1", 25, 0.03, "RETIRED"),
    "arn:aws:braket:us-west-1::device/qpu/rigetti/Ankaa-3": _ANKAA_3,
}
