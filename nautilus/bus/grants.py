"""What a process may do on the bus: a table of grants, and the decision about one message. Pure.

A grant is ``publish:TOPIC``, ``send:WHAT`` or ``read:TOPIC``; a ``*`` at its end stands for whatever follows. WHAT is

=========  =====================================================================================
orders     new orders, replacements, batches of them
cancels    cancels and mass cancels
kill       the kill switch
resume     that the kill switch is taken back: trading goes on
phases     phases of instruments
adjust     positions booked by hand, splits of instruments
ask        every other request or command: what is answered changes nothing in the core
fence      that there is a hub with a higher epoch: the one that hears of it stops publishing
=========  =====================================================================================

What engines do by themselves is in `DEFAULTS`, made from the topics of the platform: one that publishes a topic may
publish it. Who has no line there may do what its key's grants say, and no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from nautilus.bus.envelope import MessageKind
from nautilus.model.codec import from_json, from_msgpack
from nautilus.model.commands import CommandMessage
from nautilus.model.errors import ModelError
from nautilus.model.message import Message
from nautilus.model.queries import KillRequest
from nautilus.model.topics import EXECUTION_REPORTS, TOPICS, Topic

ORDERS, CANCELS, KILL, RESUME, PHASES, ASK, FENCE = "orders", "cancels", "kill", "resume", "phases", "ask", "fence"
ADJUST = "adjust"
WHAT: Final = (ORDERS, CANCELS, KILL, RESUME, PHASES, ADJUST, ASK, FENCE)
RELEASE: Final = b"KillRequest(on=False)"
"""In place of the type's name: one type both sets the kill switch and takes it back."""
_WHAT_OF: Final = {
    "SubmitOrder": ORDERS,
    "ReplaceOrder": ORDERS,
    "CommandBatch": ORDERS,
    "OrderRequest": ORDERS,
    "AmendRequest": ORDERS,
    "CancelOrder": CANCELS,
    "MassCancel": CANCELS,
    "CancelRequest": CANCELS,
    "KillSwitch": KILL,
    "ResumeTrading": RESUME,
    "KillRequest": KILL,
    RELEASE.decode(): RESUME,
    "SetPhase": PHASES,
    "PhaseRequest": PHASES,
    "AdjustPosition": ADJUST,
    "SplitPositions": ADJUST,
}
_SENDS: Final[Mapping[str, tuple[str, ...]]] = {
    "trading": (ORDERS, CANCELS, KILL, RESUME, PHASES, ASK),
    "strategy": (ORDERS, CANCELS, ASK),
    "risk": (CANCELS, KILL, ASK),
    "marketdata": (ORDERS, CANCELS, PHASES, ASK),
    "portfolio": (ADJUST, ASK),
}
"""Market data enters orders where a recording plays or a market is simulated: its participants are clients as well."""
EVERYTHING: Final = ("publish:*", "send:*", "read:*")
"""Of a client on this machine without a key: it is the user's own."""
HELLO, LISTEN, PING, TRACE = "hello", "listen", "ping", "trace"
"""Names of the host itself, to which more is said than to engines."""
REPORTS: Final = "Reports"
"""Many execution reports in one message."""
_MESSAGES: Final = {topic.name: frozenset(kind.__name__ for kind in topic.messages) for topic in TOPICS}
_LIST: Final = ord("[")
_EVENT: Final = MessageKind.EVENT


def _defaults() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for engine in dict.fromkeys((*_SENDS, *(topic.publisher for topic in TOPICS))):
        publishes = [f"publish:{topic.name}" for topic in TOPICS if topic.publisher == engine]
        sends = (*_SENDS.get(engine, (ASK,)), FENCE)
        found[engine] = (*publishes, *(f"send:{what}" for what in sends), "read:*")
    return found


DEFAULTS: Final[Mapping[str, tuple[str, ...]]] = _defaults()
"""Grants of the platform's own engines."""


def grants_of(engines: Iterable[str]) -> tuple[str, ...]:
    """What the engines of a process may do together, each grant once; nothing for one that is not of the platform."""
    return tuple(dict.fromkeys(grant for engine in engines for grant in DEFAULTS.get(engine, ())))


def granted(grants: Iterable[str], verb: str, what: str) -> bool:
    """Whether grants allow to ``publish``, ``send`` or ``read`` something."""
    wanted = f"{verb}:{what}"
    return any(grant == wanted or (grant[-1:] == "*" and wanted.startswith(grant[:-1])) for grant in grants)


def readable(grants: Sequence[str], topics: Iterable[Topic]) -> bool:
    """Whether all of these topics may be read."""
    return all(granted(grants, "read", topic.name) for topic in topics)


def type_of(payload: bytes) -> bytes:
    """Name of the type of a message, out of its first bytes; b"": it has none.

    A message is an array: a mark of one byte where it has up to 15 fields, else of three; the name comes first, as a
    text of up to 31 bytes. One with a number that is too large for msgpack is JSON. Whoever writes the same otherwise
    has no name, and with that needs a grant for everything.
    """
    if not payload:
        return b""
    first = payload[0]
    if first == _LIST:
        return payload[1:64].lstrip(b' "').partition(b'"')[0]
    place = 1 if first < 0xA0 else 3
    mark = payload[place : place + 1]
    if not mark or mark[0] >> 5 != 5:
        return b""
    return payload[place + 1 : place + 1 + (mark[0] & 31)]


def kind_of(payload: bytes) -> bytes:
    """As `type_of`, but `RELEASE` for a request that takes the kill switch back, or that nobody can read."""
    name = type_of(payload)
    if name == b"KillRequest":
        try:
            message = from_json(payload) if payload[0] == _LIST else from_msgpack(payload)
        except ModelError:
            return RELEASE
        if not (isinstance(message, KillRequest) and message.on):
            return RELEASE
    return name


def what_of(name: str, to: str) -> str:
    """Which grant a request or command of a type needs; "*": one for everything, as nobody knows what it does."""
    if to in (LISTEN, PING):
        return ASK
    found = _WHAT_OF.get(name)
    if found is not None:
        return found
    kind = _known_types().get(name)
    return "*" if kind is None or issubclass(kind, CommandMessage) else ASK


def refusal(
    grants: Sequence[str], engines: Sequence[str], process: str, kind: MessageKind, sender: str, to: str, name: str
) -> str:
    """Why a process may not send a message of this type; "": it may.

    Parameters
    ----------
    grants, engines, process
        Of the process that sends: what it may, in whose names it speaks, its own.
    kind, sender, to, name
        Of the message; `name` is that of its type.
    """
    if sender != process and sender not in engines:
        return f"{process} speaks as {sender}"
    if kind == _EVENT:
        if to in (HELLO, TRACE):
            return ""
        topic = to
        while topic and topic not in _MESSAGES:
            topic = topic.rpartition(".")[0]
        if not topic:
            return f"an event for {to}, which is no topic"
        if name not in _MESSAGES[topic] and not (name == REPORTS and topic == EXECUTION_REPORTS.name):
            return f"{name or 'nothing'} on {to}"
        return "" if granted(grants, "publish", topic) else f"{process} may not publish {topic}"
    what = what_of(name, to)
    return "" if granted(grants, "send", what) else f"{process} may not send {what}"


def _known_types() -> dict[str, type[Message]]:
    """Every message of the vocabulary that is loaded, by the name that it has on the wire."""
    found: dict[str, type[Message]] = {}
    waiting = list(Message.__subclasses__())
    while waiting:
        kind = waiting.pop()
        found[kind.__name__] = kind
        waiting += kind.__subclasses__()
    return found
