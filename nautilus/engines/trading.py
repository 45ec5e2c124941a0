"""Trading: the core behind the request handler.

Messages become COMMAND rows, the core decides, its events become execution reports. One FILLED event becomes two
reports, one for each side, here and nowhere else. Events of accounts that are no client's (a recorded market, the
agents of a simulated one) are published as core events only: they are reported to nobody.
"""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import numpy as np

from nautilus.engines.base import Context, Core, Engine
from nautilus.model.commands import TradingCommand
from nautilus.model.enums import CommandKind, EventKind, Reason, violated_reasons
from nautilus.model.errors import ConfigError, ModelError
from nautilus.model.events import (
    CommandAcknowledged,
    ExecutionReport,
    OrderAccepted,
    OrderCancelled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
)
from nautilus.model.ids import LAST_CLIENT_ACCOUNT
from nautilus.model.marketdata import SIDES
from nautilus.model.message import Message
from nautilus.model.records import EVENT_FIELDS, Records, command_array
from nautilus.model.topics import CORE_EVENTS, EXECUTION_REPORTS

_KIND = EVENT_FIELDS["kind"]
_REASON = EVENT_FIELDS["reason"]
_ONE = np.uint32(1)


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


class TradingEngine(Engine):
    """Hands commands to the core and reports what came of them."""

    name = "trading"
    publishes = (CORE_EVENTS, EXECUTION_REPORTS)

    def __init__(self, config: TradingConfig, core: Core) -> None:
        self._core = core
        self._last_client = config.last_client_account
        # Strategy of each open order: the core names that of the incoming order only.
        self._strategies: dict[tuple[int, int], int] = {}

    def on_request(self, message: Message, ctx: Context) -> CommandAcknowledged:
        """Carry out one command of `nautilus.model.commands`."""
        if not isinstance(message, TradingCommand):
            raise ModelError(
                f"request {type(message).__name__}",
                where=self.name,
                expected=f"one of {', '.join(known.__name__ for known in get_args(TradingCommand))}",
            )
        events = self._core.process(command_array(message.to_row(ctx.now_ns)))
        self._publish(events, message.kind, ctx)
        last = events[-1].item()
        # Every command of a client ends in an event of its own; timers that came due stand before it.
        refused = last[_KIND] in (EventKind.REJECTED, EventKind.DUPLICATE)
        return CommandAcknowledged(
            source_id=message.source_id,
            source_sequence=message.source_sequence,
            now_ns=ctx.now_ns,
            last_sequence=last[0],
            accepted=not refused,
            reason=Reason(last[_REASON]) if refused else Reason.NONE,
        )

    def on_command(self, command: Message, ctx: Context) -> None:
        """As `on_request`, for a sender that needs no reply."""
        self.on_request(command, ctx)

    def on_commands(self, commands: Records, ctx: Context) -> None:
        """Carry out a COMMAND array of the market's own participants, or of the clock."""
        events = self._core.process(commands)
        if len(events):
            self._publish(events, CommandKind.NEW, ctx)

    def state(self) -> dict[str, Any]:
        """Strategies of open orders; the core keeps the rest."""
        return {"orders": [[account, order, strategy] for (account, order), strategy in self._strategies.items()]}

    def restore(self, state: dict[str, Any]) -> None:
        """See `Engine.restore`."""
        self._strategies = {(account, order): strategy for account, order, strategy in state["orders"]}

    def _publish(self, events: Records, kind: CommandKind, ctx: Context) -> None:
        ctx.publish(events)
        # Account 0 (no counterparty) wraps to the largest number, so one comparison serves both sides.
        ours = np.minimum(events["account_id"] - _ONE, events["counter_account_id"] - _ONE) < self._last_client
        if not ours.any():
            return
        for row in events[ours].tolist():
            for report in self._expand(row, kind):
                ctx.publish(report)

    def _expand(self, row: tuple[int, ...], request: CommandKind) -> list[ExecutionReport]:
        """The reports of one event, to those of its sides that are clients."""
        (
            sequence, _, now_ns, order_id, price, quantity, leaves, kind, side, reason, _, flags, counter_order_id,
            match_id, counter_leaves, fee, source_sequence, _, instrument_id, account_id, counter_account_id,
            strategy_id, _,
        ) = row  # fmt: skip
        common = (sequence, now_ns, account_id, strategy_id, instrument_id, order_id, SIDES[side])
        match kind:
            case EventKind.FILLED:
                reports: list[ExecutionReport] = []
                if account_id <= self._last_client:
                    reports.append(
                        OrderFilled(*common, price, quantity, leaves, source_sequence, match_id=match_id, fee=fee)
                    )
                    if not leaves:
                        self._strategies.pop((account_id, order_id), None)
                if counter_account_id <= self._last_client:
                    key = (counter_account_id, counter_order_id)
                    reports.append(
                        OrderFilled(
                            sequence,
                            now_ns,
                            counter_account_id,
                            self._strategies.get(key, 0),
                            instrument_id,
                            counter_order_id,
                            SIDES[3 - side],
                            price,
                            quantity,
                            counter_leaves,
                            match_id=match_id,
                            maker=True,
                        )
                    )
                    if not counter_leaves:
                        self._strategies.pop(key, None)
                return reports
            case EventKind.ACCEPTED:
                if strategy_id:
                    self._strategies[account_id, order_id] = strategy_id
                return [OrderAccepted(*common, price, quantity, leaves, source_sequence)]
            case EventKind.REJECTED:
                return [
                    OrderRejected(
                        *common,
                        price,
                        quantity,
                        leaves,
                        source_sequence,
                        reason=Reason(reason),
                        violated=violated_reasons(flags, reason),
                        request=request,
                    )
                ]
            case EventKind.CANCELLED:
                self._strategies.pop((account_id, order_id), None)
                return [OrderCancelled(*common, price, quantity, leaves, source_sequence, reason=Reason(reason))]
            case EventKind.EXPIRED:
                self._strategies.pop((account_id, order_id), None)
                return [OrderExpired(*common, price, quantity, leaves, source_sequence, reason=Reason(reason))]
            case EventKind.REPLACED:
                return [OrderReplaced(*common, price, quantity, leaves, source_sequence)]
        return []  # administrative: APPLIED and DUPLICATE are said in the reply
