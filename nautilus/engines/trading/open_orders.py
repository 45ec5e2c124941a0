"""An open order of a client, as the events tell it."""

from __future__ import annotations

from nautilus.model.enums import OrderFlag, OrderState, OrderType, SessionPhase, Standing, TimeInForce

_PLAIN = int(OrderType.LIMIT) << 16 | int(TimeInForce.GTC) << 24
# Looked up: a call of the enumeration costs as much as the rest of the constructor.
_TYPES = (OrderType.LIMIT, *OrderType)
_STATES = (OrderState.OPEN, *OrderState)
_TO_LIMIT = {
    OrderType.STOP_LIMIT,
    OrderType.LIMIT_IF_TOUCHED,
    OrderType.TRAILING_STOP_LIMIT,
}
_TO_MARKET = {OrderType.STOP, OrderType.MARKET_IF_TOUCHED, OrderType.TRAILING_STOP}
_DARK = OrderFlag.HIDDEN | OrderFlag.ALL_OR_NONE
_OPENING = frozenset((SessionPhase.PRE_OPEN, SessionPhase.OPENING_AUCTION))


class ClientOrder:
    """Mutable.

    Attributes
    ----------
    told : flags of its ACCEPTED or ROUTED: OrderFlag bits, OrderType << 16, TimeInForce << 24.
    order_type : as it is now.
    trigger_ticks : as it was asked for; 0: none, or it has triggered.
    parent_order_id : 0 once its parent's fills have let it in.
    state : OPEN, or of an external venue's order what is known of it.
    """

    __slots__ = (
        "display",
        "instrument_id",
        "leaves",
        "order_type",
        "parent_order_id",
        "price_ticks",
        "quantity",
        "routed",
        "side",
        "state",
        "strategy_id",
        "told",
        "trigger_ticks",
    )

    def __init__(
        self,
        instrument_id: int,
        side: int,
        price_ticks: int,
        quantity: int,
        leaves: int,
        strategy_id: int,
        told: int = _PLAIN,
        trigger_ticks: int = 0,
        display: int = 0,
        parent_order_id: int = 0,
        order_type: int = 0,
        state: int = OrderState.OPEN,
        routed: bool = False,
    ) -> None:
        self.instrument_id = instrument_id
        self.side = side
        self.price_ticks = price_ticks
        self.quantity = quantity
        self.leaves = leaves
        self.strategy_id = strategy_id
        self.told = told
        self.trigger_ticks = trigger_ticks
        self.display = display
        self.parent_order_id = parent_order_id
        self.order_type = _TYPES[order_type or told >> 16 & 0xFF]
        self.state = _STATES[state]
        self.routed = routed

    @property
    def flags(self) -> OrderFlag:
        """Its own flags."""
        return OrderFlag(self.told & 0xFFFF)

    @property
    def time_in_force(self) -> TimeInForce:
        """As it was asked for."""
        return TimeInForce(self.told >> 24)

    def standing(self, phase: int) -> Standing:
        """Where it stands in an instrument that is in this phase."""
        if self.routed:
            return Standing.ROUTED
        if self.parent_order_id:
            return Standing.PARKED
        if self.order_type in _TO_LIMIT or self.order_type in _TO_MARKET:
            return Standing.WAITING
        if self.time_in_force in (TimeInForce.AT_OPEN, TimeInForce.AT_CLOSE):
            opening = self.time_in_force == TimeInForce.AT_OPEN
            if not (phase in _OPENING if opening else phase == SessionPhase.CLOSING_AUCTION):
                return Standing.PARKED
            return Standing.AUCTION if self.order_type == OrderType.MARKET else Standing.DISPLAYED
        dark = self.order_type == OrderType.PEGGED or bool(self.flags & _DARK)
        return Standing.DARK if dark else Standing.DISPLAYED

    def accepted(self, price_ticks: int, quantity: int, leaves: int) -> None:
        """An external venue has it."""
        self.price_ticks, self.quantity, self.leaves = price_ticks, quantity, leaves
        if self.state in (OrderState.PENDING_NEW, OrderState.UNKNOWN):
            self.state = OrderState.OPEN

    def replaced(self, price_ticks: int, quantity: int, leaves: int, trigger_ticks: int = 0) -> None:
        """Price and quantities are these."""
        self.quantity, self.leaves = quantity, leaves
        self.trigger_ticks = trigger_ticks or self.trigger_ticks
        # A trailing order's REPLACED says no price: its distance stays.
        if price_ticks or self.order_type != OrderType.TRAILING_STOP_LIMIT:
            self.price_ticks = price_ticks
        if self.state != OrderState.PENDING_CANCEL:
            self.state = OrderState.OPEN

    def changed(self, price_ticks: int, quantity: int, leaves: int, *, restated: bool) -> None:
        """Nobody asked: a group or a parent did it, or (`restated`) its own type."""
        self.quantity, self.leaves = quantity, leaves
        if restated and self.order_type == OrderType.MARKET_TO_LIMIT and not self.parent_order_id:
            self.order_type = OrderType.LIMIT
        if self.order_type not in (OrderType.TRAILING_STOP_LIMIT, OrderType.PEGGED):
            self.price_ticks = price_ticks  # else it is a distance, or a cap, and stays

    def traded(self, price_ticks: int) -> None:
        """It met another order, or an external venue says that it did."""
        if self.state == OrderState.PENDING_NEW:
            self.state = OrderState.OPEN
        if self.order_type == OrderType.MARKET_TO_LIMIT:
            self.order_type, self.price_ticks = OrderType.LIMIT, price_ticks

    def triggered(self, price_ticks: int, leaves: int, *, child: bool) -> None:
        """It acts now; of a child: with so much, at this price."""
        self.leaves = leaves
        if child:
            self.parent_order_id = 0
            if price_ticks:
                self.price_ticks = price_ticks
            return
        if self.order_type == OrderType.TRAILING_STOP_LIMIT:
            self.price_ticks = 0  # told next (RESTATED), where the instrument is explicit
        self.order_type = OrderType.LIMIT if self.order_type in _TO_LIMIT else OrderType.MARKET
        self.trigger_ticks = 0

    def row(self) -> list[int]:
        """Plain values, in the order of the constructor."""
        return [
            self.instrument_id, self.side, self.price_ticks, self.quantity, self.leaves, self.strategy_id, self.told,
            self.trigger_ticks, self.display, self.parent_order_id, int(self.order_type), int(self.state),
            int(self.routed),
        ]  # fmt: skip
