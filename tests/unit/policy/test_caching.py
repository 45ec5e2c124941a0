"""What answers may be kept, as RFC 9111 and RFC 5861 have it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.policy.caching import (
    LONGEST_SECONDS,
    SECOND_NS,
    CacheRules,
    Lifetime,
    Wish,
    directives,
    lifetime_of,
    matches,
    values_of,
    vary_of,
    wish_of,
)

RULES = CacheRules(stale_seconds=2.0, error_seconds=30.0, negative_seconds=1.5)


def fields(**given: str) -> list[tuple[bytes, bytes]]:
    return [(name.replace("_", "-").encode(), value.encode()) for name, value in given.items()]


def seconds(found: Lifetime | str) -> tuple[float, float, float] | str:
    return found if isinstance(found, str) else (found[0] / SECOND_NS, found[1] / SECOND_NS, found[2] / SECOND_NS)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, "no_lifetime"),
        ({"cache_control": "max-age=10"}, (10, 0, 30)),
        ({"cache_control": "max-age=10", "age": "4"}, (6, 0, 30)),
        ({"cache_control": "max-age=10", "age": "40"}, "no_lifetime"),
        ({"cache_control": "max-age=10", "age": "x"}, "no_lifetime"),
        ({"cache_control": "max-age=10, s-maxage=3"}, (3, 0, 0)),
        ({"cache_control": "s-maxage=3, max-age=10, stale-while-revalidate=7"}, (3, 7, 0)),
        ({"cache_control": 'max-age="10"'}, (10, 0, 30)),
        ({"cache_control": "max-age=ten"}, "no_lifetime"),
        ({"cache_control": "max-age=-1"}, "no_lifetime"),
        ({"cache_control": "MAX-AGE=10"}, (10, 0, 30)),
        ({"cache_control": "max-age=99999999999999"}, (LONGEST_SECONDS, 0, 30)),
        ({"cache_control": "max-age=0, must-revalidate"}, "no_lifetime"),
        ({"cache_control": "max-age=5, must-revalidate"}, (5, 0, 0)),
        ({"cache_control": "max-age=5, proxy-revalidate, stale-if-error=60"}, (5, 0, 0)),
        ({"cache_control": "max-age=5, stale-while-revalidate=1, stale-if-error=60"}, (5, 1, 60)),
        ({"cache_control": "no-store, max-age=10"}, "no_store"),
        ({"cache_control": "no-cache"}, "no_store"),
        ({"cache_control": "private, max-age=10"}, "private"),
        ({"cache_control": 'private="x-own", max-age=10'}, "private"),
        # What cannot be read may have been what forbids.
        ({"cache_control": "private; max-age=10"}, "private"),
        ({"cache_control": "max-age=10, @"}, "private"),
        ({"cache_control": 'max-age=10, x="'}, "private"),
        ({"cache_control": " , max-age=10 ,, "}, (10, 0, 30)),
        # However long a number is.
        ({"cache_control": "max-age=" + "9" * 5000}, (LONGEST_SECONDS, 0, 30)),
        ({"cache_control": "max-age=" + "0" * 5000 + "7"}, (7, 0, 30)),
        ({"cache_control": "max-age=10", "age": "9" * 5000}, "no_lifetime"),
        ({"cache_control": "max-age=10", "vary": "*"}, "vary"),
        ({"cache_control": "max-age=10", "vary": "cookie"}, "vary"),
        ({"cache_control": "max-age=10", "vary": "Accept, accept-encoding"}, (10, 0, 30)),
        ({"cache_control": "max-age=10", "set_cookie": "a=b"}, "cookie"),
        (
            {"date": "Sun, 06 Nov 1994 08:49:37 GMT", "expires": "Sun, 06 Nov 1994 08:50:07 GMT"},
            (30, 0, 30),
        ),
        ({"date": "Sun, 06 Nov 1994 08:49:37 GMT", "expires": "0"}, "no_lifetime"),
        ({"date": "Sun, 06 Nov 1994 08:49:37 GMT", "expires": "Sun, 06 Nov 99999 08:49:37 GMT"}, "no_lifetime"),
        (
            {"date": "Sun, 06 Nov 1994 08:49:37 GMT", "expires": "Sun, 06 Nov 9994 08:49:37 GMT"},
            (LONGEST_SECONDS, 0, 30),
        ),
        (
            {
                "cache_control": "max-age=1",
                "date": "Sun, 06 Nov 1994 08:49:37 GMT",
                "expires": "Sun, 06 Nov 1994 08:50:07 GMT",
            },
            (1, 0, 30),
        ),
    ],
)
def test_an_answer_says_how_long_it_may_be_kept(said, expected):
    assert seconds(lifetime_of(200, fields(**said), RULES)) == expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, (0.5, 2, 30)),
        ({"cache_control": "no-store"}, (0.5, 2, 30)),
        ({"cache_control": "no-store, max-age=10"}, (0.5, 2, 30)),
        ({"cache_control": "max-age=10"}, (10, 0, 30)),
        ({"cache_control": "max-age=0, stale-while-revalidate=3"}, (0, 3, 0)),
        ({"cache_control": "private"}, "private"),
        ({"cache_control": "no-cache"}, "no_store"),
        ({"cache_control": "must-revalidate"}, (0.5, 0, 0)),
    ],
)
def test_the_configuration_counts_where_the_answer_does_not_say(said, expected):
    assert seconds(lifetime_of(200, fields(**said), RULES, seconds=0.5)) == expected


@pytest.mark.parametrize("status", [201, 206, 302, 304, 400, 401, 403, 500, 503])
def test_other_statuses_are_not_kept(status):
    assert lifetime_of(status, fields(cache_control="max-age=10"), RULES, seconds=1) == "status"


@pytest.mark.parametrize("status", [404, 410])
def test_that_there_is_nothing_is_kept_within_a_bound(status):
    assert seconds(lifetime_of(status, fields(cache_control="max-age=10"), RULES)) == (1.5, 0, 0)
    assert seconds(lifetime_of(status, fields(cache_control="max-age=1"), RULES)) == (1, 0, 0)
    assert seconds(lifetime_of(status, (), RULES, seconds=60)) == (1.5, 0, 0)


@pytest.mark.parametrize(
    ("control", "kept"),
    [("max-age=5", False), ("public, max-age=5", True), ("s-maxage=5", True), ("must-revalidate, max-age=5", True)],
)
def test_what_was_asked_for_under_a_name_is_kept_where_that_is_said_alone(control, kept):
    found = lifetime_of(200, fields(cache_control=control), RULES, authorised=True)
    assert (found != "authorised") == kept
    # Who says so in the configuration knows that keys have the scopes of who asks.
    assert not isinstance(lifetime_of(200, (), RULES, seconds=1, authorised=True), str)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, Wish()),
        ({"accept": "text/html"}, Wish()),
        ({"cache_control": "no-cache"}, Wish(look=False)),
        ({"pragma": "no-cache"}, Wish(look=False)),
        ({"pragma": "no-cache", "cache_control": "max-age=5"}, Wish(max_age_ns=5 * SECOND_NS)),
        ({"cache_control": "no-store"}, Wish(look=False, keep=False)),
        ({"cache_control": "only-if-cached, max-age=0"}, Wish(only_kept=True, max_age_ns=0)),
        ({"range": "bytes=0-1"}, Wish(look=False, keep=False)),
        ({"authorization": "Bearer x"}, Wish(authorised=True)),
        ({"nautilus-signature": "key=x"}, Wish(authorised=True)),
        ({"if_none_match": '"a"'}, Wish(none_match=b'"a"')),
    ],
)
def test_a_request_says_what_will_do(said, expected):
    assert wish_of(fields(**said)) == expected


@pytest.mark.parametrize(
    ("none_match", "etag", "same"),
    [
        ('"a"', '"a"', True),
        ('W/"a"', '"a"', True),
        ('"a"', 'W/"a"', True),
        ('"b", "a"', '"a"', True),
        ("*", '"a"', True),
        ("*", "", False),
        ('"b"', '"a"', False),
        ("a", '"a"', False),
        ("", '"a"', False),
    ],
)
def test_tags_are_compared_weakly(none_match, etag, same):
    assert matches(none_match.encode(), etag.encode()) == same


def test_what_an_answer_varies_by_is_looked_at_in_the_request():
    names = vary_of(fields(vary="Accept-Encoding , accept"))
    assert names == (b"accept", b"accept-encoding")
    assert values_of(names, fields(accept="a", accept_encoding="gzip")) == (b"a", b"gzip")
    assert values_of(names, [(b"accept", b"a "), (b"accept", b"b")]) == (b"a,b", b"")


def test_a_wish_that_cannot_be_read_is_for_no_cache_and_a_long_number_is_one():
    assert not wish_of([(b"cache-control", b"no-cache; max-age=1")]).look
    assert wish_of([(b"cache-control", b"max-age=" + b"9" * 5000)]).max_age_ns == LONGEST_SECONDS * SECOND_NS


@given(st.lists(st.binary(max_size=60), max_size=4))
def test_whatever_is_sent_as_cache_control_is_read(values):
    said = directives(values)
    assert all(name == name.lower() for name in said)
    found = lifetime_of(200, [(b"cache-control", value) for value in values], RULES)
    assert isinstance(found, str) or min(found) >= 0
    wish_of([(b"cache-control", value) for value in values])
