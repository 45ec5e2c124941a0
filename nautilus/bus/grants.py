"""What a process may do on the bus: a table of grants, and the decision about one message. Pure.

A grant is ``publish:TOPIC``, ``send:WHAT`` or ``read:TOPIC``; a ``*`` at its end stands for whatever follows. WHAT is

=========  =====================================================================================
orders     new orders, replacements, batches of them
cancels    cancels and mass cancels
kill       the kill switch, and that trading goes on
phases     phases of instruments
ask        every other request or command: what is answered changes nothing in the core
=========  =====================================================================================

What engines do by themselves is in `DEFAULTS`, made from the topics of the platform: one that publishes a topic may
publish it. Who has no line there may do what its key's grants say, and no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from nautilus.bus.envelope import Envelope, MessageKind
from nautilus.model.topics import EXECUTION_REPORTS, TOPICS, Topic

ORDERS, CANCELS, KILL, PHASES, ASK = "orders", "cancels", "kill", "phases", "ask"
WHAT: Final = (ORDERS, CANCELS, KILL, PHASES, ASK)
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
    "ResumeTrading": KILL,
    "KillRequest": KILL,
    "SetPhase": PHASES,
    "PhaseRequest": PHASES,
}
_SENDS: Final[Mapping[str, tuple[str, ...]]] = {
    "trading": (ORDERS, CANCELS, KILL, PHASES, ASK),
    "strategy": (ORDERS, CANCELS, ASK),
    "risk": (CANCELS, KILL, ASK),
    "marketdata": (ORDERS, CANCELS, PHASES, ASK),
    "portfolio": (ASK,),
}
"""Market data enters orders where a recording plays or a market is simulated: its participants are clients as well."""
HELLO: Final = "hello"
_MESSAGES: Final = {topic.name: frozenset(kind.__name__ for kind in topic.messages) for topic in TOPICS}
REPORTS: Final = "Reports"
"""Many execution reports in one message."""
MOST_DECIDED: Final = 4_096
_EVENT: Final = MessageKind.EVENT


def _defaults() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for engine, sends in _SENDS.items():
        publishes = [f"publish:{topic.name}" for topic in TOPICS if topic.publisher == engine]
        found[engine] = (*publishes, *(f"send:{what}" for what in sends), "read:marketdata.*")
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
    text of up to 31 bytes. One with a number that is too large for msgpack is JSON.
    """
    if not payload:
        return b""
    first = payload[0]
    if first == 0x5B:
        return payload[1:64].lstrip(b' "').partition(b'"')[0]
    place = 1 if first < 0xA0 else 3
    mark = payload[place : place + 1]
    if not mark or mark[0] >> 5 != 5:
        return b""
    return payload[place + 1 : place + 1 + (mark[0] & 31)]


def refusal(
    grants: Sequence[str], engines: Sequence[str], process: str, kind: MessageKind, sender: str, to: str, name: str
) -> str:
    """Why a process may not send a message of this type; "": it may.

    Parameters
    ----------
    grants, engines, process
        Of the process that sends: what it may, which engines it hosts, its name.
    kind, sender, to, name
        Of the message; `name` is that of its type.
    """
    if sender != process and sender not in engines:
        return f"{process} speaks as {sender}"
    if kind is _EVENT:
        if to == HELLO:
            return ""
        known = _MESSAGES.get(to)
        if known is None:
            return f"an event for {to}, which is no topic"
        if name not in known and not (name == REPORTS and to == EXECUTION_REPORTS.name):
            return f"{name or 'nothing'} on {to}"
        return "" if granted(grants, "publish", to) else f"{process} may not publish {to}"
    what = _WHAT_OF.get(name, ASK)
    return "" if granted(grants, "send", what) else f"{process} may not send {what}"


class Permissions:
    """Decides about messages, and remembers: what was asked before costs a look into a table.

    Parameters
    ----------
    grants
        {process: what it may}; who is not in it may nothing.
    engines
        {process: the engines in it}.
    """

    __slots__ = ("_decided", "_engines", "_grants")

    def __init__(self, grants: Mapping[str, Sequence[str]], engines: Mapping[str, Sequence[str]]) -> None:
        self._grants = grants
        self._engines = engines
        self._decided: dict[tuple[str, MessageKind, str, str, bytes], str] = {}

    def refusal(self, process: str, envelope: Envelope) -> str:
        """Why a message is not to be delivered; "": it is."""
        key = (process, envelope.kind, envelope.sender, envelope.to, type_of(envelope.payload))
        found = self._decided.get(key)
        if found is None:
            found = self._decide(*key)
            if len(self._decided) >= MOST_DECIDED:  # names that nobody has cost nobody memory
                self._decided.clear()
            self._decided[key] = found
        return found

    def _decide(self, process: str, kind: MessageKind, sender: str, to: str, name: bytes) -> str:
        return refusal(
            self._grants.get(process, ()),
            self._engines.get(process, ()),
            process,
            kind,
            sender,
            to,
            name.decode(errors="replace"),
        )
