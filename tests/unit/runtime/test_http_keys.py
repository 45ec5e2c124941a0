"""Keys, signatures and sessions at the rules: what is let in, and every way in which it is not."""

from __future__ import annotations

import msgspec
import pytest

from nautilus.core.counters import Counters
from nautilus.core.throttle import Throttle
from nautilus.policy.keys import ANONYMOUS, INSTANCE, SCOPES, sealed
from nautilus.policy.sessions import Session, session_token
from nautilus.runtime.http import sessions
from nautilus.runtime.http.body import NO_BODY
from nautilus.runtime.http.exchange import Exchange
from nautilus.runtime.http.problems import HttpError
from nautilus.runtime.http.request import Request
from nautilus.runtime.http.sessions import session_route
from tests.kit.access import NOW_NS, SECOND, SECRETS, TOKEN, held_keys, rules, signed


def refusal(rule, headers, method="POST", target=b"/orders", now_ns=NOW_NS, **more):
    """The code of the refusal; None where it is admitted."""
    try:
        rule.admit(method, target, headers, now_ns, **more)
    except HttpError as error:
        return error.code
    return None


def shown(token, **more):
    headers = {"host": "localhost", "content-type": "application/json", "authorization": f"Bearer {token}", **more}
    return [(name.encode(), value.encode()) for name, value in headers.items()]


def bearer(name):
    return f"nk_{name}0_{SECRETS[name]}"


@pytest.mark.parametrize("algorithm", ["blake2b", "hmac-sha256"])
def test_a_signed_request_is_admitted_once(algorithm):
    rule = rules()
    headers = signed(body=b"{}", algorithm=algorithm)
    admitted = rule.admit("POST", b"/orders", headers, NOW_NS)
    assert admitted.principal.name == "trader"
    assert admitted.principal.scopes == {"read", "trade"}
    rule.verify_body(admitted, b"{}")
    for now_ns in (NOW_NS, NOW_NS + SECOND, NOW_NS + 6 * SECOND):
        with pytest.raises(HttpError) as caught:
            rule.admit("POST", b"/orders", headers, now_ns)
        assert caught.value.status == 401
        assert caught.value.code == ("access.replayed" if now_ns < NOW_NS + 6 * SECOND else "access.window")


@pytest.mark.parametrize("algorithm", ["blake2b", "hmac-sha256"])
def test_another_body_than_the_signed_one_is_refused(algorithm):
    rule = rules()
    admitted = rule.admit("POST", b"/orders", signed(body=b"{}", algorithm=algorithm), NOW_NS)
    for body in (b"", b"{ }", b"{}x"):
        with pytest.raises(HttpError) as caught:
            rule.verify_body(admitted, body)
        assert caught.value.code == "access.digest"
    # However it is said that there is none: what is passed on without one is not held to the digest.
    for none in ("0", "00"):
        assert refusal(rule, signed(body=b"{}", content_length=none, algorithm=algorithm)) == "access.digest"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"method": "PUT"}, "access.signature"),
        ({"target": b"/orders?all=true"}, "access.signature"),
        ({"target": b"/orders/"}, "access.signature"),
        ({"target": b"/orders\n"}, "access.signature"),
        ({"now_ns": NOW_NS + 5 * SECOND + 1}, "access.window"),
        ({"now_ns": NOW_NS - 5 * SECOND - 1}, "access.window"),
        ({"now_ns": NOW_NS + 5 * SECOND}, None),
        ({"now_ns": NOW_NS - 5 * SECOND}, None),
        ({"scope": "admin"}, "access.scope"),
        ({"scope": "read"}, None),
    ],
)
def test_a_signature_is_of_one_request_at_one_time(change, code):
    assert refusal(rules(), signed(), **change) == code


@pytest.mark.parametrize("field", ["key", "algorithm", "timestamp", "nonce", "digest", "signature"])
def test_a_signature_with_another_field_is_refused(field):
    headers = dict(signed())
    other = {
        "key": "reader0",
        "algorithm": "hmac-sha256",
        "timestamp": str(NOW_NS // 1_000_000 + 1),
        "nonce": "another-nonce",
        "digest": "0" * 64,
        "signature": "0" * 64,
    }
    parts = dict(part.split("=") for part in headers[b"nautilus-signature"].decode().split(", "))
    parts[field] = other[field]
    headers[b"nautilus-signature"] = ", ".join(f"{name}={value}" for name, value in parts.items()).encode()
    assert refusal(rules(), headers.items()) == "access.signature"
    headers[b"nautilus-signature"] = b", ".join([headers[b"nautilus-signature"], f"{field}={parts[field]}".encode()])
    assert refusal(rules(), headers.items()) == "access.signature"


@pytest.mark.parametrize("name", ["reader", "trader", "admin"])
@pytest.mark.parametrize("scope", ["read", "trade", "admin"])
@pytest.mark.parametrize("how", ["signature", "bearer", "session"])
def test_a_key_may_do_what_its_scopes_hold(name, scope, how):
    keys = held_keys()
    whole = {"reader": ("read",), "trader": ("read", "trade"), "admin": ("read", "trade", "admin")}[name]
    token = session_token(keys.sessions, Session(f"{name}0", frozenset(whole), NOW_NS + SECOND), b"12345678")
    headers = {"signature": signed(name), "bearer": shown(bearer(name)), "session": shown(token)}[how]
    assert refusal(rules(keys), headers, scope=scope) == (None if scope in whole else "access.scope")


def test_what_changes_something_takes_the_scope_trade_by_itself():
    assert refusal(rules(), signed("reader")) == "access.scope"
    assert refusal(rules(), signed("reader", "GET", content_type=None), "GET") is None


def test_a_key_that_is_revoked_or_has_expired_is_refused():
    keys = held_keys()
    rule = rules(keys)
    trader = next(key for key in keys.keys if key.name == "trader")
    token = session_token(keys.sessions, Session("trader0", frozenset(("trade",)), NOW_NS + SECOND), b"12345678")
    everything = (lambda: signed(), lambda: shown(bearer("trader")), lambda: shown(token))
    assert [refusal(rule, make()) for make in everything] == [None] * 3
    for change in ({"revoked_ns": 1}, {"expires_ns": NOW_NS}):
        keys.put(sealed(msgspec.structs.replace(trader, **change), keys.derived))
        assert [refusal(rule, make()) for make in everything] == ["access.key"] * 3
    keys.put(sealed(msgspec.structs.replace(trader, expires_ns=NOW_NS + 1), keys.derived))
    assert [refusal(rule, make()) for make in everything] == [None] * 3


def test_a_key_that_ends_beyond_all_times_is_let_in_each_time():
    keys = held_keys()
    reader = next(key for key in keys.keys if key.name == "reader")
    keys.put(sealed(msgspec.structs.replace(reader, expires_ns=1 << 63), keys.derived))
    rule = rules(keys)
    assert [refusal(rule, shown(bearer("reader")), "GET") for _ in range(3)] == [None] * 3


def test_a_session_ends_and_has_no_more_scopes_than_it_was_given():
    keys = held_keys()
    rule = rules(keys)
    token = session_token(keys.sessions, Session("admin0", frozenset(("read", "trade")), NOW_NS + SECOND), b"12345678")
    assert refusal(rule, shown(token)) is None
    assert refusal(rule, shown(token), scope="admin") == "access.scope"
    assert refusal(rule, shown(token), now_ns=NOW_NS + SECOND) == "access.key"


@pytest.mark.parametrize("now_ns", [NOW_NS, NOW_NS + 1, NOW_NS + SECOND - 1])
def test_a_session_ends_when_its_answer_says(monkeypatch, now_ns):
    keys = held_keys()
    rule = rules(keys)
    monkeypatch.setattr(sessions, "wall_ns", lambda: now_ns)
    exchange = Exchange(None, "POST", b"/session", [])
    exchange.principal = rule.admit("POST", b"/session", signed(target=b"/session"), NOW_NS).principal
    answer = msgspec.json.decode(session_route(keys, 60).handler(Request(exchange, NO_BODY, {})).body)
    assert now_ns + 59 * SECOND < answer["expires_ns"] <= now_ns + 60 * SECOND
    assert refusal(rule, shown(answer["token"]), now_ns=answer["expires_ns"] - 1) is None
    assert refusal(rule, shown(answer["token"]), now_ns=answer["expires_ns"]) == "access.key"


def test_a_session_of_which_any_letter_was_changed_is_refused():
    keys = held_keys()
    rule = rules(keys)
    token = session_token(keys.sessions, Session("admin0", frozenset(("read",)), NOW_NS + SECOND), b"12345678")
    for at in range(4, len(token) - 1):  # the last letter holds bits that nothing is in
        changed = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        assert refusal(rule, shown(changed), scope="read") == "access.key"


@pytest.mark.parametrize(
    "token",
    [
        "nk_",
        "nk_trader0",
        "nk_trader0_",
        f"nk_trader0_{SECRETS['reader']}",
        f"nk_other0_{SECRETS['trader']}",
        "nks_",
        "nks_AA",
    ],
)
def test_what_is_like_a_key_and_is_none_is_refused_for_reads_too(token):
    assert refusal(rules(), shown(token)) == "access.key"
    assert refusal(rules(), shown(token), "GET") == "access.key"
    assert refusal(rules(token=None), shown(token)) == "access.key"


def test_a_key_that_asks_too_often_is_told_when_to_come_again():
    rule = rules()
    assert [refusal(rule, signed("slow")) for _ in range(3)] == [None, None, "access.rate"]
    kept = signed("slow")
    with pytest.raises(HttpError) as caught:
        rule.admit("POST", b"/orders", kept, NOW_NS + SECOND // 2)
    headers = dict(caught.value.headers)
    assert caught.value.status == 429
    assert headers[b"retry-after"] == b"1"
    assert headers[b"ratelimit"] == b'"key";r=0;t=1'
    assert headers[b"ratelimit-policy"] == b'"key";q=2;w=2'
    # The one that was refused has not used up its nonce.
    assert refusal(rule, kept, now_ns=NOW_NS + SECOND) is None
    assert refusal(rule, kept, now_ns=NOW_NS + 2 * SECOND) == "access.replayed"


@pytest.mark.parametrize("off_ns", [-30 * 86_400 * SECOND, -5 * SECOND - 1_000_000, 6 * SECOND])
def test_what_was_signed_at_another_time_takes_nothing_from_the_rate_of_its_owner(off_ns):
    rule = rules()
    captured = signed("slow", stamp_ns=NOW_NS + off_ns)
    assert [refusal(rule, captured) for _ in range(5)] == ["access.window"] * 5
    assert [refusal(rule, signed("slow")) for _ in range(3)] == [None, None, "access.rate"]


def test_what_an_instance_before_may_have_let_in_takes_nothing_from_the_rate_of_its_owner():
    rule = rules(throttle=Throttle(nonces=256, not_before_ns=NOW_NS))
    assert [refusal(rule, signed("slow")) for _ in range(5)] == ["access.window"] * 5
    assert refusal(rule, signed("slow", stamp_ns=NOW_NS + SECOND)) is None
    assert rule.keys.held == [NOW_NS]


def test_the_token_of_the_instance_may_do_everything_and_speak_for_others():
    rule = rules()
    assert rule.admit("POST", b"/", shown(TOKEN), NOW_NS, scope="admin").principal is INSTANCE
    named = rule.admit("POST", b"/", shown(TOKEN, **{"nautilus-principal": "desk-1"}), NOW_NS).principal
    assert named.name == "desk-1"
    assert refusal(rule, shown(TOKEN, **{"nautilus-principal": "a\x01"})) == "access.credentials"
    assert rule.admit(
        "POST", b"/", shown(bearer("trader"), **{"nautilus-principal": "other"}), NOW_NS
    ).principal.name == ("trader")


def test_who_was_let_in_at_the_gateway_may_no_more_than_there():
    rule = rules()
    for scope, held in (("admin", SCOPES), ("trade", ("read", "trade")), ("read", ("read",)), ("none", ())):
        named = shown(TOKEN, **{"nautilus-principal": "desk-1", "nautilus-scope": scope})
        if held:
            assert rule.admit("POST", b"/", named, NOW_NS, scope="read").principal.scopes == frozenset(held)
        for needed in SCOPES:
            assert refusal(rule, named, scope=needed) == (None if needed in held else "access.scope")
    for scope in ("", "root", "read, trade"):
        named = shown(TOKEN, **{"nautilus-principal": "desk-1", "nautilus-scope": scope})
        assert refusal(rule, named) == "access.credentials"
    # Who shows a key of his own says nothing about it.
    assert refusal(rule, shown(bearer("trader"), **{"nautilus-scope": "admin"}), scope="admin") == "access.scope"


def test_a_signature_beside_a_token_is_refused():
    assert refusal(rules(), signed(authorization=f"Bearer {TOKEN}")) == "access.credentials"
    assert refusal(rules(), [*signed(), *signed()[-1:]]) == "access.credentials"


def test_reads_need_a_key_where_nobody_may_read_without():
    rule = rules(anonymous=(ANONYMOUS, ANONYMOUS))
    host = [(b"host", b"localhost")]
    assert refusal(rule, host, "GET", b"/health") == "http.token"
    assert refusal(rule, host, "GET", b"/livez?x") is None
    assert refusal(rule, signed("reader", "GET", content_type=None), "GET") is None
    assert refusal(rules(), host, "GET", b"/health") is None
    assert refusal(rules(), host, "GET", b"/health", tls=True) == "http.token"
    assert refusal(rules(), host, "GET", b"/readyz", tls=True) is None


def test_a_page_of_the_same_port_has_the_scheme_that_the_port_speaks():
    headers = shown(TOKEN, origin="https://localhost")
    assert refusal(rules(), headers, tls=True) is None
    assert refusal(rules(), headers) == "http.origin"
    assert refusal(rules(), shown(TOKEN, origin="http://localhost"), tls=True) == "http.origin"


def test_a_certificate_is_whom_it_is_mapped_to():
    from nautilus.policy.keys import Principal

    desk = Principal("desk", frozenset(("read", "trade")))
    rule = rules(subjects={"CN=desk": desk})
    plain = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    assert rule.admit("POST", b"/", plain, NOW_NS, certificate="CN=desk").principal is desk
    assert refusal(rule, plain, certificate="CN=desk", scope="admin") == "access.scope"
    assert refusal(rule, plain, certificate="CN=other") == "http.token"
    twice = [*plain, (b"authorization", b"Bearer a"), (b"authorization", b"Bearer b")]
    assert refusal(rule, twice, certificate="CN=desk") == "http.token"


def test_without_keys_a_signature_is_refused():
    rule = rules(token=TOKEN)
    rule._keys = None
    assert refusal(rule, signed()) == "access.key"


def test_every_refusal_is_counted_by_its_reason():
    counters = Counters(64)
    rule = rules(counters=counters)
    headers = signed()
    for given in (
        headers,
        headers,
        signed("reader"),
        signed(stamp_ns=NOW_NS - 9 * SECOND),
        shown("nk_x_y"),
        shown("x"),
    ):
        refusal(rule, given)
    found = {name: value for name, value in counters.snapshot().items() if value}
    assert found == {f"access.refused_{name}": 1 for name in ("replayed", "scope", "window", "key", "credentials")}


def test_a_restart_forgets_no_nonce_that_could_still_come():
    headers = signed()
    assert refusal(rules(), headers) is None
    again = rules(throttle=Throttle(nonces=256, not_before_ns=NOW_NS + 5 * SECOND))
    assert refusal(again, headers) == "access.window"
    assert refusal(again, signed(stamp_ns=NOW_NS + 5 * SECOND + 1_000_000), now_ns=NOW_NS + 5 * SECOND) is None


def test_a_session_of_a_key_called_anonymous_ends_with_its_key():
    keys = held_keys()
    (key,) = [key for key in keys.keys if key.name == "reader"]
    keys.put(sealed(msgspec.structs.replace(key, name=ANONYMOUS.name), keys.derived))
    rule = rules(keys)
    token = session_token(keys.sessions, Session(key.id, frozenset({"read"}), NOW_NS + 60 * SECOND), b"12345678")
    headers = shown(token)
    for _ in range(2):
        assert rule.admit("GET", b"/orders", headers, NOW_NS, tls=True).principal.name == ANONYMOUS.name
    assert refusal(rule, headers, "GET", now_ns=NOW_NS + 61 * SECOND, tls=True) == "access.key"
    keys.put()
    assert refusal(rule, headers, "GET", tls=True) == "access.key"
