"""What a strategy is: handlers, and orders by price in ticks. See docs/strategies.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from nautilus.model.alerts import RiskAlert
from nautilus.model.events import ExecutionReport
from nautilus.model.marketdata import Auction, Quote, Trade
from nautilus.model.position import PositionChanged
from nautilus.model.records import Records

if TYPE_CHECKING:
    from nautilus.engines.strategy.desk import Desk


class Strategy:
    """Base of every strategy: override the handlers that are needed.

    Handlers act only through the `Desk` that they are given: it places orders, and knows position and open orders.
    """

    name: ClassVar[str] = ""
    """What it is called in reports; the class's own name where empty."""
    instruments: tuple[int, ...] = ()
    """Instrument ids it trades; empty: every one."""

    def on_start(self, ctx: Desk) -> None:
        """Before the first message."""

    def on_stop(self, ctx: Desk) -> None:
        """Once, at the end or after a risk alert: its orders are being cancelled, it can send no more."""

    def on_quote(self, quote: Quote, ctx: Desk) -> None:
        """Best bid or ask changed."""

    def on_trade(self, trade: Trade, ctx: Desk) -> None:
        """A trade printed."""

    def on_book(self, deltas: Records, ctx: Desk) -> None:
        """Levels changed: BOOK_DELTA records of one update, as an array."""

    def on_auction(self, auction: Auction, ctx: Desk) -> None:
        """An instrument entered another phase, or an auction that is under way would give this."""

    def on_report(self, report: ExecutionReport, ctx: Desk) -> None:
        """Something became of one of its orders; the desk's position and orders show it already."""

    def on_position(self, change: PositionChanged, ctx: Desk) -> None:
        """Its position changed, with profit, as the portfolio engine has it."""

    def on_alert(self, alert: RiskAlert, ctx: Desk) -> None:
        """A risk alert stops it: its orders are being cancelled, it can send no more; `on_stop` follows."""

    def on_timer(self, key: str, ctx: Desk) -> None:
        """A timer set with `ctx.at` is due."""
