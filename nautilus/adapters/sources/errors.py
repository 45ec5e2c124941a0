"""What a data provider may do wrong, and what a question to it may.

::

    VenueError
      SourceError                a data provider misbehaves                        code "source"
        UnauthorisedError        the key is refused                                code "source.unauthorised"
          UnconfiguredError      there is no key, so nothing was asked             code "source.unconfigured"
        RateLimitedError         a limit is used up, here or there                 code "source.rate_limited"
        UnavailableError         it cannot be reached, or fails                    code "source.unavailable"
        SourceTimeoutError       it does not answer in time                        code "source.timeout"
        MalformedError           its answer is not what it documents               code "source.malformed"
          TooLargeError          its answer is larger than is taken                code "source.too_large"
        NotFoundError            it has no such thing                              code "source.not_found"
        UnsupportedError         it does not answer such questions                 code "source.unsupported"
        RefusedError             it refuses the question for another reason        code "source.refused"
        ChangedError             it counts in other steps than we were set up with code "source.changed"

No text of an error has a key in it.
"""

from __future__ import annotations

from typing import Any

from nautilus.model.errors import VenueError


class SourceError(VenueError):
    """A data provider misbehaves; the root of all errors of sources.

    Parameters
    ----------
    what, where, expected
        As of every error; `where` is the provider and the URL without keys.
    source
        Name of the provider.
    status
        Of its answer; 0: there was none.
    retry_seconds
        When it is worth asking again; below 0: not known.
    path
        Field of its answer that is wrong, such as ``$.chart.result[0].meta.currency``.
    """

    code = "source"

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        expected: str = "",
        source: str = "",
        status: int = 0,
        retry_seconds: float = -1.0,
        path: str = "",
    ) -> None:
        super().__init__(what, where=where, expected=expected)
        self.source = source
        self.status = status
        self.retry_seconds = retry_seconds
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.what,), dict(self.__dict__)

    def as_dict(self) -> dict[str, Any]:
        """The same facts for JSON; those that are not known are left out."""
        told: dict[str, Any] = dict(super().as_dict())
        told["source"] = self.source
        if self.status:
            told["status"] = self.status
        if self.retry_seconds >= 0:
            told["retry_seconds"] = self.retry_seconds
        if self.path:
            told["path"] = self.path
        return told


class UnauthorisedError(SourceError):
    """The provider refuses the key."""

    code = "source.unauthorised"


class UnconfiguredError(UnauthorisedError):
    """The provider wants a key and none is set: nothing was asked."""

    code = "source.unconfigured"


class RateLimitedError(SourceError):
    """A limit is used up: one that is kept here, or the provider says so. `retry_seconds` says until when."""

    code = "source.rate_limited"


class UnavailableError(SourceError):
    """The provider cannot be reached, ends a connection early or answers with a failure of its own (5xx)."""

    code = "source.unavailable"


class SourceTimeoutError(SourceError):
    """The provider does not answer in time."""

    code = "source.timeout"


class MalformedError(SourceError):
    """An answer is not what the provider documents; `path` is the field."""

    code = "source.malformed"


class TooLargeError(MalformedError):
    """An answer is larger than is taken."""

    code = "source.too_large"


class NotFoundError(SourceError):
    """The provider has no such symbol, series or page."""

    code = "source.not_found"


class UnsupportedError(SourceError):
    """The provider does not answer questions of this kind."""

    code = "source.unsupported"


class RefusedError(SourceError):
    """The provider refuses the question (4xx) for a reason that is none of the others."""

    code = "source.refused"


class ChangedError(SourceError):
    """An instrument is traded in other steps of price or quantity than the platform was set up with."""

    code = "source.changed"
