"""Who may ask: every rule on its own, with what passes and what does not."""

from __future__ import annotations

import socket

import pytest

from nautilus.model.errors import ConfigError
from nautilus.runtime.http.access import AccessRules
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
        AccessRules(token, bind, config).admit(method, b"/orders", raw([*listed, *extra]), 0)
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


def test_only_pages_of_the_same_port_may_open_a_websocket():
    rules, upgrade = AccessRules(TOKEN), [(b"connection", b"upgrade"), (b"upgrade", b"websocket")]
    for origin in (None, "http://127.0.0.1:8000", "http://example.com"):
        head = raw([(name, value) for name, value in {**GOOD, "origin": origin}.items() if value is not None])
        rules.admit("GET", b"/stream", head, 0)  # a read, which is remembered
        if origin != "http://example.com":
            rules.admit("GET", b"/stream", head + upgrade, 0)
            continue
        with pytest.raises(HttpError) as raised:
            rules.admit("GET", b"/stream", head + upgrade, 0)
        assert raised.value.code == "http.origin"


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
    assert refusal("DELETE", content_type=kind, extra=[("content-length", "2")]) == code
    assert refusal("DELETE", content_type=kind, extra=[("transfer-encoding", "chunked")]) == code


def test_delete_without_a_body_needs_no_type_but_all_else():
    for extra in ([], [("content-length", "0")]):
        assert refusal("DELETE", content_type=None, extra=extra) is None
        assert refusal("DELETE", content_type=None, authorization=None, extra=extra) == "http.token"
        assert refusal("DELETE", content_type=None, origin="http://example.com", extra=extra) == "http.origin"


def test_options_need_neither_type_nor_token_but_host_and_origin():
    assert refusal("OPTIONS", content_type=None, authorization=None) is None
    assert refusal("OPTIONS", host="example.com") == "http.host"
    assert refusal("OPTIONS", origin="http://example.com") == "http.origin"


@pytest.mark.parametrize("coding", ["gzip, chunked", "gzip", "", "identity", "chunked, chunked"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_bodies_in_another_encoding_are_refused(method, coding):
    assert refusal(method, transfer_encoding=coding) == "http.transfer_encoding"
    assert refusal(method, transfer_encoding="Chunked") is None


@pytest.mark.parametrize("name", ["prometheus:9090", "http://prometheus", "::1", "a b", "", "[::1]:80", "a/b"])
def test_configured_names_come_without_port_and_scheme(name):
    with pytest.raises(ConfigError, match="without scheme and port") as caught:
        HttpConfig(hosts=("fine", name))
    assert repr(name) in str(caught.value)


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
