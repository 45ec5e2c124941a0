"""Bodies of requests: their limits, their JSON, and keys that are given twice."""

from __future__ import annotations

import asyncio

import pytest

from nautilus.runtime.http.body import DRAINED_BYTES, NO_BODY, BodyReader, decode_body
from nautilus.runtime.http.config import HttpConfig
from nautilus.runtime.http.problems import HttpError


def read(chunks, config=None, headers=(("transfer-encoding", "chunked"),), left=False):
    """What `BodyReader` makes of a body in pieces: value, or (status, code, headers) of the refusal."""
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
        listed = [(name.encode(), value.encode()) for name, value in headers]
        return asyncio.run(BodyReader(config).read(listed, receive))[1]
    except HttpError as error:
        return error.status, error.code, dict(error.headers)


def test_body_is_decoded_whatever_its_pieces():
    assert read([b'{"a": [1, ', b'9007199254740993123, "\xc3\xa4"]}']) == {"a": [1, 9007199254740993123, "\xe4"]}
    assert read([b""]) is NO_BODY
    assert read([b"not looked at"], headers=()) is NO_BODY
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


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b'{"on": false, "on": true}', "on"),
        (b'{"on": false, "\\u006fn": true}', "on"),
        (b'{"a": {"b": 1, "c": 2, "b": 1}}', "b"),
        (b'[[{"a": 1, "a": 1}]]', "a"),
        (b'{"a": ":::", "b": {}, "b": {}}', "b"),
        (b'{"": 1, "": 2}', ""),
    ],
)
def test_key_that_is_given_twice_is_refused_and_named(body, name):
    with pytest.raises(HttpError) as caught:
        decode_body(body)
    error = caught.value
    assert (error.status, error.code, error.where) == (422, "http.fields", name)
    assert repr(name) in error.what


def test_name_of_a_key_that_is_given_twice_is_not_told_without_end():
    name = b'"' + b"x" * 100_000 + b'"'
    with pytest.raises(HttpError) as caught:
        decode_body(b"{%b: 1, %b: 2}" % (name, name))
    assert len(caught.value.what) + len(caught.value.where) < 500


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": {"b": 1}, "c": [{"b": 2}]}', {"a": {"b": 1}, "c": [{"b": 2}]}),
        (b'{"time": "12:30:00", "n": 1.5}', {"time": "12:30:00", "n": 1.5}),
        (b'"a:b"', "a:b"),
        (b'{"a": {"n": ' + b"9" * 400 + b"}}", {"a": {"n": int("9" * 400)}}),
    ],
)
def test_colons_that_belong_to_no_key_of_the_body_are_no_reason(body, value):
    assert decode_body(body) == value
