"""Who may ask: every rule on its own, with what passes and what does not."""

from __future__ import annotations

import asyncio
import socket

import pytest

from nautilus.runtime.http.access import DRAINED_BYTES, AccessRules
from nautilus.runtime.http.config import HttpConfig
from nautilus.runtime.http.problems import HttpError

TOKEN = "secret-of-this-instance"
GOOD = {"host": "127.0.0.1:8000", "content-type": "application/json", "authorization": f"Bearer {TOKEN}"}


def raw(headers):
    return [(name.encode(), value.encode("latin-1")) for name, value in headers]


def refusal(method="POST", token=TOKEN, bind="127.0.0.1", config=None, extra=(), **changes):
    """Code of the refusal of a good request with changed headers (None: left out); None where it passes."""
    headers = {**GOOD, **{name.replace("_", "-"): value for name, value in changes.items()}}
    listed = [(name, value) for name, value in headers.items() if value is not None]
    try:
        AccessRules(token, bind, config).check(method, raw([*listed, *extra]))
    except HttpError as error:
        return error.code
    return None


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:1", "localhost:8000", "LocalHost", "[::1]", "[::1]:9000", socket.gethostname()]
)
def test_names_of_this_machine_pass(method, host):
    assert refusal(method, host=host) is None


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        "example.com",
        "127.0.0.1.example.com",
        "localhost.",
        "127.0.0.1:80:80",
        "127.0.0.1:x",
        "::1",
        "[::1]x",
        "user@localhost",
        "0.0.0.0",
        "\xe4",
    ],
)
def test_every_other_host_is_refused(method, host):
    assert refusal(method, host=host) == "http.host"


def test_two_hosts_are_refused_even_where_both_are_of_this_machine():
    assert refusal("GET", extra=[("host", "localhost")]) == "http.host"


def test_configured_names_and_the_bound_address_pass():
    assert refusal(host="host.docker.internal:8000") == "http.host"
    assert refusal(host="host.docker.internal:8000", config=HttpConfig(hosts=("Host.Docker.Internal",))) is None
    assert refusal(host="127.0.0.2", bind="127.0.0.2") is None
    assert refusal(host="[fe80::7]:1", bind="fe80::7") is None
    assert refusal(host="0.0.0.0", bind="0.0.0.0") == "http.host"


@pytest.mark.parametrize(
    ("origin", "code"),
    [
        ("http://127.0.0.1:8000", None),
        ("HTTP://127.0.0.1:8000", None),
        ("http://127.0.0.1:8001", "http.origin"),
        ("http://localhost:8000", "http.origin"),
        ("https://127.0.0.1:8000", "http.origin"),
        ("http://127.0.0.1", "http.origin"),
        ("http://example.com", "http.origin"),
        ("null", "http.origin"),
        ("", "http.origin"),
    ],
)
def test_only_pages_of_the_same_port_may_change_something(origin, code):
    assert refusal(origin=origin) == code
    assert refusal("GET", origin=origin) is None


def test_origin_without_a_port_means_port_eighty():
    assert refusal(host="localhost", origin="http://localhost:80") is None
    assert refusal(host="localhost:80", origin="http://localhost") is None


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("application/json", None),
        ("Application/JSON; charset=utf-8", None),
        (None, "http.content_type"),
        ("", "http.content_type"),
        ("text/plain", "http.content_type"),
        ("application/x-www-form-urlencoded", "http.content_type"),
        ("multipart/form-data", "http.content_type"),
        ("application/json-patch+json", "http.content_type"),
        ("text/plain; application/json", "http.content_type"),
    ],
)
def test_only_json_may_change_something(kind, code):
    assert refusal(content_type=kind) == code
    assert refusal("GET", content_type=kind) is None


@pytest.mark.parametrize(
    ("shown", "code"),
    [
        (f"Bearer {TOKEN}", None),
        (f"bearer  {TOKEN} ", None),
        (None, "http.token"),
        ("", "http.token"),
        (TOKEN, "http.token"),
        (f"Basic {TOKEN}", "http.token"),
        (f"Bearer {TOKEN}x", "http.token"),
        (f"Bearer {TOKEN[:-1]}", "http.token"),
        (f"Bearer {TOKEN.upper()}", "http.token"),
        ("Bearer", "http.token"),
        ("Bearer \xe4", "http.token"),
    ],
)
def test_what_changes_something_shows_the_token(shown, code):
    assert refusal(authorization=shown) == code
    assert refusal("GET", authorization=shown) is None
    assert refusal(token=None, authorization=shown) is None


def test_second_token_is_refused():
    assert refusal(extra=[("authorization", f"Bearer {TOKEN}")]) == "http.token"


def test_empty_token_of_an_instance_does_not_let_everyone_in():
    assert refusal(token="", authorization=None) == "http.token"


def read(chunks, config=None, headers=(("transfer-encoding", "chunked"),), left=False):
    """What `read_json` makes of a body in pieces: value, or (status, code, headers) of the refusal."""
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    if messages and not left:
        messages[-1]["more_body"] = False
    if left:
        messages.append({"type": "http.disconnect"})
    waiting = iter(messages)

    async def receive():
        message = next(waiting, None)
        if message is None:
            await asyncio.Event().wait()
        return message

    try:
        return asyncio.run(AccessRules(TOKEN, config=config).read_json(raw(headers), receive))[1]
    except HttpError as error:
        return error.status, error.code, dict(error.headers)


def test_body_is_decoded_whatever_its_pieces():
    assert read([b'{"a": [1, ', b'9007199254740993123, "\xc3\xa4"]}']) == {"a": [1, 9007199254740993123, "\xe4"]}
    assert read([b""]) is None
    assert read([b"not looked at"], headers=()) is None
    assert read([b"null"]) is None


@pytest.mark.parametrize(
    "body",
    [b"{", b"nope", b'{"a":1,}', b"\xff\xfe", b'"\xff"', b"{} {}", b"[" * 100_000, b'{"a":1e999999999}', b"\0", b"NaN"],
)
def test_malformed_body_is_refused(body):
    assert read([body]) == (400, "http.body", {})


def test_body_is_allowed_up_to_its_limit_and_not_a_byte_more():
    config = HttpConfig(body_kib=1)
    text = b'"' + b"x" * 1022 + b'"'
    assert read([text], config) == "x" * 1022
    assert read([text, b" "], config) == (413, "http.body_size", {})


def test_huge_body_is_not_read_to_its_end():
    assert read([b"x" * (DRAINED_BYTES + 1)], left=True) == (413, "http.body_size", {b"connection": b"close"})
    declared = [("content-length", str(DRAINED_BYTES + 1))]
    assert read([], headers=declared) == (413, "http.body_size", {b"connection": b"close"})


def test_sender_who_asks_first_is_told_at_once():
    asking = [("content-length", str(2 << 20)), ("expect", "100-continue")]
    assert read([], headers=asking) == (413, "http.body_size", {b"connection": b"close"})


def test_body_that_never_comes_is_not_waited_for_forever():
    assert read([], HttpConfig(body_seconds=0.01)) == (408, "http.slow", {b"connection": b"close"})


def test_sender_who_leaves_is_noticed():
    assert read([b"{"], left=True) == (400, "http.body", {})
