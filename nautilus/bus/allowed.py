"""Which paths a message may take where ZeroMQ does not reach its peer.

What would enter a market, or let it be entered again, never lies in a stream of Redis until somebody reads it: it goes
over HTTP or nowhere. What takes risk away goes over every path at once: the core knows a command that it has had.
"""

from __future__ import annotations

import numpy as np

from nautilus.bus.carriers import ALL, EVERY_PATH, HTTP, RING, ZMQ
from nautilus.core.types import COMMAND, CommandKind
from nautilus.model.commands import CancelOrder, CommandBatch, CommandMessage, KillSwitch, MassCancel
from nautilus.model.message import Message
from nautilus.model.phases import PhaseRequest
from nautilus.model.queries import AmendRequest, CancelRequest, KillRequest, OrderRequest

NOT_REDIS = ZMQ | RING | HTTP
_TAKE_AWAY = (CancelOrder, MassCancel, KillSwitch, CancelRequest)
_ENTER = (CommandMessage, OrderRequest, AmendRequest, PhaseRequest)
_KINDS_AWAY = frozenset((CommandKind.CANCEL, CommandKind.MASS_CANCEL, CommandKind.KILL))


def paths_of(message: Message) -> int:
    """The paths that a message may take, as `Mesh.post` has them."""
    if isinstance(message, _TAKE_AWAY):
        return EVERY_PATH
    if isinstance(message, KillRequest):
        return EVERY_PATH if message.on else NOT_REDIS
    if isinstance(message, CommandBatch):
        whole = len(message.rows) - len(message.rows) % COMMAND.itemsize
        kinds = np.frombuffer(message.rows[:whole], COMMAND)["kind"]
        return EVERY_PATH if _KINDS_AWAY.issuperset(kinds.tolist()) else NOT_REDIS
    return NOT_REDIS if isinstance(message, _ENTER) else ALL
