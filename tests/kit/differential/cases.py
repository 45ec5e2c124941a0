"""Small flows in which the two engines follow different rules: what each does, stated in full.

Each case is a difference of docs/differential.md by its name. If the kernel's side of one changes, the kernel has left
its contract; if the peer's side changes, the peer has (a new version of it), and the page has to say so.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.kit.differential import steps
from tests.kit.differential.steps import BUY, SELL, Event, Step

BID, ASK = 1_001, 1_002  # somebody else's: 20 at 100, 20 at 110


@dataclass(frozen=True, slots=True)
class Case:
    """The own events of all steps, one after the other; a peer's reason is given by a part of its sentence."""

    name: str
    flow: tuple[Step, ...]
    kernel: tuple[Event, ...]
    peer: tuple[Event, ...]
    needs: str = ""  # stop or reduce_only: the kernel must carry it out


def _market(*flow: Step, bid: bool = True, ask: bool = True) -> tuple[Step, ...]:
    book = [steps.add(1, BID, BUY, 100, 20)] * bid + [steps.add(1, ASK, SELL, 110, 20)] * ask
    return (*book, *flow)


def _long(quantity: int) -> tuple[Step, ...]:
    """Own order 1 buys this much of somebody's 5 at 105 and more at 106."""
    others = (steps.add(1, 1_003, SELL, 105, 5), steps.add(1, 1_004, SELL, 106, 50))
    return (*others, steps.new(1, 1, BUY, quantity, 106, tif="IOC"), steps.put(1, 1_003, 0), steps.put(1, 1_004, 0))


CASES = (
    Case(
        "market-without-a-book",
        _market(steps.new(2, 1, BUY, 3, order_type="market", tif="IOC"), ask=False),
        kernel=(["accepted", 1], ["cancelled", 1, 3]),
        peer=(["rejected", 1, "no market"],),
    ),
    Case(
        "ioc-on-an-emptied-side",
        _market(steps.new(2, 1, BUY, 20, 110), steps.new(3, 2, BUY, 5, 110, tif="IOC")),
        kernel=(["accepted", 1], ["filled", 1, 110, 20], ["accepted", 2], ["cancelled", 2, 5]),
        peer=(["accepted", 1], ["filled", 1, 110, 20], ["accepted", 2]),
    ),
    Case(
        "post-only-on-an-emptied-side",
        _market(steps.new(2, 1, BUY, 20, 110), steps.new(3, 2, BUY, 5, 110, post_only=True)),
        kernel=(["accepted", 1], ["filled", 1, 110, 20], ["accepted", 2]),
        peer=(["accepted", 1], ["filled", 1, 110, 20], ["rejected", 2, "TAKER"]),
    ),
    Case(
        "own-orders-meet",
        _market(steps.new(2, 1, SELL, 5, 105), steps.new(3, 2, BUY, 5, 106)),
        kernel=(["accepted", 1], ["accepted", 2], ["cancelled", 2, 5]),
        peer=(["accepted", 1], ["accepted", 2]),
    ),
    Case(
        "post-only-against-an-own-order",
        _market(steps.new(2, 1, SELL, 5, 105), steps.new(3, 2, BUY, 5, 106, post_only=True)),
        kernel=(["accepted", 1], ["rejected", 2, "WOULD_CROSS"]),
        peer=(["accepted", 1], ["accepted", 2]),
    ),
    Case(
        "fok-behind-an-own-order",
        _market(steps.new(2, 1, SELL, 5, 105), steps.new(3, 2, BUY, 12, 110, tif="FOK")),
        kernel=(["accepted", 1], ["accepted", 2], ["cancelled", 2, 12]),
        peer=(["accepted", 1], ["accepted", 2], ["filled", 2, 110, 12]),
    ),
    Case(
        "triggered-stop-limit-goes-first",
        _market(
            steps.new(2, 1, BUY, 5, 105),
            steps.new(3, 2, BUY, 5, 105, trigger=110, order_type="stop_limit"),
            steps.add(4, 1_005, SELL, 105, 5, rest=False),
        ),
        kernel=(["accepted", 1], ["accepted", 2], ["triggered", 2], ["filled", 1, 105, 5]),
        peer=(["accepted", 1], ["accepted", 2], ["triggered", 2], ["filled", 2, 105, 5]),
        needs="stop",
    ),
    Case(
        "gtd-in-the-past",
        _market(steps.new(9, 1, BUY, 5, 101, tif="GTD", expire=9)),
        kernel=(["rejected", 1, "EXPIRY"],),
        peer=(["accepted", 1], ["expired", 1, 5]),
    ),
    Case(
        "raise-keeps-the-place",
        _market(
            steps.new(2, 1, BUY, 5, 101),
            steps.new(2, 2, BUY, 5, 101),
            steps.replace(3, 1, 6, 101),
            steps.add(4, 1_005, SELL, 101, 4, rest=False),
        ),
        kernel=(["accepted", 1], ["accepted", 2], ["replaced", 1, 101, 6], ["filled", 2, 101, 4]),
        peer=(["accepted", 1], ["accepted", 2], ["replaced", 1, 101, 6], ["filled", 1, 101, 4]),
    ),
    Case(
        "move-keeps-the-place",
        _market(
            steps.new(2, 1, BUY, 5, 102),
            steps.new(2, 2, BUY, 5, 101),
            steps.replace(3, 1, 5, 101),
            steps.add(4, 1_005, SELL, 101, 4, rest=False),
        ),
        kernel=(["accepted", 1], ["accepted", 2], ["replaced", 1, 101, 5], ["filled", 2, 101, 4]),
        peer=(["accepted", 1], ["accepted", 2], ["replaced", 1, 101, 5], ["filled", 1, 101, 4]),
    ),
    Case(
        "replace-to-what-was-filled",
        _market(
            steps.new(2, 1, BUY, 5, 101),
            steps.add(3, 1_005, SELL, 101, 3, rest=False),
            steps.replace(4, 1, 3, 101),
        ),
        kernel=(["accepted", 1], ["filled", 1, 101, 3], ["refused", 1, "QUANTITY"]),
        peer=(["accepted", 1], ["filled", 1, 101, 3], ["replaced", 1, 101, 3]),
    ),
    Case(
        "stop-limit-fills-at-its-trigger",
        _market(
            steps.add(1, 1_003, SELL, 105, 5),
            steps.new(2, 1, BUY, 5, 112, order_type="stop_limit", trigger=107),
            steps.put(3, 1_003, 0),
        ),
        kernel=(["accepted", 1], ["triggered", 1], ["filled", 1, 110, 5]),
        peer=(["accepted", 1], ["triggered", 1], ["filled", 1, 107, 5]),
        needs="stop",
    ),
    Case(
        "highest-buy-stop-first",
        _market(
            steps.add(1, 1_003, SELL, 105, 5),
            steps.add(1, 1_004, SELL, 111, 20),
            steps.new(2, 1, BUY, 15, order_type="stop", trigger=107),
            steps.new(2, 2, BUY, 15, order_type="stop", trigger=108),
            steps.put(3, 1_003, 0),
        ),
        kernel=(
            ["accepted", 1],
            ["accepted", 2],
            ["triggered", 1],
            ["filled", 1, 110, 15],
            ["triggered", 2],
            ["filled", 2, 110, 5],
            ["filled", 2, 111, 10],
        ),
        peer=(
            ["accepted", 1],
            ["accepted", 2],
            ["filled", 2, 110, 15],
            ["filled", 1, 110, 5],
            ["filled", 1, 111, 10],
        ),
        needs="stop",
    ),
    Case(
        "stop-keeps-what-found-nothing",
        _market(
            steps.new(2, 1, BUY, 25, order_type="stop", trigger=105),
            steps.add(3, 1_005, SELL, 112, 30),
        ),
        kernel=(["accepted", 1], ["triggered", 1], ["filled", 1, 110, 20], ["cancelled", 1, 5]),
        peer=(["filled", 1, 110, 20],),
        needs="stop",
    ),
    Case(
        "replace-into-the-market",
        _market(
            steps.new(2, 1, BUY, 5, order_type="stop", trigger=115),
            steps.replace(3, 1, 5, trigger=108),
        ),
        kernel=(
            ["accepted", 1],
            ["replaced", 1, 0, 5],
            ["triggered", 1],
            ["filled", 1, 110, 5],
        ),
        peer=(["accepted", 1], ["refused", 1, "in the market"]),
        needs="stop",
    ),
    Case(
        "reduce-only-stop-before-a-position",
        _market(steps.new(2, 1, BUY, 5, order_type="stop", trigger=115, reduce_only=True)),
        kernel=(["accepted", 1],),
        peer=(["rejected", 1, "REDUCE_ONLY"],),
        needs="reduce_only",
    ),
    Case(
        "reduce-only-excess",
        (*_market(), *_long(5), steps.new(2, 2, SELL, 8, 100, reduce_only=True)),
        kernel=(["accepted", 1], ["filled", 1, 105, 5], ["accepted", 2], ["cancelled", 2, 3], ["filled", 2, 100, 5]),
        peer=(["accepted", 1], ["filled", 1, 105, 5], ["accepted", 2], ["replaced", 2, 100, 5], ["filled", 2, 100, 5]),
        needs="reduce_only",
    ),
    Case(
        "reduce-only-rests-after-flat",
        (
            *_market(),
            *_long(5),
            steps.new(2, 2, SELL, 5, 107, reduce_only=True),
            steps.new(3, 3, SELL, 5, 100, tif="IOC"),
        ),
        kernel=(
            ["accepted", 1],
            ["filled", 1, 105, 5],
            ["accepted", 2],
            ["accepted", 3],
            ["filled", 3, 100, 5],
            ["cancelled", 2, 5],
        ),
        peer=(["accepted", 1], ["filled", 1, 105, 5], ["accepted", 2], ["accepted", 3], ["filled", 3, 100, 5]),
        needs="reduce_only",
    ),
    Case(
        "reduce-only-closes-too-little",
        (
            *_market(),
            *_long(8),
            steps.new(2, 2, SELL, 6, 107, reduce_only=True),
            steps.add(3, 1_005, BUY, 107, 2, rest=False),
            steps.new(4, 3, SELL, 3, 100, tif="IOC"),
            steps.add(5, 1_006, BUY, 107, 9, rest=False),
        ),
        kernel=(
            ["accepted", 1],
            ["filled", 1, 105, 5],
            ["filled", 1, 106, 3],
            ["accepted", 2],
            ["filled", 2, 107, 2],
            ["accepted", 3],
            ["filled", 3, 100, 3],
            ["cancelled", 2, 1],
            ["filled", 2, 107, 3],
        ),
        peer=(
            ["accepted", 1],
            ["filled", 1, 105, 5],
            ["filled", 1, 106, 3],
            ["accepted", 2],
            ["filled", 2, 107, 2],
            ["accepted", 3],
            ["filled", 3, 100, 3],
            ["replaced", 2, 107, 3],
            ["filled", 2, 107, 1],
        ),
        needs="reduce_only",
    ),
)
