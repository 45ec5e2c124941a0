from typing import Any

from nautilus.core.mesh_wire import Answer
from nautilus.core.receive_stream import ReceiveStream
from nautilus.core.send_stream import SendStream

class Reader:
    rank: int
    socket: Any

class Outlet(Reader):
    open: bool
    diverted: bool
    urgent: bool
    waits: bool
    heard: bool
    sent_ns: int
    peer: str
    streams: dict[int, SendStream]

class Port(Reader):
    inbound: dict[bytes, dict[int, Any]]

class Contact:
    identity: bytes
    name: str
    epoch: int
    def __init__(self, identity: bytes, name: str) -> None: ...

class Inlet:
    peer: Contact
    router: Any
    stream: ReceiveStream
    carrier: Any
    priority: int
    replies: list[Answer]
    said_ns: int
