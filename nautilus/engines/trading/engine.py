"""The trading engine: messages become COMMAND rows, the core decides, its events become execution reports."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Callable, Iterable
from functools import partial
from operator import itemgetter
from typing import Any, Protocol, get_args

import msgspec
import numpy as np

from nautilus.engines.base import Context, Core, Engine, Operation
from nautilus.engines.trading.acknowledge import acknowledgement
from nautilus.engines.trading.orders import OrderDesk
from nautilus.engines.trading.phases import PhaseDesk
from nautilus.engines.trading.reports import ReportExpander
from nautilus.model.commands import TradingCommand
from nautilus.model.enums import CommandKind
from nautilus.model.errors import ConfigError, ModelError
from nautilus.model.ids import LAST_CLIENT_ACCOUNT
from nautilus.model.instrument import Instrument
from nautilus.model.message import Message
from nautilus.model.phases import GetPhases, PhaseRequest, PhaseResult, Phases
from nautilus.model.queries import (
    AmendRequest,
    CancelRequest,
    CoreState,
    GetCoreState,
    GetKillSwitch,
    GetOrders,
    KillRequest,
    KillResult,
    KillSwitches,
    OrderLines,
    OrderRequest,
    OrderResult,
    Reports,
    ReportsSince,
)
from nautilus.model.records import EVENT_FIELDS, Records, command_array
from nautilus.model.topics import CORE_EVENTS, EXECUTION_REPORTS

_KIND = EVENT_FIELDS["kind"]
_REASON = EVENT_FIELDS["reason"]
MOST_REPORTS = 4_096
"""In one answer to `ReportsSince`. It reads as many events at a time, and looks at four times as many at most."""
MARK_EVERY, MARKS, MARKS_SAVED = 16_384, 256, 8
"""Events between two places from which reports of the past can be made anew; how many of them are kept, and saved."""


def _nothing() -> None:
    """What is known at once needs no call."""


class EventHistory(Protocol):
    """The core's events of the past."""

    def read(self, first: int, limit: int, /) -> tuple[Records, np.ndarray]:
        """EVENT array from a sequence on, at most `limit`, and the CommandKind behind each; empty: none are there."""
        ...


class TradingConfig(msgspec.Struct, frozen=True):
    """Settings of the trading engine.

    Parameters
    ----------
    last_client_account
        Accounts from 1 to this are clients'; the rest are nobody's, or a market's own participants.
    """

    last_client_account: int = LAST_CLIENT_ACCOUNT

    def __post_init__(self) -> None:
        if not 1 <= self.last_client_account <= LAST_CLIENT_ACCOUNT:
            raise ConfigError(
                f"last_client_account {self.last_client_account}",
                where="trading",
                expected=f"1 to {LAST_CLIENT_ACCOUNT}: a market's participants follow",
            )


_ORDER: dict[str, Any] = {"priority": "critical", "budget_ms": 50.0, "fallback": "reconcile"}
"""The budget of the critical class: the tier's 18 ms are what 99 of 100 orders keep within."""


class TradingEngine(Engine):
    """Hands commands to the core and reports what came of them.

    Parameters
    ----------
    core
        Carries out commands at once. Where it has `feeds` set, the host hands every event of the core to `on_feed`,
        in order, and only what comes there is published.
    instruments
        What orders in decimals can name.

    Attributes
    ----------
    history : the core's events of the past, for those who missed reports; None: `ReportsSince` is refused.
    settle : brings what the core has said to `on_feed`; where there is no feed everything is known at once.
    """

    name = "trading"
    publishes = (CORE_EVENTS, EXECUTION_REPORTS)
    operations = (
        Operation("POST", "/orders", OrderRequest, OrderResult, "Enter an order.", **_ORDER),
        Operation(
            "PUT", "/orders/{order_id}", AmendRequest, OrderResult, "Change price and quantity of an order.", **_ORDER
        ),
        Operation(
            "DELETE", "/orders/{order_id}", CancelRequest, OrderResult, "Cancel an order.", **_ORDER, exempt=True
        ),
        Operation("GET", "/orders", GetOrders, OrderLines, "Open orders.", priority="high", fallback="error"),
        Operation(
            "POST",
            "/kill-switch",
            KillRequest,
            KillResult,
            "Set or clear the kill switch.",
            priority="critical",
            fallback="reconcile",
            exempt=True,
            scopes=(("on", False, "admin"),),
        ),
        Operation(
            "GET",
            "/kill-switch",
            GetKillSwitch,
            KillSwitches,
            "Kill switches that are on.",
            priority="high",
            fallback="error",
            exempt=True,
        ),
        Operation(
            "POST",
            "/phase",
            PhaseRequest,
            PhaseResult,
            "Move an instrument, or all, to a phase.",
            scope="admin",
            fallback="reconcile",
        ),
        Operation("GET", "/phase", GetPhases, Phases, "Phase of every instrument.", fallback="error"),
        Operation(
            "GET",
            "/core/state",
            GetCoreState,
            CoreState,
            "Positions and hashes of the core.",
            priority="low",
            fallback="error",
        ),
    )

    def __init__(
        self,
        config: TradingConfig,
        core: Core,
        instruments: Iterable[Instrument] = (),
    ) -> None:
        self._core = core
        self._last_client = config.last_client_account
        self.history: EventHistory | None = None
        self.settle: Callable[[], object] = _nothing
        self._expander = ReportExpander(config.last_client_account)
        instruments = tuple(instruments)
        self._desk = OrderDesk(
            core, instruments, config.last_client_account, self._expander, self._publish, lambda: self.settle()
        )
        self._phases = PhaseDesk(core, instruments, self._desk.instrument, self._expander, self._publish)
        self._past: ReportExpander | None = None
        # Where to begin for those who ask for reports of the past: the beginning, or a place since, in order.
        self._marks: list[tuple[int, dict[str, Any]]] = []

    @property
    def last_sequence(self) -> int:
        """Of the last event that was reported."""
        return self._expander.last_sequence

    def on_request(self, message: Message, ctx: Context) -> Message:
        """Carry out one command of `nautilus.model.commands`, or answer for orders."""
        match message:
            case OrderRequest() | AmendRequest() | CancelRequest():
                return self._desk.order(message, ctx)
            case KillRequest():
                return self._desk.kill(message, ctx)
            case GetOrders():
                return self._desk.lines(message)
            case GetKillSwitch():
                return self._desk.switches()
            case PhaseRequest():
                return self._phases.set(message, ctx)
            case GetPhases():
                return self._phases.lines()
            case ReportsSince():
                return self._reports_since(message)
        if not isinstance(message, TradingCommand):
            raise ModelError(
                f"request {type(message).__name__}",
                where=self.name,
                expected=f"one of {', '.join(known.__name__ for known in get_args(TradingCommand))}",
            )
        events = self._core.process(command_array(message.to_row(ctx.now_ns)))
        self._publish(events, message.kind, ctx)
        last = events[-1].item()
        return acknowledgement(message, last[_KIND], last[_REASON], last[0], ctx.now_ns)

    def on_command(self, command: Message, ctx: Context) -> None:
        """As `on_request`, for a sender that needs no reply."""
        self.on_request(command, ctx)

    def on_commands(self, commands: Records, ctx: Context) -> None:
        """Carry out a COMMAND array of the market's own participants, or of the clock."""
        events = self._core.process(commands)
        if len(events):
            self._publish(events, CommandKind.NEW, ctx)

    def on_feed(self, events: Records, kinds: np.ndarray, ctx: Context) -> None:
        """Report events of the core, in their order; `kinds`: CommandKind behind each."""
        for report in self._expander.expand(events, kinds):
            ctx.publish(report)
        self._mark(self._expander)

    def catch_up(self, events: Records, kinds: np.ndarray) -> None:
        """Follow events that were reported before this engine was started."""
        self._expander.expand(events, kinds)
        self._mark(self._expander)

    def state(self) -> dict[str, Any]:
        """Open orders of clients; the core keeps the rest."""
        return {**self._expander.state(), "client_ids": self._desk.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """See `Engine.restore`."""
        self._expander.restore(state)
        self._marks = [each for each in self._marks if each[0] <= self._expander.last_sequence]
        self._mark(self._expander)
        self._desk.restore(state.get("client_ids", []))

    def bulk(self) -> dict[str, tuple[int, Callable[[], Any]]]:
        """The newest places to begin reports of the past at: who was away asks for what is behind them."""
        return {f"mark {sequence}": (sequence, partial(dict, kept)) for sequence, kept in self._marks[-MARKS_SAVED:]}

    def restore_bulk(self, name: str, part: dict[str, Any]) -> None:
        """See `Engine.restore_bulk`."""
        insort(self._marks, (part["last_sequence"], part), key=itemgetter(0))

    def _publish(self, events: Records, kind: CommandKind, ctx: Context) -> None:
        if getattr(self._core, "feeds", False):
            return
        ctx.publish(events)
        for report in self._expander.expand(events, kind):
            ctx.publish(report)

    def _mark(self, expander: ReportExpander) -> None:
        """Note where it is, unless a place not far before is noted already."""
        marks, sequence = self._marks, expander.last_sequence
        place = bisect_right(marks, sequence, key=itemgetter(0))
        if sequence < (marks[place - 1][0] if place else 0) + MARK_EVERY:
            return
        marks.insert(place, (sequence, expander.state()))
        if len(marks) > MARKS:
            del marks[0 : MARKS // 2 : 2]  # the further back, the further between

    def _reports_since(self, message: ReportsSince) -> Reports:
        """Reports of the past, made anew from the events; one who asks on and on is followed without starting anew."""
        if self.history is None:
            raise ModelError("reports of the past", where=self.name, expected="a core with an event log")
        past = self._past
        if past is None or past.last_sequence > message.after:
            past = ReportExpander(self._last_client)
            place = bisect_right(self._marks, message.after, key=itemgetter(0))
            if place:
                past.restore(self._marks[place - 1][1])
        self._past = None  # where an event cannot be read, the next one begins anew
        limit = max(1, min(message.limit, MOST_REPORTS))
        until = self._expander.last_sequence
        reports: list[Any] = []
        looked = 0
        while past.last_sequence < until and len(reports) < limit and looked < 4 * MOST_REPORTS:
            # What is before the place that was asked for is followed for what it leaves open, and not told of.
            told = past.last_sequence >= message.after
            ahead = (until if told else min(message.after, until)) - past.last_sequence
            events, kinds = self.history.read(past.last_sequence + 1, min(MOST_REPORTS, ahead))
            if not len(events):
                break
            looked += len(events)
            found = past.expand(events, kinds)
            self._mark(past)
            if told:
                reports += found
        self._past = past
        if past.last_sequence >= until:  # who asks for more than there was is of another core: that is to be seen
            return Reports(tuple(reports), past.last_sequence, True)
        return Reports(tuple(reports), max(past.last_sequence, message.after), False)
