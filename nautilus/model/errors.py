"""Every error that the platform raises on purpose.

::

    NautilusError
      ConfigError      a setting, flag or file of settings is wrong            code "config"
      BusError         a message could not be sent, delivered or understood    code "bus"
      VenueError       a venue, data source or recording misbehaves            code "venue"
      ModelError       a value does not fit the vocabulary                     code "model"
        AnalysisError  a number is not defined on what was given               code "analysis.*"
      InternalError    an invariant of the platform itself is broken           code "internal"

Each says what was found, where, and what was expected; `code` is stable, short and meant for machines. Packages
derive their own errors from one of the five and give them a code of their own, such as ``venue.format``.
"""

from __future__ import annotations

from typing import ClassVar


class NautilusError(Exception):
    """Root of the tree; never raised itself.

    Parameters
    ----------
    what
        What was found, as one short sentence without a full stop.
    where
        File and line, record, field or engine.
    expected
        What would have been right.
    """

    code: ClassVar[str] = "nautilus"

    def __init__(self, what: str, *, where: str = "", expected: str = "") -> None:
        self.what = what
        self.where = where
        self.expected = expected
        super().__init__(what)

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}; expected {self.expected}" if self.expected else text

    def __reduce__(self) -> tuple[object, ...]:
        # The keyword arguments are state, so that an error keeps them when it crosses a process border.
        return type(self), (self.what,), {"where": self.where, "expected": self.expected}

    def as_dict(self) -> dict[str, str]:
        """The same facts for JSON: ``code``, ``what``, ``where``, ``expected``."""
        return {"code": self.code, "what": self.what, "where": self.where, "expected": self.expected}


class ConfigError(NautilusError):
    """A setting, flag or file of settings is wrong."""

    code = "config"


class BusError(NautilusError):
    """A message could not be sent, delivered or understood."""

    code = "bus"


class VenueError(NautilusError):
    """A venue, a data source or a recording misbehaves."""

    code = "venue"


class ModelError(NautilusError):
    """A value does not fit the vocabulary: a price off tick, a quantity off lot, an unknown instrument."""

    code = "model"


class UnknownInstrumentError(ModelError):
    """No instrument of that symbol or id."""

    code = "model.unknown_instrument"


class UnknownPortfolioError(ModelError):
    """No portfolio of that id."""

    code = "model.unknown_portfolio"


class UnknownFeatureError(ModelError):
    """No feature, output, source or family of that name."""

    code = "model.unknown_feature"


class UnknownSeriesError(ModelError):
    """No history of that name."""

    code = "model.unknown_series"


class AnalysisError(ModelError):
    """A number is not defined on what was given; `code` says why (`nautilus.maths.errors`)."""

    def __init__(self, what: str, *, reason: str = "undefined", where: str = "", expected: str = "") -> None:
        super().__init__(what, where=where, expected=expected)
        self.reason = reason
        self.code = f"analysis.{reason}"  # type: ignore[misc]

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.what,), self.__dict__.copy()


class InternalError(NautilusError):
    """An invariant of the platform is broken; the state concerned is not to be trusted."""

    code = "internal"
