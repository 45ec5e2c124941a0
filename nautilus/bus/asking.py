"""Asks the replayer of the star one thing at a time, and waits for it: for tools, not for readers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
import zmq

from nautilus.bus.base import (
    ANSWER_STREAM,
    BY_KIND,
    HEADER,
    HEADER_BYTES,
    MAGIC,
    checked_endpoints,
    flags_of,
    new_socket,
)
from nautilus.bus.requests import Answer, Operation, Request, matches, pack_request, parse_answer
from nautilus.core.clock import now_ns
from nautilus.model.errors import BusError
from nautilus.model.records import Records
from nautilus.model.topics import Topic


class ReplayError(BusError):
    """The replayer has not what was asked for, or does not answer."""

    code = "bus.replay"


class ReplayTimeoutError(ReplayError, TimeoutError):
    """The replayer does not answer in time."""

    code = "bus.replay_timeout"


class Found(NamedTuple):
    """Records of one stream, as they were published.

    Attributes
    ----------
    sequence : of the first record.
    flags : see `nautilus.bus.base.FrameFlag`.
    """

    topic: Topic
    epoch: int
    stream: int
    sequence: int
    publish_ns: int
    flags: int
    records: Records


class ReplayClient:
    """A DEALER to the replayer; to be closed when done.

    Parameters
    ----------
    endpoint
        See `nautilus.bus.base.replay_endpoint`.
    timeout_seconds
        Without a frame for so long it is given up.
    """

    def __init__(self, context: zmq.Context[Any], endpoint: str, *, timeout_seconds: float = 5.0) -> None:
        self._timeout_ms = int(timeout_seconds * 1e3)
        self._number = now_ns() >> 8
        self._socket = new_socket(context, zmq.DEALER)
        try:
            self._socket.connect(checked_endpoints(endpoint)[0])
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> ReplayClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def replay(self, epoch: int, stream: int, first: int, last: int) -> Iterator[Found]:
        """Records `first` to `last` of a stream in an epoch, frame by frame, as far as they are anywhere.

        Raises
        ------
        ReplayError
            None of them is anywhere any more.
        ReplayTimeoutError
            No answer.
        """
        cursor, sent = first, 0
        while cursor <= last:
            answer = None
            for found in self._ask(Operation.REPLAY, epoch=epoch, stream=stream, first=cursor, last=last):
                if isinstance(found, Answer):
                    answer = found
                    break
                if (found.epoch, found.stream) == (epoch, stream):
                    sent += 1
                    yield found
            assert answer is not None
            if answer.last < cursor:
                break
            cursor = answer.last + 1
        if not sent:
            raise ReplayError(
                f"records {first:,} to {last:,}", where=f"stream {stream:x}", expected="newer ones: these are gone"
            )

    def images(self, streams: Sequence[int]) -> Iterator[Found]:
        """Images of streams, as of now."""
        wanted = tuple(streams)
        for found in self._ask(Operation.SNAPSHOT, streams=wanted):
            if isinstance(found, Answer):
                return
            # Before them may come what an earlier question was given up for.
            if matches(wanted, found.stream):
                yield found

    def end(self, epoch: int) -> Answer:
        """Where an epoch that is over ended, and which one followed; see `Operation.END`.

        Raises
        ------
        ReplayTimeoutError
            No answer.
        """
        answer = Answer(Operation.END, 0, epoch)
        for found in self._ask(Operation.END, epoch=epoch):
            if isinstance(found, Answer):
                answer = found
        return answer

    def _ask(self, operation: Operation, **fields: Any) -> Iterator[Found | Answer]:
        self._number += 1
        self._socket.send(pack_request(Request(operation, self._number, **fields)))
        while True:
            if not self._socket.poll(self._timeout_ms):
                raise ReplayTimeoutError("no answer", where="replayer", expected="an instance whose hub runs")
            frame = self._socket.recv()
            _, magic, schema, _, size, count, epoch, stream, sequence, publish_ns = HEADER.unpack_from(frame)
            if magic != MAGIC or len(frame) != HEADER_BYTES + size * count:
                continue
            if stream == ANSWER_STREAM:
                answer = parse_answer(frame)
                if answer is not None and answer.number == self._number:
                    yield answer
                    return
                continue
            layout = BY_KIND.get(schema)
            if layout is None or size < layout.record_size:
                continue
            records = np.ndarray((count,), layout.dtype, frame, HEADER_BYTES, (size,))
            yield Found(layout.topic, epoch, stream, sequence, publish_ns, flags_of(frame), records)


__all__ = ["Found", "ReplayClient", "ReplayError", "ReplayTimeoutError"]
