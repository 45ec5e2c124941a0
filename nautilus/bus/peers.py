"""Keeps an eye on the peers that a process has dialled: connections, attempts to connect, beats."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Any, Final

import zmq

from nautilus.bus.base import checked_endpoints
from nautilus.bus.envelope import PeerState
from nautilus.bus.lanes import NOBLOCK, Dealer
from nautilus.bus.liveness import Liveness, PeerChange, Standing
from nautilus.bus.probe import Probe
from nautilus.bus.routing import CLIENTS
from nautilus.bus.tally import Tally
from nautilus.core.counters import Counters

BEAT: Final = struct.Struct("<2sq")
"""A beat, and its answer: no frame of the mesh is as short, so neither is taken for one. The number comes back."""
BEAT_BYTES: Final = BEAT.size
ASK, TELL = b"\xc1B", b"\xc1b"
COUNTED: Final = ("beats", "peers_slow", "peers_stopped", "peers_down")
WATCH_NS = 50_000_000
"""Between looks at a peer, where nothing calls for one."""
BUSY_WATCH_NS = 10_000_000
"""The same where a peer owes something, or is not as it should be."""


def beat_answer(frame: bytes) -> bytes | None:
    """The answer to a beat; None: the frame is none."""
    return TELL + frame[2:] if len(frame) == BEAT.size and frame[:2] == ASK else None


def gauge_of(counters: Counters | None, peer: str, name: str) -> int:
    """Index of a gauge of a peer; -1 where there is no table, or no room in it, and of clients: no name goes again."""
    if counters is None or peer.startswith(CLIENTS):
        return -1
    try:
        return counters.gauge(f"peer.{peer}.{name}")
    except ValueError:
        return -1


class _Peer:
    """One peer, the dealers to it, and how it is."""

    __slots__ = ("beat_ns", "dealers", "gauge", "liveness", "probe")

    def __init__(self, name: str, dealer: Dealer, endpoint: str, now_ns: int, gauge: int) -> None:
        self.dealers = [dealer]
        self.liveness = Liveness(name, now_ns, up=dealer.up)
        self.probe = Probe(checked_endpoints(endpoint)[0])
        self.beat_ns = 0
        self.gauge = gauge


class Peers:
    """All peers of a node.

    Parameters
    ----------
    changed
        Called with each `PeerChange`.
    moved
        Called with (peer, up) when the connection to a peer stands, or stands no longer.
    touched
        Sockets that were sent to are added to it.
    counters
        Table to keep ``peer.<name>.standing`` in, a gauge; the numbers are those of `Standing`. Clients have none.

    Attributes
    ----------
    beats : that were sent.
    peers_slow, peers_stopped, peers_down : times that a peer became so.
    """

    def __init__(
        self,
        changed: Callable[[PeerChange], None],
        moved: Callable[[str, bool], None],
        touched: set[Any],
        counters: Counters | None = None,
    ) -> None:
        self.beats = 0
        self.peers_slow = self.peers_stopped = self.peers_down = 0
        self._tally = Tally(counters, "mesh", self, COUNTED)
        self._changed = changed
        self._moved = moved
        self._touched = touched
        self._counters = counters
        self._peers: dict[str, _Peer] = {}

    def add(self, dealer: Dealer, endpoint: str, now_ns: int) -> None:
        """Watch one more connection."""
        peer = self._peers.get(dealer.peer)
        if peer is not None:
            peer.dealers.append(dealer)
            return
        gauge = gauge_of(self._counters, dealer.peer, "standing")
        peer = self._peers[dealer.peer] = _Peer(dealer.peer, dealer, endpoint, now_ns, gauge)
        self._show(peer)

    def remove(self, name: str) -> None:
        """Watch a peer no longer."""
        peer = self._peers.pop(name, None)
        if peer is not None:
            peer.probe.close()

    def judge(self, name: str, now_ns: int) -> None:
        """The state of a connection to a peer has changed."""
        peer = self._peers.get(name)
        if peer is None:
            return  # the host has hung up when it was called back
        dealers = peer.dealers
        up = any(dealer.up for dealer in dealers) and not any(dealer.lost for dealer in dealers)
        if up != peer.liveness.linked:
            change = peer.liveness.link(now_ns, up)
            peer.probe.close()
            self._tell(peer, change)
            self._moved(name, up)
        elif not up:
            peer.liveness.dropped(now_ns)

    def look(self, now_ns: int) -> int:
        """See to all peers; the time of the next look.

        To be called after what had come from them was read.
        """
        due_ns = now_ns + WATCH_NS
        found: list[tuple[_Peer, PeerChange | None]] = []
        for peer in self._peers.values():
            dealers, liveness = peer.dealers, peer.liveness
            owing = accepted = heard = False
            for dealer in dealers:
                if dealer.heard:
                    dealer.heard, heard = False, True
                if dealer.monitor.accepted and not dealer.up:
                    dealer.monitor.accepted, accepted = False, True
                if not owing:
                    owing = any(stream.live for stream in dealer.streams.values())
            if heard:
                found.append((peer, liveness.heard(now_ns)))
            if accepted:
                found.append((peer, liveness.taken(now_ns)))
            found += [(peer, self._probe(peer, now_ns)), (peer, liveness.look(now_ns, owing))]
            if liveness.wants_beat(now_ns):
                self._beat(peer, now_ns)
            due_at_ns = liveness.due_ns
            if due_at_ns:
                due_ns = min(due_ns, max(due_at_ns, now_ns + BUSY_WATCH_NS // 10))
            if owing or liveness.standing is not Standing.UP:
                due_ns = min(due_ns, now_ns + BUSY_WATCH_NS)
        for peer, change in found:  # last, as the host may dial and hang up when it is told
            self._tell(peer, change)
        self._tally.write()
        return due_ns

    def take_beat(self, dealer: Dealer, frame: bytes, now_ns: int) -> bool:
        """Whether a frame from a peer is the answer to a beat."""
        if len(frame) != BEAT.size or frame[:2] != TELL:
            return False
        peer = self._peers[dealer.peer]
        peer.beat_ns = max(now_ns - BEAT.unpack(frame)[1], 0)
        return True

    def states(self, pending: dict[str, int]) -> dict[str, PeerState]:
        """How each peer is; `pending`: messages held for it."""
        return {
            name: PeerState(
                name,
                peer.liveness.linked,
                peer.liveness.linked_ns,
                pending.get(name, 0),
                peer.liveness.standing.name,
                peer.liveness.cause,
                peer.liveness.since_ns,
                peer.beat_ns,
            )
            for name, peer in self._peers.items()
        }

    def names(self) -> Iterable[str]:
        """Of all peers."""
        return self._peers

    def close(self) -> None:
        """Forget all."""
        for peer in self._peers.values():
            peer.probe.close()
        self._peers.clear()

    def _probe(self, peer: _Peer, now_ns: int) -> PeerChange | None:
        """Find out why a peer is not linked, where it is time to."""
        found = peer.probe.result(now_ns)
        if found is None and not peer.probe.under_way and peer.liveness.wants_look(now_ns):
            peer.liveness.looking(now_ns)
            found = peer.probe.begin(now_ns)
        return None if found is None else peer.liveness.found(now_ns, found)

    def _beat(self, peer: _Peer, now_ns: int) -> None:
        # The urgent lane where there is one: what waits there is read first.
        dealer = min((each for each in peer.dealers if each.up), key=_rank, default=None)
        if dealer is None:
            return
        self._touched.add(dealer.socket)
        try:
            dealer.send(BEAT.pack(ASK, now_ns), NOBLOCK)
        except zmq.ZMQError:
            pass  # so full that nothing more is taken: the peer reads nothing, and is slow all the same
        else:
            self.beats += 1
        peer.liveness.asked(now_ns)

    def _tell(self, peer: _Peer, change: PeerChange | None) -> None:
        if change is None:
            return
        if change.after is not change.before:
            if change.after is Standing.SLOW:
                self.peers_slow += 1
            elif change.after is Standing.STOPPED:
                self.peers_stopped += 1
            elif change.after is Standing.DOWN:
                self.peers_down += 1
            self._show(peer)
        self._changed(change)

    def _show(self, peer: _Peer) -> None:
        if self._counters is not None and peer.gauge >= 0:
            self._counters.set(peer.gauge, int(peer.liveness.standing))


def _rank(dealer: Dealer) -> int:
    return dealer.rank
