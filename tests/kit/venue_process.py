"""Core, venue session and venue as processes of their own: `python -m tests.kit.venue_process ROLE DIRECTORY NUMBER`.

The core runs on shared memory with its journal and event log, the session holds a slot of it and a socket to the venue,
the venue is `SeededVenue` behind that socket. Each can be killed at any time and started again; the venue lives on,
as what it knows is the measure. NUMBER: the epoch of a core, the seed of a venue, whose instruments may follow.
"""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from nautilus.adapters.lines import LinesAdapter
from nautilus.core.clock import now_ns
from nautilus.model.venue import VenueLostError, VenuePlace
from nautilus.trading.client import CoreClient
from nautilus.trading.venue_session import VENUE_SOURCES, VenueSession
from tests.kit import core
from tests.kit.venue import CALM, MS, Message, SeededVenue

BEAT_NS = 10 * MS
TURN_NS = 2 * MS


class Lines:
    """JSON objects, one a line, over a socket that never blocks for long."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self._rest = b""

    def send(self, message: Message) -> None:
        """VenueLostError where it cannot be sent whole."""
        data = json.dumps(message).encode() + b"\n"
        try:
            while data:
                try:
                    data = data[self.sock.send(data) :]
                except BlockingIOError:
                    select.select([], [self.sock], [], 1)
        except OSError as error:
            raise VenueLostError(str(error)) from None

    def receive(self, wait_ns: int) -> list[Message]:
        """What came; VenueLostError at its end."""
        if wait_ns:
            select.select([self.sock], [], [], wait_ns / 1e9)
        parts = [self._rest]
        try:
            while part := self.sock.recv(1 << 20):
                parts.append(part)
            raise VenueLostError("the venue closed the line")
        except BlockingIOError:
            pass
        except OSError as error:
            raise VenueLostError(str(error)) from None
        *lines, self._rest = b"".join(parts).split(b"\n")
        return [json.loads(line) for line in lines]

    def close(self) -> None:
        """No more."""
        self.sock.close()


def run_session(directory: Path) -> None:
    """Until killed."""
    client = CoreClient(
        str(directory / "shared"), "venue0", source_id=VENUE_SOURCES | 9, log=str(directory / "data" / "events")
    )
    place = VenuePlace(9, f"ipc://{directory / 'venue'}", missing_ns=100 * MS)
    session = VenueSession(LinesAdapter(place), client, (1, 2), patience_ns=300 * MS, ask_every_ns=100 * MS)
    while True:
        session.step(4 * MS)


def run_core(directory: Path, epoch: int) -> None:
    """Until told to stop."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    with core.running(directory, epoch=epoch):
        signal.sigwait({signal.SIGTERM})


class VenueServer:
    """`SeededVenue` behind a socket: one session, and any number of lines of tests."""

    def __init__(self, path: Path, seed: int, instruments: Sequence[int] = (1, 2)) -> None:
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen()
        self._venue = SeededVenue(seed, instruments=instruments)
        self._session: Lines | None = None
        self._others: list[Lines] = []  # until they have said what they are
        self._beat_ns = self._turn_ns = 0

    def run(self) -> None:
        """Until killed."""
        while True:
            lines = [*self._others, *([self._session] if self._session is not None else [])]
            ready, _, _ = select.select([self._server, *(each.sock for each in lines)], [], [], 0.002)
            if self._server in ready:
                self._others.append(Lines(self._server.accept()[0]))
            for each in lines:
                if each.sock in ready:
                    self._read(each)
            self._market()

    def _read(self, lines: Lines) -> None:
        try:
            for message in lines.receive(0):
                self._take(lines, message)
                if lines.sock.fileno() < 0:
                    return
        except VenueLostError:
            self._drop(lines)

    def _take(self, lines: Lines, message: Message) -> None:
        if message["do"] == "session":
            if self._session is not None:
                self._session.close()
            self._others.remove(lines)
            self._session = lines
            self._venue.begin()
            lines.send({"say": "session", "session": self._venue.session})
        elif message["do"] == "calm":
            self._venue.faults = CALM  # and no more trading
        elif message["do"] == "cut":
            if self._session is not None:
                self._drop(self._session)
        elif message["do"] == "truth":
            venue = self._venue
            lines.send(
                {
                    "positions": [[*key, lots] for key, lots in venue.positions().items()],
                    "working": venue.working(),
                    "submits": venue.submits,
                    "queries": venue.queries,
                    "sessions": venue.session,
                    "cuts": venue.cuts,
                    "executions": len(venue.executions),
                }
            )
        elif not self._venue.request(now_ns(), message):
            self._drop(lines)

    def _drop(self, lines: Lines) -> None:
        lines.close()
        if lines is self._session:
            self._session = None
        elif lines in self._others:
            self._others.remove(lines)

    def _market(self) -> None:
        now = now_ns()
        if now - self._turn_ns > TURN_NS and self._venue.faults is not CALM:
            self._turn_ns = now
            self._venue.turn(now)
        if self._session is None:
            return
        messages = self._venue.due(now)
        if now - self._beat_ns > BEAT_NS:
            self._beat_ns = now
            messages.append(self._venue.heartbeat())
        try:
            for message in messages:
                self._session.send(message)
        except VenueLostError:
            self._drop(self._session)


def main(role: str, directory: Path, number: int, *instruments: int) -> None:
    """One of the three."""
    logging.basicConfig(filename=directory / f"{role}.log", level=logging.INFO)
    if role == "core":
        run_core(directory, number)
    elif role == "session":
        run_session(directory)
    else:
        VenueServer(directory / "venue", number, instruments or (1, 2)).run()


if __name__ == "__main__":
    os.setpgrp()
    main(sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:]))
