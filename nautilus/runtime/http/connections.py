"""The connections of a port: how many there may be, and which gives way to a new one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sized
from typing import TYPE_CHECKING, Any

from nautilus.core.http_link import ConnectionsBase

if TYPE_CHECKING:
    from nautilus.runtime.http.port import Port

PATIENCE_SECONDS = 1.0
"""So long a connection that has not asked anything yet is not closed for the sake of another."""


class Member(asyncio.Protocol):
    """A protocol that has taken the place of a connection: its port counts it, and it tells the port when it ends."""

    __slots__ = ("port",)

    port: Port | None
    transport: asyncio.Transport

    def exchanges(self) -> list[Any]:
        """No request is under way."""
        return []

    def close(self) -> None:
        """The port ends."""
        self.transport.close()

    def unsent(self) -> int:
        """Bytes that the transport has not sent."""
        return self.transport.get_write_buffer_size()


class Connections(ConnectionsBase):
    """Those of one port: a new one takes the place of the one that was of no use for longest.

    Parameters
    ----------
    most
        At once.
    files
        That they may take, together with what is in `beside`; None: that is not counted.
    """

    def __init__(self, most: int, files: int | None = None) -> None:
        self._most = most
        self._files = files
        self.beside: Sized = ()
        """What takes a file more for each of its members: the other ends of connections that are passed through."""
        super().__init__()
        # `_spare` has those that no request is under way on, with the time since when; the longest first.

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self._open))

    def admit(self, connection: Any, now: float) -> bool:
        """Count it in; False where there are too many and all of them are busy."""
        if self._full and not self._make_room(now):
            return False
        self._open.add(connection)
        self._spare[connection] = now
        return True

    @property
    def files_left(self) -> int:
        """That may still be opened."""
        return 1 << 20 if self._files is None else self._files - len(self._open) - len(self.beside)

    @property
    def _full(self) -> bool:
        return len(self._open) >= self._most or (self._files is not None and self.files_left <= 0)

    def replace(self, connection: Any, member: Member) -> None:
        """Another protocol is in the place of one."""
        self.leave(connection)
        self._open.add(member)

    def leave(self, connection: Any) -> None:
        """It is closed, or about to be."""
        self._open.discard(connection)
        self._spare.pop(connection, None)

    def idle(self) -> list[Any]:
        """Those that no request is under way on."""
        return list(self._spare)

    def since(self, moment: float) -> list[Any]:
        """Those that have been idle since before a moment."""
        found = []
        for connection, since in self._spare.items():
            if since > moment:
                break
            found.append(connection)
        return found

    def _make_room(self, now: float) -> bool:
        slow = None
        for connection, since in self._spare.items():
            if connection.asked or now - since > PATIENCE_SECONDS:
                if not connection.unsent():
                    connection.close()
                    return True
                slow = slow or connection
        if slow is None:
            return False
        slow.cut()  # it does not take its answer, and closed in order it would stay
        return True
