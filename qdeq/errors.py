"""Every error that qdeq raises on purpose, and every warning.

A message has one or two lines: what is wrong and where, then how to mend it. The command line prints exactly that text.
"""

from __future__ import annotations

import difflib
import sys
import unicodedata
import warnings
from collections.abc import Iterable, Mapping

_HIDDEN = {"Cc", "Cs", "Zl", "Zp"}  # control characters, halves of surrogate pairs, separators of lines and paragraphs
_REORDERING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # bidirectional controls
_OURS = ("qdeq", "torch")  # where a user's own line is not
_NAMED = 3  # of several things that are wrong
_BEGINNING = 3  # letters, from which on a word may be the beginning of another


class QdeqError(Exception):
    """Base class: catch it to catch everything that qdeq raises on purpose."""


class CircuitError(QdeqError, ValueError):
    """A circuit, gate or observable that cannot exist (wrong qubit, wrong number of angles, ...)."""


class SpecError(QdeqError, ValueError):
    """An experiment file that does not describe an experiment."""


class DataError(QdeqError, ValueError):
    """A data set that is missing, damaged, or does not hold what was asked for."""


class BackendError(QdeqError, RuntimeError):
    """A backend failed, or was asked for something that it cannot do."""


class UnsupportedError(BackendError):
    """A backend lacks the capability that was asked for; raised before any work is done."""


class BudgetError(QdeqError, RuntimeError):
    """A backend that costs money has no budget, or one that is too small; raised before anything is paid."""


class BudgetReached(BudgetError):
    """The next task would pass a limit of the budget; everything before it was paid for and is kept."""


class LedgerError(QdeqError, RuntimeError):
    """A ledger that is damaged, cannot be written, or is none of qdeq's."""


class SolverError(QdeqError, RuntimeError):
    """A solver broke its contract (wrong shape, wrong dtype, unknown option)."""


class ConvergenceError(QdeqError, RuntimeError):
    """A solve failed, and the caller asked for failures to be raised."""


class CheckpointError(QdeqError, RuntimeError):
    """A checkpoint that is damaged, missing, or belongs to another experiment."""


class TrainingError(QdeqError, RuntimeError):
    """Training cannot go on (the loss is not finite, the output folder is taken, ...)."""


class PluginError(QdeqError, RuntimeError):
    """A plug-in could not be loaded."""


class ConvergenceWarning(UserWarning):
    """A solve failed for some samples, whose best iterate is used."""


class DataWarning(UserWarning):
    """Images that look wrong, and may yet be meant."""


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the line of the caller that is neither this package's nor PyTorch's; at the outermost where all are."""
    level, frame = 1, sys._getframe(1)
    while frame.f_globals.get("__name__", "").partition(".")[0] in _OURS and frame.f_back is not None:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level + 1)


def printable(text: str, most: int = 400) -> str:
    """Return what may stand in a message: control characters escaped, and a long text without its middle."""
    if len(text) > most:
        text = f"{text[: most // 2]} ... {text[-most // 4 :]}"
    return "".join(repr(character)[1:-1] if is_hidden(character) else character for character in text)


def is_hidden(character: str) -> bool:
    """Whether a character may not stand in a message: it is none that is seen, or it makes text look like another."""
    return unicodedata.category(character) in _HIDDEN or character in _REORDERING


def summed_up(problems: Mapping[str, QdeqError], of: int, what: str) -> str:
    """Return what is wrong with several things of a kind in two lines: the first one whole, the next ones by name.

    Args:
        problems: What is wrong, by whose problem it is; at least one.
        of: How many things there are.
        what: What they are called, such as ``"variants"``.
    """
    (first, error), *others = problems.items()
    told = f"{first}: {error}"
    if not others:
        return told
    line = told.partition("\n")[0]
    named = []
    for name, other in others[:_NAMED]:
        named.append(name if str(other) == str(error) else f"{name} ({str(other).splitlines()[0]})")
    more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
    return f"{line}\n{len(problems)} of {of} {what} are wrong; the others: {', '.join(named)}{more}"


def plural(count: int, noun: str) -> str:
    """Return ``"1 step"``, ``"1,200 steps"``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def did_you_mean(word: object, allowed: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the allowed word that is meant, or an empty string.

    That is the same but for case and punctuation (``CIFAR-10`` is ``cifar10``), or one that begins so, or the only one
    with these initials (``lr`` is ``learning_rate``), or the closest one.
    """
    words, given = list(allowed), str(word)
    folded = [each for each in words if _folded(each) == _folded(given)]
    longer = [each for each in words if each.startswith(given)] if len(given) >= _BEGINNING else []
    short = [each for each in words if _initials(each) == given] if len(given) > 1 else []
    close = folded or longer or (short if len(short) == 1 else difflib.get_close_matches(given, words, n=1))
    return f" Did you mean {close[0]!r}?" if close else ""


def _folded(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))


def _initials(name: str) -> str:
    return "".join(part[:1] for part in name.replace("-", "_").split("_"))
