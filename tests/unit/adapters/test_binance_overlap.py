"""Two connections that overlap while one replaces the other: nothing is lost, whichever of them is later."""

from __future__ import annotations

from nautilus.adapters.sources.binance_link import Overlap


def trade(number: int, symbol: str = "btcusdt") -> bytes:
    return b'{"stream":"%s@trade","data":{"e":"trade","t":%d,"p":"1.0"}}' % (symbol.encode(), number)


def depth(first: int, last: int) -> bytes:
    return b'{"stream":"btcusdt@depth@100ms","data":{"U":%d,"u":%d,"b":[]}}' % (first, last)


def test_newer_one_that_is_ahead_waits_until_the_older_one_has_caught_up() -> None:
    overlap = Overlap(0)
    for number in (100, 101):
        overlap.hear_older(trade(number))
    for number in (104, 105):
        overlap.hold(trade(number))
    for number in (102, 103):
        overlap.hear_older(trade(number))
        assert not overlap.complete.is_set()
    overlap.hear_older(trade(104))
    assert overlap.complete.is_set()
    assert overlap.held() == [trade(105)], "what the older one has said is not said again"


def test_newer_one_that_is_behind_adds_nothing_twice() -> None:
    overlap = Overlap(0)
    for number in (100, 101, 102):
        overlap.hear_older(trade(number))
    for number in (101, 102, 103):
        overlap.hold(trade(number))
    assert overlap.complete.is_set()
    assert overlap.held() == [trade(103)]


def test_every_book_has_to_be_told_of_and_every_stream_to_be_reached() -> None:
    overlap = Overlap(1)
    overlap.hear_older(trade(100))
    overlap.hold(trade(100))
    assert not overlap.complete.is_set(), "no book yet"
    overlap.hold(depth(7, 9))
    overlap.hold(trade(5, "ethusdt"))
    overlap.hear_older(depth(5, 8))
    assert not overlap.complete.is_set()
    overlap.hear_older(depth(9, 11))
    assert not overlap.complete.is_set(), "the older one is behind with the trades of another"
    overlap.hear_older(trade(5, "ethusdt"))
    assert overlap.complete.is_set()
    assert overlap.held() == [depth(7, 9)], "cut otherwise there: the rules of the book pass it over"


def test_what_has_no_number_is_kept_and_waits_for_nobody() -> None:
    overlap = Overlap(0)
    odd = [b'{"result":null,"id":1}', b"\x00 not JSON"]
    for data in odd:
        overlap.hold(data)
    assert overlap.complete.is_set()
    assert overlap.held() == odd
