"""What the core says of traces in its log: commands that came within one, and events that belong to one."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import msgspec

from nautilus.bus import Delivery, MessageKind
from nautilus.core.eventlog import EventLog, EventLogError
from nautilus.core.types import EventKind, Reason
from nautilus.model.codec import from_msgpack
from nautilus.model.errors import NautilusError

TRACE = "trace"
"""Where events go that name events of the core by sequence, first and last."""
MOST_EVENTS = 64
_LOG = logging.getLogger("nautilus.trace")
_decode_numbers = msgspec.msgpack.Decoder(tuple[int, int]).decode


def traced(deliveries: Sequence[Delivery], log: EventLog) -> Sequence[Delivery]:
    """The deliveries as they are; those that came within a trace are told in the log."""
    for delivery in deliveries:
        if delivery.trace_id:
            _tell(delivery, log)
    return deliveries


def _tell(delivery: Delivery, log: EventLog) -> None:
    if delivery.kind is MessageKind.EVENT and delivery.to == TRACE:
        try:
            first, last = _decode_numbers(delivery.payload)
            events = log.read(max(first, 1), max(0, min(last - first + 1, MOST_EVENTS)))["event"]
            if not len(events):
                _say(delivery.trace_id, f"events {first} to {last}, which the log does not have yet")
            for event in events:
                _say(
                    delivery.trace_id,
                    f"event {int(event['sequence'])}: {EventKind(int(event['kind'])).name}",
                    account_id=int(event["account_id"]),
                    instrument_id=int(event["instrument_id"]),
                    order_id=int(event["order_id"]),
                    reason=Reason(int(event["reason"])).name,
                )
        except (msgspec.DecodeError, EventLogError, ValueError, OverflowError) as error:
            _say(delivery.trace_id, f"events that cannot be read: {error}")
    elif delivery.kind in (MessageKind.COMMAND, MessageKind.REQUEST):
        try:
            message = from_msgpack(delivery.payload)
            fields = {
                name: getattr(message, name)
                for name in ("account_id", "instrument_id", "order_id")
                if hasattr(message, name)
            }
            _say(delivery.trace_id, f"{type(message).__name__} of {delivery.sender}", **fields)
        except NautilusError:
            _say(delivery.trace_id, f"a message of {delivery.sender} that cannot be read")


def _say(trace: int, text: str, **fields: object) -> None:
    _LOG.info("%s", text, extra={"fields": {**fields, "trace_id": f"{trace:032x}"}})
