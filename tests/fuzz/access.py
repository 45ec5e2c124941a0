"""Arbitrary bytes from who wants to be let in: signatures, tokens, lists of keys, audit logs. Nobody ever is."""

from __future__ import annotations

from nautilus.core.audit_chain import MAGIC, walk
from nautilus.core.signature import READ, UNREADABLE, Verifier, read_signature
from nautilus.policy.keys import Derived, KeyRuleError, read_list, write_list
from nautilus.policy.sessions import Session, read_session, session_token
from nautilus.runtime.http.problems import HttpError
from nautilus.store.audit import records
from tests.kit.access import INSTANCE_SECRET, NOW_NS, SECOND, held_keys, naive_signature, rules, signed

_keys = held_keys()
_rules = rules(_keys)
_verifier = Verifier()
_derived = Derived.of(INSTANCE_SECRET)
_list = write_list(_keys.keys)
_token = session_token(_keys.sessions, Session("admin0", frozenset(("admin",)), NOW_NS + SECOND), b"12345678").encode()


def signature(data: bytes) -> None:
    """A header is read as the twin reads it; one that was not signed by a key is never right."""
    target, _, header = data.partition(b"\n") if data[:1] == b"/" else (b"/orders", b"", data)
    found = read_signature(header, b"POST", target)
    assert found == naive_signature(header, b"POST", target)
    checked = _verifier.check(header, b"POST", target, _keys.ring(0).by_id)
    assert (checked == UNREADABLE) == (found is None)
    # Blanks and the order of fields are its sender's affair; what is signed is not.
    assert checked != READ or (
        target == b"/orders" and found in [read_signature(h, b"POST", target) for h in _signed()]
    )


def head(data: bytes) -> None:
    """The credentials of a request that nobody has given."""
    kind, value = data[:1], data[1:]
    name = {b"0": b"authorization", b"1": b"nautilus-signature", b"2": b"nautilus-principal"}.get(kind, b"host")
    headers = [(b"content-type", b"application/json"), (name, value)]
    if name != b"host":
        headers.append((b"host", b"localhost"))
    refused: HttpError | None = None
    try:
        _rules.admit("POST", b"/orders", headers, NOW_NS + 60 * SECOND)
    except HttpError as error:
        refused = error
    assert refused is not None
    assert refused.status in (401, 403)
    assert INSTANCE_SECRET.decode() not in refused.what + refused.expected


def keys_file(data: bytes) -> None:
    """A list of keys, which only who has the secret can write."""
    try:
        found = read_list(data, _derived)
    except KeyRuleError:
        return
    assert set(found) <= set(_keys.keys)


def session(data: bytes) -> None:
    """A session token."""
    found = read_session(_keys.sessions, data)
    assert found is None or found == read_session(_keys.sessions, _token)


def audit(data: bytes) -> None:
    """A segment of an audit log: read without a fault, and what is read holds together."""
    content = MAGIC + data
    end, sequence, _, wrong = walk(content, 0, bytes(32))
    assert 8 <= end <= len(content)
    assert wrong in ("", "size", "names", "hash", "sequence", "torn")
    assert sequence <= sum(1 for _ in records(content))


def signatures() -> list[bytes]:
    """Sound headers, and one with a target."""
    return [*_signed(), b"/orders?a=1\n" + _signed()[0]]


def heads() -> list[bytes]:
    """Credentials of each kind."""
    return [b"0Bearer nk_trader0_x", b"0Bearer " + _token, b"1" + _signed()[0], b"2desk", b"3localhost"]


def lists() -> list[bytes]:
    """A sound list."""
    return [_list]


def tokens() -> list[bytes]:
    """A sound token."""
    return [_token]


_made: list[bytes] = []


def _signed() -> list[bytes]:
    if not _made:
        heads = [dict(signed(nonce="nonce-of-a-seed", algorithm=each)) for each in ("blake2b", "hmac-sha256")]
        _made.extend(head[b"nautilus-signature"] for head in heads)
    return _made
