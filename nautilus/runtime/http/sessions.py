"""`POST /session`: a token for a while, for who has shown an API key."""

from __future__ import annotations

import os

import msgspec

from nautilus.policy.keys import SCOPES, widened
from nautilus.policy.sessions import NONCE_BYTES, Session, session_token
from nautilus.runtime.clock import NANOSECONDS, wall_ns
from nautilus.runtime.http.access import Keys
from nautilus.runtime.http.body import NO_BODY
from nautilus.runtime.http.exchange import Response, json_response
from nautilus.runtime.http.problems import HttpError
from nautilus.runtime.http.request import Request, Route

PATH = "/session"


class SessionRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a session is to be.

    Parameters
    ----------
    scopes
        At most those of the key; (): all of them.
    seconds
        Life, at most `access.session_seconds`; 0: that.
    """

    scopes: tuple[str, ...] = ()
    seconds: int = 0


class SessionAnswer(msgspec.Struct, frozen=True):
    """A token, to be shown as ``Authorization: Bearer`` until its time is over or its key has ended."""

    token: str
    scopes: tuple[str, ...]
    expires_ns: int


def session_route(keys: Keys, most_seconds: int) -> Route:
    """The route, of a port whose rules have these keys."""

    def begin(request: Request) -> Response:
        principal = request.exchange.principal
        if not principal.key or not keys.sessions:
            raise HttpError(
                403, "access.session", "a session begins with an API key", expected="a request that a key has signed"
            )
        try:
            wanted = msgspec.convert(
                SessionRequest() if request.body is NO_BODY else request.body, SessionRequest, from_attributes=True
            )
        except msgspec.ValidationError as error:
            raise HttpError(422, "http.fields", str(error), where="body") from None
        if not set(wanted.scopes) <= set(SCOPES) or not 0 <= wanted.seconds <= most_seconds:
            raise HttpError(
                422,
                "http.fields",
                "scopes or seconds that a session cannot have",
                where="body",
                expected=f"scopes of {', '.join(SCOPES)}, seconds up to {most_seconds}",
            )
        scopes = widened(wanted.scopes) & principal.scopes if wanted.scopes else principal.scopes
        ends_s = wall_ns() // NANOSECONDS + (wanted.seconds or most_seconds)  # a token has whole seconds
        ends_ns = ends_s * NANOSECONDS
        token = session_token(keys.sessions, Session(principal.key, scopes, ends_ns), os.urandom(NONCE_BYTES))
        answer = SessionAnswer(token, tuple(scope for scope in SCOPES if scope in scopes), ends_ns)
        return json_response(msgspec.to_builtins(answer), 201)

    return Route("POST", PATH, begin, scope="read")
