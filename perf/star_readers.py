"""Processes that read a star, or what stands beside it: `python -m perf.star_readers HOW BOARD OPTIONS`.

Each puts what has arrived on a board that it shares with the bench, and ends when that says so. Options are JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import zmq
from zmq.backend import zmq_poll

from nautilus.bus import Subscriber, make_context
from nautilus.bus.native_sockets import keep_memory, receive
from nautilus.core.clock import now_ns
from nautilus.core.star_frames import FrameJudge, StreamRow
from nautilus.core.types import QUOTE
from nautilus.model.topics import QUOTES
from perf.harness import check, settle_clock

READY, DELIVERED, STOP = range(3)
WORDS = 3
NAP_SECONDS = 0.0003
"""Between looks for throughput: to be woken for each frame would cost as much again."""
TIMEOUT_MS = 100
HEADER_BYTES = 64
MESSAGE = np.dtype([("instrument_id", "<u4"), ("reserved", "<u4"), ("update_id", "<u8"), ("body", "V176")])
"""The record of a message of 256 bytes: 64 are the header's."""
MESSAGE_KIND = 200
DTYPES = {1: QUOTE, MESSAGE_KIND: MESSAGE}
SUBJECT = "star"


class Board:
    """Words in a file that the bench and one reader share."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            np.zeros(WORDS, np.int64).tofile(path)
        self.words = np.memmap(path, np.int64, "r+", shape=(WORDS,))

    @property
    def results(self) -> Path:
        """Where a reader leaves its latencies."""
        return self.path.with_suffix(".latencies")


Reader = Callable[[Board, dict[str, Any]], None]


def subscribed(options: dict[str, Any], context: zmq.Context[Any] | None = None) -> zmq.Socket[bytes]:
    """A socket that reads everything of the star; the message that says so is its first."""
    socket = (context or zmq.Context(io_threads=1)).socket(zmq.SUB)
    socket.setsockopt(zmq.RCVHWM, 0)
    socket.setsockopt(zmq.RCVTIMEO, TIMEOUT_MS)
    if "server_key" in options:
        public, secret = zmq.curve_keypair()
        socket.curve_publickey, socket.curve_secretkey = public, secret
        socket.curve_serverkey = options["server_key"].encode()
    socket.setsockopt(zmq.SUBSCRIBE, bytes((options["kind"],)))
    socket.connect(options["endpoint"])
    return socket


def judge_of(options: dict[str, Any]) -> FrameJudge:
    """A judge that knows the streams of the bench from their beginning."""
    judge, kind = FrameJudge(), options["kind"]
    judge.enter(options["epoch"])
    for instrument in range(1, options["instruments"] + 1):
        row = StreamRow(kind << 32 | instrument, 1)
        row.describe(kind, 1, DTYPES[kind], kind)
        judge.watch(row)
    return judge


def read_into(board: Board, options: dict[str, Any]) -> None:
    """Frames straight into an array, every sequence checked; also the content where it is asked for."""
    socket, judge, kind = subscribed(options), judge_of(options), options["kind"]
    array = np.zeros(4096, DTYPES[kind])
    words, expected = board.words, 1
    words[READY] = 1
    while True:
        count = judge.drain_into(socket, array, kind, True)
        check(judge.other is None, "a frame that is not next")
        words[DELIVERED] = judge.delivered
        if options["content"]:
            wanted = np.arange(expected, expected + count, dtype=np.uint64)
            check(bool((array["update_id"][:count] == wanted).all()), "records that are not what was sent")
            expected += count
        if count == 0 and words[STOP]:
            return
        if count < len(array):
            time.sleep(NAP_SECONDS)


def read_subscriber(board: Board, options: dict[str, Any]) -> None:
    """The subscriber of the bus, as an engine has it."""
    subscriber = Subscriber(make_context(), options["endpoint"], [QUOTES], clock=now_ns, high_water=100_000)
    words = board.words
    words[READY] = 1
    while not words[STOP]:
        if not subscriber.socket.poll(TIMEOUT_MS):
            continue
        while subscriber.drain():
            words[DELIVERED] = subscriber.delivered
        time.sleep(NAP_SECONDS)
    check(subscriber.lost == subscriber.duplicates == subscriber.unknown == subscriber.malformed == 0, "records lost")
    known = sum(last - joined + 1 for joined, _, last in subscriber.positions().values())
    check(known == subscriber.delivered > 0, f"{subscriber.delivered:,} of {known:,} records delivered")


def read_plain(board: Board, options: dict[str, Any]) -> None:
    """Messages that nobody looks into."""
    socket, words, messages = subscribed(options), board.words, 0
    recv, records = socket.recv, options["records"]
    words[READY] = 1
    while not words[STOP]:
        if not socket.poll(TIMEOUT_MS):
            continue
        with suppress(zmq.Again):
            while True:
                for _ in range(64):
                    recv(zmq.NOBLOCK)
                    messages += 1
                words[DELIVERED] = messages * records
        words[DELIVERED] = messages * records
        time.sleep(NAP_SECONDS)


def read_redis(board: Board, options: dict[str, Any]) -> None:
    """Messages of Redis pub/sub; their latencies where they are asked for."""
    import redis

    listener = redis.Redis(unix_socket_path=options["redis"]).pubsub()  # type: ignore[no-untyped-call]
    listener.subscribe(SUBJECT)
    listener.get_message(timeout=60)
    words, times = board.words, []
    words[READY] = 1
    while True:
        message = listener.get_message(timeout=TIMEOUT_MS / 1000)
        if message is not None:
            times.append(now_ns() - due_of(message["data"]))
            words[DELIVERED] += options["records"]
        elif words[STOP]:
            break
    np.array(times, np.int64).tofile(board.results)


def read_streams(board: Board, options: dict[str, Any]) -> None:
    """Entries of a Redis stream."""
    import redis

    client, last = redis.Redis(unix_socket_path=options["redis"]), b"0"
    words = board.words
    words[READY] = 1
    while True:
        found: Any = client.xread({SUBJECT: last}, count=1_000, block=TIMEOUT_MS)
        if found:
            entries = found[SUBJECT.encode()][0] if isinstance(found, dict) else found[0][1]
            last = entries[-1][0]
            words[DELIVERED] += len(entries) * options["records"]
        elif words[STOP]:
            return


def read_nats(board: Board, options: dict[str, Any]) -> None:
    """Messages of a NATS server; their latencies where they are asked for."""
    import asyncio

    import nats

    words, times = board.words, []

    async def taken(message: Any) -> None:
        times.append(now_ns() - due_of(message.data))
        words[DELIVERED] += options["records"]

    async def listen() -> None:
        client = await nats.connect(options["nats"])
        await client.subscribe(SUBJECT, cb=taken, pending_msgs_limit=-1, pending_bytes_limit=-1)
        await client.flush()
        words[READY] = 1
        while not words[STOP]:
            await asyncio.sleep(0.01)
        await client.close()

    asyncio.run(listen())
    np.array(times, np.int64).tofile(board.results)


def due_of(message: bytes) -> int:
    """When the first record of a message was due."""
    return int.from_bytes(message[HEADER_BYTES : HEADER_BYTES + 8], "little")


def time_plain(board: Board, options: dict[str, Any]) -> None:
    """When each message is in Python's hands."""
    socket, times = subscribed(options), []
    recv, words = socket.recv, board.words
    words[READY] = 1
    while True:
        try:
            message = recv()
        except zmq.Again:
            if words[STOP]:
                break
            continue
        times.append(now_ns() - due_of(message))
    np.array(times, np.int64).tofile(board.results)


def time_handed(board: Board, options: dict[str, Any]) -> None:
    """When each frame is in Python's hands, through the judge."""
    socket, judge, words = subscribed(options), judge_of(options), board.words
    times, dues = [], []
    words[READY] = 1
    while True:
        out: list[Any] = []
        taken, other = receive(judge, socket, out, 64, wait=True)
        at_ns = now_ns()
        check(other is None, "a frame that is not next")
        times += [at_ns] * taken
        dues += [int(records["now_ns"][0]) for _, records in out]
        if not taken and words[STOP]:
            break
    (np.array(times, np.int64) - np.array(dues, np.int64)).tofile(board.results)


def time_collected(board: Board, options: dict[str, Any]) -> None:
    """When each record is in the reader's array."""
    socket, judge, words = subscribed(options), judge_of(options), board.words
    records, arrivals = np.zeros(options["most"], QUOTE), np.zeros(options["most"], np.int64)
    records["flags"], arrivals[:] = 1, 1  # their pages are there
    stored = 0
    words[READY] = 1
    while stored < len(records):
        count = judge.collect(socket, records[stored:], arrivals[stored:], options["kind"])
        check(judge.other is None, "a frame that is not next")
        stored += count
        if not count and words[STOP]:
            break
    (arrivals - records["now_ns"].astype(np.int64))[:stored].tofile(board.results)


def time_several(board: Board, options: dict[str, Any]) -> None:
    """As `time_collected`, for several subscribers of one process: one context, one thread, a place for each."""
    context: zmq.Context[Any] = zmq.Context(io_threads=1)
    sockets = [subscribed(options, context) for _ in range(options["subscribers"])]
    ends = [(socket, judge_of(options), np.zeros(options["most"], QUOTE)) for socket in sockets]
    nanos = np.ones((len(ends), options["most"]), np.int64)
    stored, items = [0] * len(ends), [(socket, zmq.POLLIN) for socket in sockets]
    board.words[READY] = 1
    while min(stored) < options["most"]:
        if not zmq_poll(items, TIMEOUT_MS) and board.words[STOP]:
            break
        # Those that are read late in a turn had their frames meanwhile, too.
        for number, (socket, judge, records) in enumerate(ends):
            begun = stored[number]
            count = judge.drain_into(socket, records[begun:], options["kind"])
            check(judge.other is None, "a frame that is not next")
            nanos[number, begun : begun + count] = now_ns()
            stored[number] = begun + count
    for number, (_, _, records) in enumerate(ends):
        nanos[number] -= records["now_ns"].astype(np.int64)
    np.concatenate([row[:count] for row, count in zip(nanos, stored, strict=True)]).tofile(board.results)


def time_shared(board: Board, options: dict[str, Any]) -> None:
    """One subscriber for several engines of a process: when each of them has the records, one after the other."""
    socket, judge = subscribed(options), judge_of(options)
    records, engines = np.zeros(options["most"], QUOTE), options["engines"]
    nanos = np.ones((engines, options["most"]), np.int64)
    stored = 0
    board.words[READY] = 1
    while stored < len(records):
        count = judge.drain_into(socket, records[stored:], options["kind"], True)
        check(judge.other is None, "a frame that is not next")
        for engine in range(engines):
            nanos[engine, stored : stored + count] = now_ns()
        stored += count
        if not count and board.words[STOP]:
            break
    nanos -= records["now_ns"].astype(np.int64)
    nanos[:, :stored].tofile(board.results)


READERS: dict[str, Reader] = {
    "into": read_into,
    "subscriber": read_subscriber,
    "plain": read_plain,
    "redis": read_redis,
    "streams": read_streams,
    "nats": read_nats,
    "time_plain": time_plain,
    "time_handed": time_handed,
    "time_collected": time_collected,
    "time_several": time_several,
    "time_shared": time_shared,
}


def main(how: str, path: str, options_text: str) -> None:
    """Read until the board says that it is enough."""
    options = json.loads(options_text)
    if options.get("core") is not None:
        os.sched_setaffinity(0, {options["core"]})
    if options.get("batch"):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    keep_memory()
    if options.get("settle"):
        settle_clock()
    READERS[how](Board(Path(path)), options)


if __name__ == "__main__":
    main(*sys.argv[1:])
