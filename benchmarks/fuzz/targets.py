"""All targets, by name."""

from benchmarks.fuzz import data_targets, run_targets, text_targets
from benchmarks.fuzz.target import Target

TARGETS: dict[str, Target] = {
    target.name: target for target in (*text_targets.TARGETS, *data_targets.TARGETS, *run_targets.TARGETS)
}
