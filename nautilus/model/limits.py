"""Hard limits: what the trading core checks before every order, and refuses itself."""

from __future__ import annotations

from nautilus.model.enums import CommandKind, LimitKind
from nautilus.model.errors import ModelError
from nautilus.model.message import Message
from nautilus.model.records import Records, command_array, command_row

MAX_LIMIT = 2**63 - 1


class Limits(Message, frozen=True):
    """Limits of one scope: an account, an instrument, the pair, or (0) every one. None: not limited here.

    The smallest value that is set for an order's scopes holds.

    Parameters
    ----------
    order_quantity, position
        Lots.
    order_notional
        Money units of the instrument's quote currency.
    price_collar_bps
        A limit price may be this far through the reference price. An order without a reference is refused.
    message_rate, message_window_ns
        At most so many orders and replacements in the window; for an account or every account.

    Raises
    ------
    ModelError
        A value is negative or too large, or a message rate is named together with an instrument.
    """

    account_id: int = 0
    instrument_id: int = 0
    order_quantity: int | None = None
    order_notional: int | None = None
    price_collar_bps: int | None = None
    position: int | None = None
    message_rate: int | None = None
    message_window_ns: int = 1_000_000_000

    def __post_init__(self) -> None:
        for kind, value in self._values():
            if not 0 <= value <= MAX_LIMIT:
                raise ModelError(f"limit {kind.name} of {value}", where="limits", expected=f"0 to {MAX_LIMIT}")
        if self.message_rate is not None:
            if self.instrument_id:
                raise ModelError("message rate of an instrument", where="limits", expected="instrument_id 0")
            if not 1 <= self.message_rate <= self.message_window_ns <= MAX_LIMIT:
                raise ModelError(
                    f"message rate of {self.message_rate} in {self.message_window_ns} ns",
                    where="limits",
                    expected="at least one message, and no more than one a nanosecond",
                )

    def to_commands(self) -> Records:
        """One LIMIT command for each limit that is set, as a COMMAND array."""
        return command_array(
            *(
                command_row(
                    kind=CommandKind.LIMIT,
                    order_type=kind,
                    quantity=value,
                    account_id=self.account_id,
                    instrument_id=self.instrument_id,
                    expire_ns=self.message_window_ns if kind == LimitKind.MESSAGE_RATE else 0,
                )
                for kind, value in self._values()
            )
        )

    def _values(self) -> list[tuple[LimitKind, int]]:
        values = (
            (LimitKind.ORDER_QUANTITY, self.order_quantity),
            (LimitKind.ORDER_NOTIONAL, self.order_notional),
            (LimitKind.PRICE_COLLAR, self.price_collar_bps),
            (LimitKind.POSITION, self.position),
            (LimitKind.MESSAGE_RATE, self.message_rate),
        )
        return [(kind, value) for kind, value in values if value is not None]
