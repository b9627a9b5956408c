"""Checks of data sets: what they load, that it is the same each time, and what they say where it is not there."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from pydantic import TypeAdapter
from torch import Tensor

from qdeq.data import Images, RawDataset, prepare
from qdeq.errors import DataError
from qdeq.testing import option_checks
from qdeq.testing.comparison import Mismatch
from qdeq.testing.dataset_subject import DatasetSubject
from qdeq.testing.solver_harness import SolverCheck
from qdeq.testing.solver_subject import NotTried
from qdeq.testing.surroundings import changed_since, surroundings, unusual_generators

DATASET_CHECKS: dict[str, SolverCheck] = {}
"""All checks, by name, in the order in which they run."""

Cases = Callable[[DatasetSubject], Mapping[str, Any]]
COMMON = 0.01
"""Part of the test images that may be training images as well: published sets have a few."""
SIZE = 3
"""Features are 3 x 3, which any picture gives."""
LIMIT = 40
"""Training images of a try at training; more where there are more classes."""


def check(
    name: str, cases: Cases
) -> Callable[[Callable[[DatasetSubject, Any], None]], Callable[[DatasetSubject, Any], None]]:
    """Register a function as a check; the arguments are those of :class:`SolverCheck`."""

    def register(test: Callable[[DatasetSubject, Any], None]) -> Callable[[DatasetSubject, Any], None]:
        DATASET_CHECKS[name] = SolverCheck(name, test, cases)
        return test

    return register


def _once(subject: DatasetSubject) -> Mapping[str, None]:
    return {"load()": None}


def _parts(subject: DatasetSubject) -> Mapping[str, str]:
    return {"training images": "train", "test images": "test"}


@check("loads", _once)
def loads(subject: DatasetSubject, case: None) -> None:
    """load() returns a RawDataset, without a network."""
    try:
        found = subject.attempt()
    except DataError as missing:
        raise Mismatch(str(missing), "images; this kit downloads none", "a DataError") from missing
    if not isinstance(found, RawDataset):
        raise Mismatch("load() returned something else", "a qdeq.data.RawDataset", type(found).__name__)


@check("contents", _parts)
def contents(subject: DatasetSubject, part: str) -> None:
    """Images [N, C, H, W], uint8 or finite float32, on the CPU; labels with a name each; at least two classes."""
    _require_sound(subject.loaded(), part)


def _require_sound(raw: RawDataset, part: str) -> None:
    images = raw.train if part == "train" else raw.test
    if images is None:
        return
    try:
        Images(images.images, images.labels, images.class_names)  # again: a tensor can change after it was checked
    except DataError as error:
        raise Mismatch(f"{part}: {error}", "what qdeq.data.Images asks for") from error
    for what, tensor in (("images", images.images), ("labels", images.labels)):
        if tensor.device.type != "cpu" or tensor.requires_grad:
            raise Mismatch(f"{part}: {what} are on {tensor.device}, or have a gradient", "plain tensors on the CPU")
    names = images.class_names
    if not isinstance(names, tuple) or not all(isinstance(name, str) and name.strip() for name in names):
        raise Mismatch(f"{part}: class names are no tuple of text", 'such as ("cat", "dog")', names)
    if len(set(names)) < len(names):
        raise Mismatch(f"{part}: two classes have the same name", "a name for each", names)
    if part == "train" and len(images.labels.unique()) < 2:
        raise Mismatch("there are training images of one class alone", "at least two", images.labels.unique())
    if not (isinstance(raw.name, str) and raw.name.strip() and raw.name.isprintable()):
        raise Mismatch("the data set's name is no line of text", "such as 'digits'", repr(raw.name))


def _sound(subject: DatasetSubject) -> RawDataset:
    """Return what is loaded.

    Raises:
        NotTried: There is nothing, or it is not what `contents` asks for.
    """
    raw = subject.loaded()
    try:
        for part in ("train", "test"):
            _require_sound(raw, part)
    except Mismatch as wrong:
        raise NotTried("contents") from wrong
    return raw


@check("disjoint", _once)
def disjoint(subject: DatasetSubject, case: None) -> None:
    """Test images are no training images."""
    raw = _sound(subject)
    if raw.test is None:
        return
    known = set(_rows(raw.train.images))
    common = [number for number, row in enumerate(_rows(raw.test.images)) if row in known]
    if len(common) > COMMON * len(raw.test):
        raise Mismatch(
            f"{len(common)} of {len(raw.test)} test images are training images as well, such as number {common[0]}",
            f"at most {COMMON:.0%}",
            f"{len(common) / len(raw.test):.0%}",
        )


def _rows(images: Tensor) -> list[bytes]:
    return [image.contiguous().numpy().tobytes() for image in images]


def _same(what: str, first: RawDataset, second: RawDataset) -> None:
    if (first.name, first.train.class_names) != (second.name, second.train.class_names):
        raise Mismatch(f"{what} has another name or other classes", first.name, second.name)
    if (first.test is None) != (second.test is None):
        raise Mismatch(f"{what} has a test split, or has none", first.test, second.test)
    for part, one, two in (("train", first.train, second.train), ("test", first.test, second.test)):
        if one is None or two is None:
            continue
        for name in ("images", "labels"):
            if not torch.equal(getattr(one, name), getattr(two, name)):
                raise Mismatch(f"{what} gives other {name} ({part})", getattr(one, name), getattr(two, name))


def _copied(images: Images | None) -> Images | None:
    return images and Images(images.images.clone(), images.labels.clone(), images.class_names)


def _again(subject: DatasetSubject) -> None:
    """What was loaded belongs to the caller, who may change it."""
    first = _sound(subject)
    kept = RawDataset(first.name, _copied(first.train) or first.train, _copied(first.test))
    given = subject.load()
    _same("a second load()", kept, given)
    given.train.images.add_(1)
    try:
        _same("a load() after what was loaded had been changed", kept, subject.load())
    finally:
        given.train.images.copy_(kept.train.images)  # it may be what all other checks look at


def _shared(subject: DatasetSubject) -> None:
    """Nothing depends on the global generators, and nothing that the whole process shares is changed."""
    first = _sound(subject)
    with unusual_generators():
        before = surroundings()
        second = subject.load()
        changed = changed_since(before)
    if changed:
        raise Mismatch(
            f"load() changes {changed[0]}, for everybody",
            "a generator with a seed of its own: torch.Generator().manual_seed(0)",
            f"changed: {', '.join(changed)}",
        )
    _same("a load() under other global random generators", first, second)


@check("purity", lambda subject: {"a second load": _again, "what the process shares": _shared})
def purity(subject: DatasetSubject, part: Callable[[DatasetSubject], None]) -> None:
    """The same options give the same images, whatever happens around; generators and settings are left alone."""
    part(subject)


@check("network", _once)
def network(subject: DatasetSubject, case: None) -> None:
    """No connection is opened unless the option `download` allows it."""
    with contextlib.suppress(Exception):  # which `loads` tells
        subject.attempt()
    if subject.asked:
        raise Mismatch(
            f"load() wants to connect to {subject.asked[0]}",
            "an option download: bool, and nothing where it is false",
            f"{len(subject.asked)} connections",
        )


def _paths(subject: DatasetSubject) -> list[str]:
    """Return the options that name a file or a folder."""
    if not dataclasses.is_dataclass(subject.dataset):
        return []
    properties = TypeAdapter(type(subject.dataset)).json_schema().get("properties", {})
    forms = {"path", "file-path", "directory-path"}
    return [
        name
        for name, about in properties.items()
        if forms & {each.get("format") for each in (about, *about.get("anyOf", ()))}
    ]


def _missing(subject: DatasetSubject) -> Mapping[str, tuple[str, str]]:
    cases = [("does not exist", "nothing"), ("is an empty file", "empty"), ("is a file of something else", "other")]
    return {f"{option} {what}": (option, kind) for option in _paths(subject) for what, kind in cases}


@check("missing-files", _missing)
def missing_files(subject: DatasetSubject, case: tuple[str, str]) -> None:
    """Where files are missing or damaged, a DataError names them and, in a second line, what to do."""
    option, kind = case
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images"
        if kind != "nothing":
            path.write_bytes(b"" if kind == "empty" else b"no data set at all\n" * 20)
        made: Any = subject.dataset
        wrong = DatasetSubject(dataclasses.replace(made, **{option: path}), subject.name)
        try:
            found = wrong.load()
        except DataError as error:
            if str(path) not in str(error) or len(str(error).splitlines()) < 2:
                raise Mismatch(
                    "the error does not say what is missing and what to do", f"{path}, and a remedy", error
                ) from error
            return
        except Exception as error:  # a plug-in may fail in any way
            raise Mismatch("not an error for the user", "a DataError", f"{type(error).__name__}: {error}") from error
    raise Mismatch(f"{option} = {path} is taken", "a DataError", found)


def _in_a_file(subject: DatasetSubject) -> None:
    """An experiment file holds all options, and gives back the same data set."""
    made: Any = subject.dataset
    saved = TypeAdapter(type(made)).dump_python(made, mode="json")
    again = type(made)(**yaml.safe_load(yaml.safe_dump(saved)))
    if again != made:
        raise Mismatch("a file does not give the same data set back", made, again)


_OPTIONS: dict[str, Callable[[Any], None]] = {
    "an unknown option": option_checks.refuses_unknown,
    "values out of range": option_checks.refuses_out_of_range,
    "setting an option later": option_checks.is_frozen,
    "descriptions": option_checks.describes_options,
}


@check("options", lambda subject: {**_OPTIONS, "the way through a file": None})
def options(subject: DatasetSubject, part: Callable[[Any], None] | None) -> None:
    """Unknown and impossible options are refused, the others described, frozen, and saved with an experiment."""
    if not dataclasses.is_dataclass(subject.dataset):
        raise Mismatch(
            "the class is no dataclass", "@dataclass(frozen=True, kw_only=True) of pydantic", type(subject.dataset)
        )
    if part is None:
        _in_a_file(subject)
    else:
        part(subject.dataset)


@check("prepares", _once)
def prepares(subject: DatasetSubject, case: None) -> None:
    """prepare() makes finite features of it, with every class in training, validation and test, the same each time."""
    raw = _sound(subject)
    limit = max(LIMIT, 2 * len(raw.train.class_names))
    first, second = (prepare(raw, size=SIZE, feature_map="pool", limit=limit) for _ in range(2))
    if len(first.train.labels) > limit:
        raise Mismatch("there are more training images than the limit", limit, len(first.train.labels))
    wanted = list(range(len(first.class_names)))
    for part in ("train", "validation", "test"):
        one, two = getattr(first, part), getattr(second, part)
        if not bool(one.features.isfinite().all()):
            raise Mismatch(f"features of {part} are not finite", "finite numbers", one.features)
        if part != "test" and sorted(one.labels.unique().tolist()) != wanted:
            raise Mismatch(f"not every class is in {part}", wanted, one.labels.unique())
        if not (torch.equal(one.features, two.features) and torch.equal(one.labels, two.labels)):
            raise Mismatch(f"a second time {part} is another", one.features, two.features)
