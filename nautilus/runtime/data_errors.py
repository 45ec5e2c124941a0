"""What the hub's door to data providers answers where it has no data, and what it does not even ask."""

from __future__ import annotations

import math
from collections.abc import Collection
from functools import lru_cache

from nautilus.model.datasets import LONGEST_INTERVAL, LONGEST_SOURCE, LONGEST_SYMBOL, GetData
from nautilus.model.errors import ModelError, VenueError
from nautilus.model.moments import LEAST_NS, MOST_NS

NANOSECONDS = 1_000_000_000
MOST_CODES = 64


class ProviderError(VenueError):
    """A data provider, or the way to it, has no answer.

    Attributes
    ----------
    retry_after_seconds : when another try makes sense.
    """

    code = "source"
    retry_after_seconds = 1

    @classmethod
    def of(cls, code: str, what: str, where: str, expected: str, retry_seconds: float) -> ProviderError:
        """One with a code of its own."""
        error = _kind(code)(what, where=where, expected=expected)
        error.retry_after_seconds = max(1, math.ceil(retry_seconds))
        return error


@lru_cache(MOST_CODES)
def _kind(code: str) -> type[ProviderError]:
    names = {"code": code, "__module__": ProviderError.__module__, "__doc__": ProviderError.__doc__}
    return type("ProviderError", (ProviderError,), names)


def kept_refusal(error: Exception, left_ns: int) -> Exception:
    """A refusal that was kept, told with the time that is left of it."""
    if not isinstance(error, ProviderError):
        return error
    return ProviderError.of(error.code, error.what, error.where, error.expected, left_ns / NANOSECONDS)


def no_question(question: GetData) -> ModelError | None:
    """What is wrong with a question, whoever built it: types alone do not bound it within a process."""
    for name, most in (("symbol", LONGEST_SYMBOL), ("source", LONGEST_SOURCE), ("interval", LONGEST_INTERVAL)):
        length = len(getattr(question, name))
        if length > most:
            return ModelError(f"{length} characters", where=name, expected=f"at most {most}")
    for name, least in (("begin_ns", LEAST_NS), ("end_ns", LEAST_NS), ("limit", 0)):
        value = getattr(question, name)
        if not least <= value <= MOST_NS:
            return ModelError("a number out of range", where=name, expected=f"{least} to {MOST_NS}")
    return None


def no_source(name: str, known: Collection[str]) -> ProviderError:
    """Nobody is called so."""
    return ProviderError.of(
        "source.unsupported", f"no source {name!r}", "source", f"one of {', '.join(known)}" if known else "", 1
    )


__all__ = ["ProviderError", "kept_refusal", "no_question", "no_source"]
