"""Whether a message may be delivered: asked for each one, decided once for each kind of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from nautilus.bus.envelope import UNREADABLE, Delivery, MessageKind
from nautilus.bus.grants import EVERYTHING, LISTEN, granted, grants_of, kind_of, refusal
from nautilus.bus.routing import CLIENTS
from nautilus.bus.security import Security
from nautilus.model.errors import BusError

MOST_DECIDED: Final = 4_096
FORBIDDEN: Final = "forbidden"
"""Reason of the dead letters that are made of what is refused."""


class ForbiddenError(BusError):
    """A message that its sender may not send."""

    code = "bus.forbidden"


class Permissions:
    """What each process may do: what its key's grants say, else what its engines do by themselves.

    Parameters
    ----------
    engines
        {process: the engines in it}, of the plan.
    security
        Of this process; None: nobody has a key, and all that connects is on this machine.
    """

    def __init__(self, engines: Mapping[str, Sequence[str]], security: Security | None = None) -> None:
        self.refused = 0
        self._engines = engines
        self._security = security
        self._version = -1
        self._decided: dict[tuple[str, MessageKind, str, str, bytes], str] = {}

    def refusal(self, message: Delivery) -> str:
        """Why a message is not to be delivered; "": it is. Answers are: they are waited for."""
        kind, process = message.kind, message.peer
        if kind > MessageKind.REQUEST:
            return ""
        security = self._security
        if security is not None and security.version != self._version:
            self._version = security.version
            self._decided.clear()
        key = (process, kind, message.sender, message.to, kind_of(message.payload))
        found = self._decided.get(key)
        if found is None:
            if message.to == LISTEN:
                return self._counted(self._listening(process, message.payload))
            found = refusal(self.grants(process), self._speaks_as(process), *key[:-1], key[-1].decode(errors="replace"))
            if len(self._decided) >= MOST_DECIDED:  # names that nobody has cost nobody memory
                self._decided.clear()
            self._decided[key] = found
        return self._counted(found) if found else ""

    def grants(self, process: str) -> Sequence[str]:
        """What a process may do."""
        key = None if self._security is None else self._security.key_of(process)
        if key is not None:
            return () if key.revoked_ns else key.grants
        return EVERYTHING if process.startswith(CLIENTS) else grants_of(self._engines.get(process, ()))

    def _speaks_as(self, process: str) -> Sequence[str]:
        """Engines, or the name that a client was given."""
        if process.startswith(CLIENTS):
            return (process.removeprefix(CLIENTS).rpartition("-")[0],)
        return self._engines.get(process, ())

    def _listening(self, process: str, payload: bytes) -> str:
        """Whether all that is to be listened to may be read."""
        try:
            wanted = msgspec.msgpack.decode(payload, type=list[str])
        except UNREADABLE:
            return ""  # it is refused by who reads it
        grants = self.grants(process)
        for topic in wanted:
            if not granted(grants, "read", topic):
                return f"{process} may not read {topic}"
        return ""

    def _counted(self, reason: str) -> str:
        if reason:
            self.refused += 1
            if self._security is not None:
                self._security.refused_messages += 1
        return reason
