"""Small runs whose pages the tests look at."""

from qdeq.reports.html import gather_runs, page
from qdeq.spec import ExperimentSpec, parse_spec
from qdeq.training import train

HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(2)>&lt;'
"""Text that would run if it got into a page as it is."""


def small_spec(**sections) -> ExperimentSpec:
    """Return a spec that trains in a second; keywords update its sections."""
    data = {
        "name": "small",
        "data": {"dataset": "digits", "classes": [0, 3, 6, 9], "limit": 64},
        "training": {"epochs": 2, "batch_size": 16, "learning_rate": 0.05},
    }
    for key, value in sections.items():
        data[key] = {**data.get(key, {}), **value} if isinstance(value, dict) else value
    return parse_spec(data, "small")


SPECS = {
    "implicit": {},
    "direct": {"model": {"mode": "direct", "layers": 3}},
    "warm": {"training": {"warmup_steps": 4}, "solver": "anderson"},
    "shots": {"shots": 100, "training": {"epochs": 1}},
}


class Runs(dict):
    """Folders of finished runs by kind, each trained when it is first asked for."""

    def __init__(self, folder):
        self._folder = folder

    def __missing__(self, kind):
        train(small_spec(**{**SPECS[kind], "name": kind}), self._folder / kind)
        return self.setdefault(kind, self._folder / kind)


def page_of(*folders, **options) -> str:
    """Return the page about runs."""
    return page(gather_runs(folders, **options))
