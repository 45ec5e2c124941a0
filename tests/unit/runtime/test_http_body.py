"""JSON bodies of requests, and keys that are given twice."""

from __future__ import annotations

import pytest

from nautilus.runtime.http.body import NO_BODY, decode_body
from nautilus.runtime.http.problems import HttpError


def test_body_is_decoded_and_none_is_told_from_null():
    assert decode_body(b'{"a": [1, 9007199254740993123, "\xc3\xa4"]}') == {"a": [1, 9007199254740993123, "\xe4"]}
    assert decode_body(b"") is NO_BODY
    assert decode_body(b"null") is None


@pytest.mark.parametrize(
    "body",
    [b"{", b"nope", b'{"a":1,}', b"\xff\xfe", b'"\xff"', b"{} {}", b"[" * 100_000, b'{"a":1e999999999}', b"\0", b"NaN"],
)
def test_malformed_body_is_refused(body):
    with pytest.raises(HttpError) as caught:
        decode_body(body)
    assert (caught.value.status, caught.value.code) == (400, "http.body")


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
