"""API keys: what is kept of a secret, what a list must be, and which secrets are refused."""

from __future__ import annotations

import itertools
import secrets

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.core.signature import READ, Verifier
from nautilus.policy.keys import (
    MOST_SECRET,
    SCOPES,
    ApiKey,
    Derived,
    KeyRing,
    KeyRuleError,
    WeakKeyError,
    check_secret,
    new_key,
    read_list,
    sealed,
    secret_bits,
    signing_key,
    widened,
    write_list,
)
from nautilus.policy.sessions import Session, read_session, session_token
from nautilus.policy.signing import signed_header
from tests.kit.access import INSTANCE_SECRET, NOW_NS, SECRETS

DERIVED = Derived.of(INSTANCE_SECRET)
OTHER = Derived.of(INSTANCE_SECRET[::-1])


def made(name="desk", scopes=("trade",), **more) -> ApiKey:
    return new_key(name, scopes, NOW_NS, DERIVED, id="desk0", secret=SECRETS["trader"], **more)


def test_a_ring_checks_by_what_the_owner_signs_with_and_knows_no_secret():
    key = made()
    content = write_list((key,))
    known = KeyRing(read_list(content, DERIVED), DERIVED).by_id["desk0"]
    shown = signed_header("desk0", SECRETS["trader"], "GET", b"/", b"", 1, "nonce-0001").encode()
    assert Verifier().check(shown, b"GET", b"/", {"desk0": known}) == READ
    assert Verifier().check(shown, b"PUT", b"/", {"desk0": known}) != READ
    assert known.is_secret(SECRETS["trader"].encode())
    assert not known.is_secret(SECRETS["reader"].encode())
    assert known.principal.scopes == {"read", "trade"}
    for secret in (SECRETS["trader"].encode(), signing_key(SECRETS["trader"]).hex().encode()):
        assert secret not in content


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("scopes", ("trade", "admin")),
        ("name", "other"),
        ("id", "desk1"),
        ("expires_ns", 1),
        ("revoked_ns", 1),
        ("rate", 5.0),
        ("digest", "0" * 64),
        ("sealed", "0" * 64),
        ("seal", "0" * 64),
    ],
)
def test_a_line_that_was_changed_without_the_secret_is_refused(field, value):
    key = msgspec.structs.replace(made(), **{field: value})
    with pytest.raises(KeyRuleError, match="was changed"):
        read_list(write_list((key,)), DERIVED)
    with pytest.raises(KeyRuleError, match="was changed"):
        read_list(write_list((sealed(key, OTHER),)), DERIVED)


def test_every_byte_of_a_list_counts():
    content = write_list((made(),))
    keys = read_list(content, DERIVED)
    for at in range(len(content)):
        for bit in range(8):
            changed = bytearray(content)
            changed[at] ^= 1 << bit
            try:
                found = read_list(bytes(changed), DERIVED)
            except KeyRuleError:
                continue
            assert found == keys  # white space


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b'{"version": 1}', b'{"version": 2, "keys": []}', b"\xff", b'{"version":1,"keys":[],"x":1}'],
)
def test_what_is_no_list_is_refused(content):
    with pytest.raises(KeyRuleError):
        read_list(content, DERIVED)


def test_two_keys_of_one_id_are_refused():
    with pytest.raises(KeyRuleError, match="twice"):
        read_list(write_list((made(), made())), DERIVED)


@pytest.mark.parametrize(
    "change", [{"name": "Desk"}, {"name": ""}, {"scopes": ("all",)}, {"rate": -1.0}, {"rate": 1e-9}]
)
def test_a_key_that_none_can_be_is_refused(change):
    with pytest.raises(KeyRuleError):
        made(**change)


def test_a_key_ends_at_a_time_that_can_be_told():
    assert made(expires_ns=(1 << 63) - 1).expires_ns == (1 << 63) - 1
    for end_ns in (1 << 63, 1 << 64, 10**27):
        with pytest.raises(KeyRuleError, match="2262"):
            made(expires_ns=end_ns)


@pytest.mark.parametrize(
    "secret",
    [
        b"",
        b"short",
        b"changeme",
        b"x" * 31,
        b"a" * 64,
        b"0123456789" * 8,
        b"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz",
        b"somethingRandomSomethingRandom123",
        b"passwordpasswordpasswordpasswordpassword1",
        b"secret-secret-secret-secret-secret-",
        b"default_default_default_default_1234",
        b"ababababababababababababababababab",
        b"zyxwvutsrqponmlkjihgfedcbazyxwvutsrqpon",
    ],
)
def test_a_secret_that_can_be_guessed_is_refused(secret):
    with pytest.raises(WeakKeyError) as caught:
        check_secret(secret)
    assert not secret or secret.decode() not in str(caught.value)


def test_random_secrets_are_taken():
    for size in (24, 32, 64):
        for _ in range(300):
            check_secret(secrets.token_urlsafe(size).encode())
            check_secret(secrets.token_hex(size).encode())


@given(st.binary(min_size=1, max_size=16), st.integers(2, 8))
def test_what_repeats_itself_tells_nothing(part, times):
    assert secret_bits(part * times) == 0.0


@given(st.text("ab", min_size=1, max_size=12))
def test_what_repeats_itself_also_with_a_part_at_its_end_tells_nothing(text):
    """The twin: every part that could be repeated, as often as it takes."""
    secret = text.encode()
    if any((secret[:period] * 12)[: len(secret)] == secret for period in range(1, len(secret) // 2 + 1)):
        assert secret_bits(secret) == 0.0
    elif len(set(itertools.pairwise(secret))) > 2:
        assert secret_bits(secret) > 0.0


def test_a_secret_longer_than_any_is_refused_and_not_looked_at():
    check_secret(secrets.token_hex(MOST_SECRET // 2).encode())
    for size in (MOST_SECRET + 1, 4 << 20):
        with pytest.raises(WeakKeyError, match="4096 at most"):
            check_secret(secrets.token_hex(size)[:size].encode())


@given(st.sets(st.sampled_from(SCOPES)))
def test_a_scope_holds_those_before_it(scopes):
    wide = widened(scopes)
    assert wide >= scopes
    assert wide == set(SCOPES[: len(wide)])
    assert len(wide) == max((SCOPES.index(scope) + 1 for scope in scopes), default=0)


@given(st.sets(st.sampled_from(SCOPES)), st.integers(1, 2**33), st.binary(min_size=8, max_size=8))
def test_a_session_token_says_what_it_was_made_of_to_its_own_key_alone(scopes, seconds, nonce):
    session = Session("desk0", frozenset(scopes), seconds * 1_000_000_000)
    token = session_token(DERIVED.sessions, session, nonce).encode()
    assert read_session(DERIVED.sessions, token) == session
    assert read_session(OTHER.sessions, token) is None


@given(st.binary(max_size=120))
def test_what_is_no_session_token_is_none(token):
    assert read_session(DERIVED.sessions, b"nks_" + token) is None


@pytest.mark.parametrize("name", ["anonymous", "instance"])
def test_no_key_goes_by_the_name_of_who_has_none(name):
    with pytest.raises(KeyRuleError, match=name):
        made(name)
