"""Hostile input: valid files, mutated, and what qdeq's readers make of them.

    python -m benchmarks.fuzz --inputs 100000 --seed 0 --out runs/fuzz

Every input is answered with a value or with a `QdeqError` of one or two lines: never another exception, a hang, more
memory than it deserves, or a write. `tests/fuzz` runs the same targets on a few thousand inputs.
"""
