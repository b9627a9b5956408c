"""The benchmark of float32's errors by register finds them small, and prints a table."""

import re

from benchmarks import precision

BOUND = 5e-6


def test_prints_errors_of_every_way_to_run_a_circuit(capsys):
    assert precision.main(["--qubits", "4", "12"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert [cell.strip() for cell in lines[0].split("|")[2:-1]] == list(precision.ROWS)
    figures = [float(number) for line in lines[2:] for number in re.findall(r"\de-\d+", line)]
    assert (
        len(figures) == 2 * 11 - 2
    )  # a value and a derivative each, qsim values alone; no density matrix of 12 qubits
    assert 0 < max(figures) < BOUND
