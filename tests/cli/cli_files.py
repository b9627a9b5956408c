"""The experiment file that the tests of the command line start from."""

from pathlib import Path

CONFIGS = Path(__file__).parents[2] / "configs"

TINY = """\
name: tiny
data: {dataset: digits, classes: [0, 3, 6, 9], limit: 60}
model: {mode: direct, layers: 1}
training: {epochs: 1, batch_size: 16}
"""
