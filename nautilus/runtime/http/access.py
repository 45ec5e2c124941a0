"""Who may ask: the same rules on every port, applied at the end of the head and before all else.

::

    Host, transfer encoding ─▶ Origin, content type ─▶ who: a signature, a key, a session, the instance's token,
                                                          a client's certificate, or nobody
                                                    ─▶ may they (scope)? how often (rate)? for the first time (nonce)?
    body ─▶ is it the one that was signed?

A browser that is shown a foreign page reaches ports of this machine too. Host stops a foreign name that was made to
point here; Origin and the content type stop a foreign page's forms and scripts; keys and the token stop everybody else.
"""

from __future__ import annotations

import hmac
import re
import socket
from collections.abc import Mapping
from typing import NamedTuple, Protocol

from nautilus.core.counters import Counters
from nautilus.core.http_access import AccessBase
from nautilus.core.signature import READ as READ_WELL
from nautilus.core.signature import UNKNOWN, UNREADABLE, Verifier
from nautilus.core.throttle import ACCEPTED, EARLY, FULL, LATE, NO_ROOM, REPLAYED, Throttle
from nautilus.policy.keys import (
    ANONYMOUS,
    BEARER,
    INSTANCE,
    PRINCIPAL,
    READ,
    SCOPES,
    TRADE,
    KeyRing,
    KnownKey,
    Lease,
    Principal,
    widened,
)
from nautilus.policy.sessions import PREFIX, read_session
from nautilus.policy.signing import EMPTY, body_digest
from nautilus.runtime.http.body import Headers
from nautilus.runtime.http.config import HttpConfig
from nautilus.runtime.http.problems import HttpError

READ_METHODS = ("GET", "HEAD")
CHANGING_METHODS = ("POST", "PUT", "PATCH", "DELETE")
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
OPEN_PATHS = frozenset((b"/livez", b"/readyz"))
"""Read by whoever watches the processes, also where nobody else may read without a key."""
EVERYBODY = Principal(ANONYMOUS.name, frozenset(SCOPES))
READER = Principal(ANONYMOUS.name, frozenset((READ,)))
MOST_KNOWN = 1024
REASONS = (
    "host",
    "origin",
    "type",
    "credentials",
    "key",
    "signature",
    "window",
    "replayed",
    "scope",
    "rate",
    "digest",
    "full",
)
_NAME = re.compile(PRINCIPAL.encode())
_HELD = {b"none": frozenset[str]()} | {scope.encode(): widened((scope,)) for scope in SCOPES}
_SCOPE_OF = dict.fromkeys(READ_METHODS, READ) | dict.fromkeys(CHANGING_METHODS, TRADE)
_METHOD_BYTES = {method: method.encode() for method in (*READ_METHODS, *CHANGING_METHODS, "OPTIONS")}
_BEARER, _SESSION = BEARER.encode(), PREFIX.encode()


class Admitted(NamedTuple):
    """A request whose head is good.

    Attributes
    ----------
    principal : who asks.
    digest : what the body must hash to, see `AccessRules.verify_body`; None: nothing was signed, or there is no body.
    algorithm : by which hash (`nautilus.policy.signing.ALGORITHMS`).
    """

    principal: Principal
    digest: bytes | None = None
    algorithm: int = 0


class _Known(NamedTuple):
    """Who has been let in by the same words; `key` of `ring`, where it was one."""

    admitted: Admitted
    key: KnownKey | None
    ring: KeyRing | None


class Keys(Protocol):
    """The API keys that may be used.

    Attributes
    ----------
    sessions : what session tokens are made with; empty: there are none.
    throttle : nonces and rates of their requests; None: there are no keys.
    """

    sessions: bytes
    throttle: Throttle | None

    def ring(self, now_ns: int) -> KeyRing:
        """Those of now."""
        ...

    def hold(self, now_ns: int) -> None:
        """A signed request is about to be let in: what its nonce is remembered by must outlive this process."""
        ...


class AccessRules(AccessBase):
    """What a request must have to be looked at.

    Parameters
    ----------
    token
        Of the instance: who shows it may do everything. None: nobody needs to show anything (a demonstration).
    bind
        Address that the ports are bound to: a name of this machine too, unless it stands for all of them.
    config
        More names.
    keys
        API keys; None: there are none.
    anonymous
        What may be done without showing anything, where there is a token, at plain ports and over TLS: `READER` reads,
        `ANONYMOUS` nothing.
    subjects
        Who the common name of a client's certificate is.
    counters
        Take what was refused, by reason.
    """

    _keys: Keys | None

    def __init__(
        self,
        token: str | None = None,
        bind: str = "127.0.0.1",
        config: HttpConfig | None = None,
        *,
        keys: Keys | None = None,
        anonymous: tuple[Principal, Principal] = (READER, ANONYMOUS),
        subjects: Mapping[str, Principal] | None = None,
        counters: Counters | None = None,
    ) -> None:
        config = config or HttpConfig()
        self._token = None if token is None else token.encode()
        self._anonymous = (EVERYBODY, EVERYBODY) if token is None else anonymous
        super().__init__(keys)
        self._subjects = dict(subjects or {})
        names = {*LOOPBACK_NAMES, socket.gethostname(), *config.hosts}
        if bind not in ("", "0.0.0.0", "::"):
            names.add(f"[{bind}]" if ":" in bind else bind)
        self.hosts = frozenset(name.lower().encode() for name in names if name)
        self.keys = keys
        self._verifier = Verifier()
        self._counters = counters
        self._refused = {} if counters is None else {r: counters.counter(f"access.refused_{r}") for r in REASONS}

    def _remember(
        self, place: tuple[tuple[bytes, bytes | None], str | None, bool], admitted: Admitted, now_ns: int, target: bytes
    ) -> None:
        """Many reads come with the same words; what ends by itself, such as a session, is left out."""
        shown = place[0][1]
        key = ring = None
        # This very one: a key's owner may go by the same name.
        if admitted.principal is self._anonymous[place[2]]:
            if target.partition(b"?")[0] in OPEN_PATHS:
                return
        elif admitted.principal is not INSTANCE:
            token = (shown or b"").strip().partition(b" ")[2].strip()
            if self._keys is None or not token.startswith(_BEARER):
                return
            ring = self._keys.ring(now_ns)
            key = ring.by_id.get(token.removeprefix(_BEARER).partition(b"_")[0].decode("latin-1"))
            if key is None:
                return
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known[place] = _Known(admitted, key, ring)

    def _admit(
        self,
        exchange_method: str,
        target: bytes,
        headers: Headers,
        now_ns: int,
        scope: str | None,
        certificate: str,
        *,
        tls: bool,
    ) -> Admitted:
        hosts, origins, types, tokens, signatures, names, held = [], [], [], [], [], [], []
        has_body = upgrades = False
        for name, value in headers:
            if name == b"host":
                hosts.append(value.strip().lower())
            elif name == b"origin":
                origins.append(value.strip().lower())
            elif name == b"content-type":
                types.append(value)
            elif name == b"authorization":
                tokens.append(value)
            elif name == b"upgrade":
                upgrades = True
            elif name == b"content-length":
                has_body = has_body or value.strip(b"0") != b""  # 00 is no body either
            elif name == b"nautilus-signature":
                signatures.append(value)
            elif name == b"nautilus-principal":
                names.append(value)
            elif name == b"nautilus-scope":
                held.append(value)
            elif name == b"transfer-encoding":
                has_body = True
                if value.strip().lower() != b"chunked":
                    raise HttpError(
                        501,
                        "http.transfer_encoding",
                        f"transfer encoding {_shown([value])}",
                        where="Transfer-Encoding",
                        expected="chunked",
                        headers=((b"connection", b"close"),),
                    )
        if len(hosts) != 1 or _split(hosts[0])[0] not in self.hosts:
            raise self._refusal(
                "host", 403, "http.host", f"host {_shown(hosts)}", where="Host", expected="one name of this machine"
            )
        changing = exchange_method in CHANGING_METHODS
        if exchange_method not in READ_METHODS or upgrades:
            # A page may read what comes over a WebSocket, whichever site it is of: browsers leave that to the server.
            if origins and (len(origins) != 1 or not _same_origin(origins[0], hosts[0], tls=tls)):
                raise self._refusal(
                    "origin",
                    403,
                    "http.origin",
                    f"origin {_shown(origins)}",
                    where="Origin",
                    expected="none, or this host and port",
                )
            if exchange_method not in _SCOPE_OF:
                return Admitted(ANONYMOUS)
        # A form of a page sends no DELETE, and a script has to ask first: without a body its type says nothing.
        if (
            changing
            and (exchange_method != "DELETE" or has_body)
            and (len(types) != 1 or types[0].partition(b";")[0].strip().lower() != b"application/json")
        ):
            raise self._refusal(
                "type",
                415,
                "http.content_type",
                f"content type {_shown(types)}",
                where="Content-Type",
                expected="application/json",
            )
        needed = scope or _SCOPE_OF[exchange_method]
        if signatures:
            if len(signatures) != 1 or tokens:
                raise self._refusal(
                    "credentials",
                    401,
                    "access.credentials",
                    "more than one signature or token",
                    where="Nautilus-Signature",
                    expected="one of them",
                )
            return self._signed(exchange_method, target, signatures[0], now_ns, needed, has_body)
        principal, key = self._shows(tokens, certificate, now_ns)
        if principal is None:
            anonymous = self._anonymous[tls]
            if needed in anonymous.scopes or (needed == READ and target.partition(b"?")[0] in OPEN_PATHS):
                return Admitted(anonymous)
            raise self._refusal(
                "credentials",
                401,
                "http.token",
                "the token is wrong" if tokens else "no token",
                where="Authorization",
                expected="Bearer and the token of this instance, or of a key with this scope",
                headers=((b"www-authenticate", b"Bearer"),),
            )
        if principal is INSTANCE and names:
            principal = self._named(names, held)
        self.check_scope(principal, needed)
        if key is not None:
            self._limit(key, now_ns)
        return Admitted(principal)

    def verify_body(self, admitted: Admitted, body: bytes) -> None:
        """Raise HttpError where a body is not the one that was signed."""
        if admitted.digest is None:
            return
        if not hmac.compare_digest(body_digest(admitted.algorithm, body), admitted.digest):
            raise self._refusal(
                "digest", 401, "access.digest", "the body is not the one that was signed", where="Nautilus-Signature"
            )

    def check_scope(self, principal: Principal, needed: str) -> None:
        """Raise HttpError where somebody may not do what takes this scope."""
        if needed not in principal.scopes:
            raise self._refusal(
                "scope", 403, "access.scope", f"{principal.name} may not do this", expected=f"a key with scope {needed}"
            )

    def lasts(self, lease: Lease, now_ns: int) -> bool:
        """Whether who was let in by this would be let in now."""
        return not 0 < lease.ends_ns <= now_ns and self._key(lease.key, now_ns) is not None

    # Who it is

    def _signed(self, method: str, target: bytes, header: bytes, now_ns: int, needed: str, has_body: bool) -> Admitted:
        keys, verifier = self._keys, self._verifier
        if keys is None:
            raise self._no_key()
        found = verifier.check(header, _METHOD_BYTES[method], target, keys.ring(now_ns).by_id)
        key: KnownKey = verifier.key
        if found != READ_WELL:
            raise self._not_signed(found)
        if 0 < key.expires_ns <= now_ns:
            raise self._no_key()
        self.check_scope(key.principal, needed)
        if not has_body and not verifier.has_digest(EMPTY[verifier.algorithm]):
            raise self._refusal(
                "digest", 401, "access.digest", "a body was signed, and there is none", where="Nautilus-Signature"
            )
        # A request that may not be made now uses its nonce up only where it is let in: it may come again. An old one,
        # which anybody may have seen, takes nothing from its owner's rate.
        throttle = self._throttle()
        dated = verifier.dated(throttle, now_ns)
        if dated != ACCEPTED:
            raise self._not_now(dated, now_ns)
        self._limit(key, now_ns)
        keys.hold(now_ns)
        claimed = verifier.claim(throttle, now_ns)
        if claimed != ACCEPTED:
            raise self._not_now(claimed, now_ns)
        return _admitted(key.principal, verifier.digest, verifier.algorithm) if has_body else _admitted(key.principal)

    def _not_signed(self, found: int) -> HttpError:
        if found == UNKNOWN:
            return self._no_key()
        if found == UNREADABLE:
            what, expected = "a signature that cannot be read", "key, algorithm, timestamp, nonce, digest and signature"
        else:
            what, expected = "the signature is wrong", "that of method, target, digest, timestamp and nonce by this key"
        return self._refusal("signature", 401, "access.signature", what, where="Nautilus-Signature", expected=expected)

    def _shows(self, tokens: list[bytes], certificate: str, now_ns: int) -> tuple[Principal | None, KnownKey | None]:
        """Who shows a token or a certificate, and the key that it belongs to; HttpError for a key that is none."""
        if len(tokens) == 1:
            scheme, _, rest = tokens[0].strip().partition(b" ")
            # Scheme names are told apart without regard to case; of the token every byte counts, in constant time.
            token = rest.strip() if scheme.lower() == b"bearer" else b""
            if token.startswith(_BEARER):
                return self._bearer(token, now_ns)
            if token.startswith(_SESSION):
                return self._session(token, now_ns)
            if self._token is not None and hmac.compare_digest(token, self._token):
                return INSTANCE, None
        if certificate and len(tokens) <= 1:
            return self._subjects.get(certificate), None
        return None, None

    def _bearer(self, token: bytes, now_ns: int) -> tuple[Principal, KnownKey]:
        id, _, secret = token.removeprefix(_BEARER).partition(b"_")
        key = self._key(id.decode("latin-1"), now_ns)
        if key is None or not key.is_secret(secret):
            raise self._no_key()
        return key.principal, key

    def _session(self, token: bytes, now_ns: int) -> tuple[Principal, KnownKey]:
        keys = self._keys
        ring = None if keys is None else keys.ring(now_ns)  # what it is made with is read with the list
        session = None if keys is None or not keys.sessions else read_session(keys.sessions, token)
        key = None if session is None or ring is None else self._key(session.key, now_ns)
        if session is None or key is None or now_ns >= session.expires_ns:
            raise self._no_key("the session is over, or none of this instance")
        lease = Lease(session.key, session.expires_ns)
        return Principal(key.principal.name, key.principal.scopes & session.scopes, lease=lease), key

    def _key(self, id: str, now_ns: int) -> KnownKey | None:
        if self._keys is None:
            return None
        key = self._keys.ring(now_ns).by_id.get(id)
        return None if key is None or 0 < key.expires_ns <= now_ns else key

    def _named(self, names: list[bytes], held: list[bytes]) -> Principal:
        """Whom the gateway has let in: it shows the token of the instance, and says who asks and what he may do."""
        if len(names) != 1 or not _NAME.fullmatch(names[0]):
            raise self._refusal(
                "credentials", 401, "access.credentials", "no name", where="Nautilus-Principal", expected="one name"
            )
        if len(held) > 1 or not _HELD.keys() >= set(held):
            raise self._refusal(
                "credentials", 401, "access.credentials", "no scope", where="Nautilus-Scope", expected="one scope"
            )
        return Principal(names[0].decode(), _HELD[held[0]] if held else INSTANCE.scopes)

    # Whether they may

    def _limit(self, key: KnownKey, now_ns: int) -> None:
        if not key.interval_ns:
            return  # as often as it likes
        left = self._throttle().take(key.number, now_ns, key.interval_ns, key.burst)
        if left >= 0:
            return
        if left == NO_ROOM:
            raise self._not_now(FULL, now_ns)
        seconds = -(left // 1_000_000_000)
        window = -(-key.interval_ns * key.burst // 1_000_000_000)
        raise self._refusal(
            "rate",
            429,
            "access.rate",
            f"{key.principal.name} asks too often",
            expected=f"{key.burst} at once, and one each {key.interval_ns / 1e9:g} s",
            headers=(
                (b"retry-after", b"%d" % seconds),
                (b"ratelimit-policy", b'"key";q=%d;w=%d' % (key.burst, max(window, 1))),
                (b"ratelimit", b'"key";r=0;t=%d' % seconds),
            ),
        )

    def _throttle(self) -> Throttle:
        """That of the keys; there is one, as there are keys."""
        assert self._keys is not None
        assert self._keys.throttle is not None
        return self._keys.throttle

    def _not_now(self, claimed: int, now_ns: int) -> HttpError:
        if claimed == REPLAYED:
            return self._refusal(
                "replayed", 401, "access.replayed", "this request was made before", where="Nautilus-Signature"
            )
        if claimed in (LATE, EARLY):
            window_ms = self._throttle().window_ns // 1_000_000
            return self._refusal(
                "window",
                401,
                "access.window",
                f"signed too {'long ago' if claimed == LATE else 'far ahead'}; it is {now_ns // 1_000_000} now",
                where="Nautilus-Signature",
                expected=f"a timestamp within {window_ms} ms, since this instance began",
            )
        return self._refusal(
            "full",
            503,
            "access.full",
            "too many signed requests to remember",
            expected="fewer, or more access.nonces",
            headers=((b"retry-after", b"1"),),
        )

    def _no_key(self, what: str = "no such key, or it has ended") -> HttpError:
        return self._refusal(
            "key",
            401,
            "access.key",
            what,
            expected="a key of this instance",
            headers=((b"www-authenticate", b"Bearer"),),
        )

    def _refusal(
        self,
        reason: str,
        status: int,
        code: str,
        what: str,
        *,
        where: str = "",
        expected: str = "",
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> HttpError:
        if self._counters is not None:
            self._counters.increment(self._refused[reason])
        return HttpError(status, code, what, where=where, expected=expected, headers=headers)


def _admitted(principal: Principal, digest: bytes | None = None, algorithm: int = 0) -> Admitted:
    """The same as its constructor, in half the time."""
    return tuple.__new__(Admitted, (principal, digest, algorithm))


def _split(host: bytes) -> tuple[bytes, bytes]:
    """Name and port (empty: none) of a Host header."""
    if host.startswith(b"["):
        name, bracket, rest = host.partition(b"]")
        name, rest = name + bracket, rest or b":"
        if not rest.startswith(b":"):
            return b"", b""
        port = rest[1:]
    else:
        name, _, port = host.partition(b":")
    if port and not port.isdigit():
        return b"", b""
    return name, port


def _same_origin(origin: bytes, host: bytes, *, tls: bool) -> bool:
    own_scheme, usual = (b"https", b"443") if tls else (b"http", b"80")
    scheme, _, authority = origin.partition(b"://")
    if scheme != own_scheme:
        return False
    name, port = _split(authority)
    own_name, own_port = _split(host)
    return (name, port or usual) == (own_name, own_port or usual)


def _shown(values: list[bytes]) -> str:
    if not values:
        return "is missing"
    text = ", ".join(value.decode("latin-1") for value in values)
    return repr(text if len(text) <= 100 else text[:100] + "...")
