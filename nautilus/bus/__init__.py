"""The bus: the star for packed market data, the mesh for messages between processes.

The bus knows processes and streams; names of engines it carries, and does not read. The host's one thread polls the
sockets and calls; nothing here waits, starts a thread, or raises for what came over the wire.

The names of this package are loaded when they are first asked for: a command that reads counters opens no socket.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nautilus.bus.backlog import FrameBuffer
    from nautilus.bus.base import EndpointError, FrameFlag, TopicError, make_context, replay_endpoint, stream_id
    from nautilus.bus.client import BusClient
    from nautilus.bus.envelope import DeadLetter, Delivery, MessageKind, PeerState, error_fields
    from nautilus.bus.liveness import PeerChange, Standing
    from nautilus.bus.mesh import Mesh, MeshError
    from nautilus.bus.pressure import FULL, Pressure
    from nautilus.bus.publisher import Publisher
    from nautilus.bus.replayer import Replayer
    from nautilus.bus.routing import RoutingTable
    from nautilus.bus.subscriber import Marked, Subscriber

__all__ = [
    "FULL",
    "BusClient",
    "DeadLetter",
    "Delivery",
    "EndpointError",
    "FrameBuffer",
    "FrameFlag",
    "Marked",
    "Mesh",
    "MeshError",
    "MessageKind",
    "PeerChange",
    "PeerState",
    "Pressure",
    "Publisher",
    "Replayer",
    "RoutingTable",
    "Standing",
    "Subscriber",
    "TopicError",
    "error_fields",
    "make_context",
    "replay_endpoint",
    "stream_id",
]

_LOADED_LATER = {
    "BusClient": "client",
    "DeadLetter": "envelope",
    "Delivery": "envelope",
    "EndpointError": "base",
    "FULL": "pressure",
    "FrameBuffer": "backlog",
    "FrameFlag": "base",
    "Marked": "subscriber",
    "Mesh": "mesh",
    "MeshError": "mesh",
    "MessageKind": "envelope",
    "PeerChange": "liveness",
    "PeerState": "envelope",
    "Pressure": "pressure",
    "Publisher": "publisher",
    "Replayer": "replayer",
    "RoutingTable": "routing",
    "Standing": "liveness",
    "Subscriber": "subscriber",
    "TopicError": "base",
    "error_fields": "envelope",
    "make_context": "base",
    "replay_endpoint": "base",
    "stream_id": "base",
}


def __getattr__(name: str) -> Any:
    if name not in _LOADED_LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_LOADED_LATER[name]}"), name)
    return found
