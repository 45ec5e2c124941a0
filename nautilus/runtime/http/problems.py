"""What a request that fails is answered: RFC 9457 problem details with a stable code.

::

    status  code                      when
    400     http.malformed            no HTTP that can be understood
    400     http.body                 the body is no JSON
    400     http.path                 the path has bad escapes, NUL, or steps such as ..
    401     http.token                the token is missing or wrong
    401     access.*                  key, signature, window, replayed, digest, credentials: no request of a key
    403     access.scope              the key may not do this; access.session: only a key begins one
    403     http.host, http.origin    another machine's name, or a page of another site
    404     http.not_found            no such path
    405     http.method               not with this method
    408     http.slow                 the body did not arrive in time
    413     http.body_size            the body is too large
    415     http.content_type         not application/json
    422     http.fields               a field is missing, unknown, given twice or of another type
    426     http.upgrade              a stream, which is a WebSocket; http.websocket (400): its key is malformed
    429     access.rate               the key asks too often
    431     http.head_size            too many headers
    501     http.transfer_encoding    a body in another encoding than chunked
    503     access.full               no room to remember more signed requests
    503     http.stopping             the process is about to end
    503     bus.behind                the engine still takes in what happened while it was away
    503     breaker.open              the operation has failed too often lately
    503     limit.queue               as many wait already as may
    503     limit.shed                there is too much to do for a request of this priority
    503     http.connections          all connections that a port may have are busy; http.listeners: all WebSockets
    505     http.version              not HTTP/1.0 or HTTP/1.1
    504     limit.late                it waited too long for its turn; whether it was carried out is not known
    504     http.timeout              no answer in time; whether it was carried out is not known
    422     analysis.*                a number is not defined on what was given: empty, too_few, constant, singular ...
    503     config.package            a package that is not installed would be needed
    429     source.rate_limited       the data provider's limit is used up
    404     source.not_found          the provider has no such thing
    422     source.unsupported        it does not have this kind, or not this way
    502     source.unauthorised, source.malformed    it takes the key for none; what it answered cannot be used
    503     source.unavailable, source.busy          it is away; too many questions are under way
    504     source.timeout            it did not answer in time

A `NautilusError` keeps its own code; the first word of that decides the status: ``config`` 400, ``model`` 422 (404 for
``model.unknown_*``), ``venue`` 502, ``bus`` 503 (504 for ``bus.unknown`` and ``bus.unanswered``: it may have been
carried out, so nobody is asked to send it again), ``internal`` 500. Anything else is 500 ``internal``.
"""

from __future__ import annotations

from http import HTTPStatus

import msgspec

from nautilus.model.errors import (
    BusError,
    ConfigError,
    InternalError,
    ModelError,
    NautilusError,
    VenueError,
)
from nautilus.runtime.errorlog import shortened

PROBLEM_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:nautilus:problem:"
RETRY = ((b"retry-after", b"1"),)
"""Header of an answer that may be another one in a second."""

STATUS_OF = {
    "config": 400,
    "model": 422,
    "analysis": 422,
    "venue": 502,
    "bus": 503,
    "breaker": 503,
    "limit": 503,
    "internal": 500,
}
_EXACT = {
    "config.catalog_unreachable": 503,
    "config.package": 503,
    "source.rate_limited": 429,
    "source.not_found": 404,
    "source.unsupported": 422,
    "source.unavailable": 503,
    "source.busy": 503,
    "source.timeout": 504,
}
_ROOTS = ((ConfigError, 400), (ModelError, 422), (VenueError, 502), (BusError, 503), (InternalError, 500))
_UNKNOWN = "model.unknown_"
_IN_DOUBT = ("bus.unknown", "bus.unanswered", "limit.late")


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """Body of an answer to a request that failed.

    Parameters
    ----------
    type
        Names the kind of problem; the same for every occurrence.
    title
        The kind in words.
    detail
        What was found, this time.
    code
        Stable, for machines.
    trace_id
        Under which the log names the request.
    where, expected
        As in `NautilusError`; left out where there is nothing to say.
    """

    type: str
    title: str
    status: int
    detail: str
    code: str
    trace_id: str
    where: str = ""
    expected: str = ""


class HttpError(Exception):
    """A request is answered with this problem.

    Parameters
    ----------
    code
        One of the table above.
    what, where, expected
        As in `NautilusError`.
    headers
        Go with the answer.
    """

    def __init__(
        self,
        status: int,
        code: str,
        what: str,
        *,
        where: str = "",
        expected: str = "",
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        super().__init__(what)
        self.status = status
        self.code = code
        self.what = what
        self.where = where
        self.expected = expected
        self.headers = headers


def status_of(error: NautilusError) -> int:
    """The HTTP status of an error of the platform."""
    code = error.as_dict()["code"]
    if code.startswith(_UNKNOWN):
        return 404
    if code in _IN_DOUBT:
        return 504
    if code in _EXACT:
        return _EXACT[code]
    status = STATUS_OF.get(code.partition(".")[0])
    if status is not None:
        return status
    return next((status for root, status in _ROOTS if isinstance(error, root)), 500)


def as_http_error(error: Exception) -> HttpError:
    """How an error is told to the one who asked; nothing of an unforeseen one is."""
    if isinstance(error, HttpError):
        return error
    if isinstance(error, NautilusError):
        said, status = error.as_dict(), status_of(error)
        seconds = getattr(error, "retry_after_seconds", 1)
        retry = ((b"retry-after", b"%d" % seconds),) if status in (429, 503) else ()
        what, where, expected = (shortened(said[name]) for name in ("what", "where", "expected"))
        return HttpError(status, said["code"], what, where=where, expected=expected, headers=retry)
    return HttpError(500, "internal", "an unforeseen error; the log of the engine has it")


def problem_of(error: HttpError, trace_id: str) -> bytes:
    """The body of the answer."""
    return msgspec.json.encode(
        Problem(
            type=TYPE_PREFIX + error.code,
            title=HTTPStatus(error.status).phrase,
            status=error.status,
            detail=error.what,
            code=error.code,
            trace_id=trace_id,
            where=error.where,
            expected=error.expected,
        )
    )
