"""What the gateway is asked and what it tells: caches to forget, breakers and instances that changed."""

from __future__ import annotations

from nautilus.model.message import Message


class InvalidateCache(Message, frozen=True):
    """Forget the answers of an engine that the gateway keeps.

    Parameters
    ----------
    engine
        Whose answers; "": of every engine.
    prefix
        Those alone whose path, behind ``/api/v1/engines/{engine}``, begins so; "": all.
    """

    engine: str
    prefix: str = ""


class BreakerChanged(Message, frozen=True):
    """A circuit breaker of the gateway has another state.

    Parameters
    ----------
    name
        The engine's, or the operation's as the gateway names it.
    before, after
        ``closed``, ``open``, ``half-open``, ``forced-open``, ``disabled``.
    cause
        Why, in a few words.
    """

    now_ns: int
    name: str
    before: str
    after: str
    cause: str


class InstanceHealthChanged(Message, frozen=True):
    """An instance of an engine is healthier, or less so, than it was.

    Parameters
    ----------
    instance
        Address of the instance.
    before, after
        ``healthy``, ``degraded``, ``unhealthy``, ``unknown``.
    cause
        Why, in a few words.
    """

    now_ns: int
    engine: str
    instance: str
    before: str
    after: str
    cause: str
