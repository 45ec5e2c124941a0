"""How answers leave a node of the mesh where that is not compiled: over other carriers, or through pyzmq."""

from __future__ import annotations

import zmq

from nautilus.bus.lanes import NOBLOCK, SNDMORE_NOBLOCK, Inbound
from nautilus.bus.node import Node


class Answers(Node):
    """Acknowledgements and replies to what came in: `MeshNode` makes them."""

    def _send_frame(self, source: Inbound, frame: bytes) -> bool:
        """Send a frame of answers over what the envelopes came by; False: the peer is gone, or reads nothing."""
        router, carrier = source.router, source.carrier
        if carrier is not None:
            return bool(carrier.send(source.peer.name, router.lane, frame))
        self.touched.add(router.socket)
        try:
            router.send(source.peer.identity, SNDMORE_NOBLOCK)
            router.send(frame, NOBLOCK)
        except zmq.ZMQError:
            return False
        return True
