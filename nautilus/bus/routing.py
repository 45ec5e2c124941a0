"""Where everything goes: generated from the topics and from which engine runs in which process.

Market data come from the hub alone; a message for an engine goes to the process that hosts it; an event goes once to
each process with an engine that subscribes to its topic. Nothing else decides where a message goes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from nautilus.bus.base import BY_NAME, TopicError
from nautilus.model.commands import CommandMessage, KillSwitch, ResumeTrading
from nautilus.model.enums import Priority
from nautilus.model.errors import ModelError
from nautilus.model.message import Message
from nautilus.model.queries import GetCoreState, KillRequest, SourceStatus
from nautilus.model.topics import QUOTES, TOPICS, Topic, topic_of

CORE = "core"
CLIENTS = "client."
"""What the names of clients begin with: processes that come and go and host no engine."""
TO_CORE = (CommandMessage, SourceStatus, GetCoreState)
_URGENT = (KillSwitch, ResumeTrading, KillRequest)


class Way(NamedTuple):
    """Where a message for an engine goes: the process, the name in it, and how urgent it is."""

    process: str
    to: str
    priority: Priority


class Processes:
    """Whom a process listens to: the processes of an instance, and clients."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)

    def __contains__(self, name: object) -> bool:
        return name in self._names or (isinstance(name, str) and name.startswith(CLIENTS))


class RoutingTable:
    """The ways of one instance.

    Parameters
    ----------
    places
        {engine: its process}.
    subscriptions
        {engine: the topics that it may subscribe to}.
    """

    def __init__(self, places: Mapping[str, str], subscriptions: Mapping[str, Collection[Topic]]) -> None:
        self._places = dict(places)
        self._takers = {
            topic.name: tuple(engine for engine in places if topic in subscriptions.get(engine, ())) for topic in TOPICS
        }

    @property
    def engines(self) -> tuple[str, ...]:
        """The engines that have a process."""
        return tuple(self._places)

    @property
    def hub(self) -> str:
        """The process of the hub: where every market data request goes. ModelError where there is none."""
        return self.process_of(QUOTES.publisher)

    def process_of(self, engine: str) -> str:
        """The process that hosts an engine; ModelError where none does."""
        process = self._places.get(engine)
        if process is None:
            raise ModelError(f"peer {engine!r}", where="routing", expected=f"one of {', '.join(self._places)}")
        return process

    def way(self, engine: str, kind: type[Message]) -> Way:
        """Where a message of this type for an engine goes.

        Commands to the trading core go to its process. All commands of one sender share a stream, since their numbers
        may not overtake each other; what stops trading, or allows it again, goes past them.
        """
        if issubclass(kind, _URGENT):
            priority = Priority.URGENT
        else:
            priority = Priority.HIGH if issubclass(kind, CommandMessage) else Priority.NORMAL
        if engine == CORE or (engine == "trading" and issubclass(kind, TO_CORE)):
            return Way(CORE, CORE, priority)
        return Way(self.process_of(engine), engine, priority)

    def takers(self, topic: Topic) -> tuple[str, ...]:
        """Engines that subscribe to a topic."""
        return self._takers[topic.name]

    def direct(self, engine: str, message: Message | Mapping[str, Any]) -> tuple[Topic, Message]:
        """The topic of a message that is for one engine alone, which has to subscribe to it.

        Raises
        ------
        ModelError
            Nothing carries it, or it is none: fields by name do not say of what type.
        TopicError
            The engine does not subscribe to its topic.
        """
        if not isinstance(message, Message):
            raise ModelError("fields without a type", where=engine, expected="a message")
        topic = topic_of(message)
        if engine not in self._takers[topic.name]:
            taken = ", ".join(sorted(name for name, takers in self._takers.items() if engine in takers))
            raise TopicError(topic.name, where=engine, expected=f"one of {taken}" if taken else "nothing")
        return topic, message

    def processes(self, topic: Topic, *, beside: str = "") -> tuple[str, ...]:
        """Processes with such engines, each once, in the order of the engines; not the one `beside` which they are."""
        found = dict.fromkeys(self._places[engine] for engine in self._takers[topic.name])
        found.pop(beside, None)
        return tuple(found)


def topic_at(channel: str) -> Topic:
    """The topic of a channel: its name, or its name and more after a dot (an instrument, a priority).

    Raises
    ------
    TopicError
        There is no such topic.
    """
    name = channel
    while name:
        for topic in TOPICS:
            if topic.name == name:
                return topic
        name = name.rpartition(".")[0]
    raise TopicError(channel, where="channel", expected=f"one of {', '.join(topic.name for topic in TOPICS)}")


def topics_like(pattern: str) -> tuple[Topic, ...]:
    """Topics by name, or all below a name: ``marketdata.*``, ``risk.alert``, ``*``. TopicError where there is none."""
    if pattern.endswith("*"):
        head = pattern[:-1]
        found = tuple(topic for topic in TOPICS if topic.name.startswith(head) or topic.name + "." == head)
        if found:
            return found
    return (topic_at(pattern),)


def is_on_star(topic: Topic) -> bool:
    """Whether the star carries it, as records; else the mesh does, as messages."""
    return topic.name in BY_NAME


def message_of(channel: str, message: Message | Mapping[str, Any]) -> Message:
    """The message for a channel of the mesh, as it is or made of fields by name.

    Raises
    ------
    TopicError
        There is no such topic, or it carries records.
    ModelError
        A message of another topic, or fields that do not make one; it says which.
    """
    topic = topic_at(channel)
    if not topic.messages:
        raise TopicError(channel, where="publish", expected="a topic of the mesh; the star has the hub alone")
    if isinstance(message, Message):
        if type(message) not in topic.messages:
            kinds = ", ".join(kind.__name__ for kind in topic.messages)
            raise ModelError(f"a {type(message).__name__}", where=topic.name, expected=kinds)
        return message
    if len(topic.messages) > 1:
        raise ModelError("fields without a type", where=topic.name, expected="a message")
    kind = topic.messages[0]
    unknown = sorted(set(message) - set(kind.__struct_fields__))
    if unknown:
        raise ModelError(f"field {unknown[0]!r}", where=kind.__name__, expected=", ".join(kind.__struct_fields__))
    required = kind.__struct_fields__[: len(kind.__struct_fields__) - len(kind.__struct_defaults__)]
    missing = [name for name in required if name not in message]
    if missing:
        raise ModelError(f"no field {missing[0]!r}", where=kind.__name__, expected=", ".join(required))
    given = {**dict(zip(kind.__struct_fields__[len(required) :], kind.__struct_defaults__, strict=True)), **message}
    try:
        # As the wire has it, so that every field is judged.
        return msgspec.convert([kind.__name__, *(given[name] for name in kind.__struct_fields__)], kind)
    except msgspec.ValidationError as error:
        raise ModelError(str(error), where=kind.__name__, expected=", ".join(kind.__struct_fields__)) from None


__all__ = [
    "CLIENTS",
    "CORE",
    "TO_CORE",
    "Processes",
    "RoutingTable",
    "Way",
    "is_on_star",
    "message_of",
    "topic_at",
    "topics_like",
]
