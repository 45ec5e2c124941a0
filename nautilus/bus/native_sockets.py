"""Gives the core the functions of libzmq, and receives and sends frames of the star through them.

Where pyzmq has another backend than its own compiled one, the library's functions are not found beside it; then the
same is done call by call through pyzmq. Results are the same, only slower.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import zmq

from nautilus.bus.ring import RingWriter
from nautilus.core import zmq_calls
from nautilus.core.last_values import LastValueWriter
from nautilus.core.star_frames import FrameJudge
from nautilus.core.star_writer import FrameWriter

NOBLOCK = int(zmq.NOBLOCK)


def error_of(code: int) -> zmq.ZMQError:
    """The exception that pyzmq raises for an errno."""
    if code == zmq.EAGAIN:
        return zmq.Again(code)
    return zmq.ContextTerminated(code) if code == zmq.ETERM else zmq.ZMQError(code)


def addresses() -> dict[str, int]:
    """The functions of the library that pyzmq has loaded, by name; empty where they are not found."""
    try:
        from zmq.backend.cython import _zmq

        library = ctypes.CDLL(_zmq.__file__)
        found = {name: ctypes.cast(getattr(library, name), ctypes.c_void_p).value for name in zmq_calls.NAMES}
    except (ImportError, OSError, AttributeError):
        return {}
    return {name: address for name, address in found.items() if address}


def native() -> bool:
    """Whether the core can call libzmq; it is tried once."""
    if not zmq_calls.filled():
        found = addresses()
        if len(found) < len(zmq_calls.NAMES):
            return False
        zmq_calls.fill(found, error_of)
    return True


NATIVE = native()
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # of glibc's mallopt


def keep_memory(spare_bytes: int = 64 << 20) -> bool:
    """Let this process keep what it frees, up to so many bytes, instead of giving the pages back at once.

    The buffers of frames come and go by the megabyte: each page that was given back is cleared by the system and
    faulted in again. False: the C library is none that can be told so.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    told = [mallopt(_TRIM_THRESHOLD, spare_bytes), mallopt(_TOP_PAD, spare_bytes // 4)]
    told.append(mallopt(_MMAP_THRESHOLD, min(spare_bytes, 32 << 20)))
    return all(told)


def receive(
    judge: FrameJudge, socket: zmq.Socket[bytes], out: list[Any], limit: int, *, wait: bool = False
) -> tuple[int, bytes | None]:
    """Take frames that are next in their streams, at most `limit` of them (`FrameJudge.drain`).

    Returns
    -------
    taken, other : how many, and the frame at which it ended, that the caller is to judge; None: the socket is empty,
        or the limit was reached.
    """
    if NATIVE:
        return judge.drain(socket, out, limit, wait), judge.other
    return receive_by_calls(judge, socket, out, limit, wait=wait)


def receive_by_calls(
    judge: FrameJudge, socket: zmq.Socket[bytes], out: list[Any], limit: int, *, wait: bool = False
) -> tuple[int, bytes | None]:
    """`receive`, through pyzmq."""
    for number in range(limit):
        try:
            frame = socket.recv(0 if wait and not number else NOBLOCK)
        except zmq.Again:
            return number, None
        if not judge.take(frame, out):
            return number, frame
    return limit, None


def sender(
    writer: FrameWriter, ring: RingWriter | None = None, values: LastValueWriter | None = None
) -> Callable[..., int]:
    """What numbers records, keeps their frames and sends them, called as `FrameWriter.publish`.

    Where it can be, that itself.
    """
    if not NATIVE:
        return partial(publish_by_calls, writer, ring=ring, values=values)
    writer.keep_in(ring.writer if ring is not None else None, values)
    return writer.publish


def publish_by_calls(
    writer: FrameWriter,
    socket: zmq.Socket[bytes],
    records: np.ndarray,
    schema: int,
    now_ns: int,
    most: int = 0,
    flags: int = 0,
    *,
    ring: RingWriter | None = None,
    values: LastValueWriter | None = None,
) -> int:
    """`FrameWriter.publish`, through pyzmq."""
    frames = writer.pack(records, schema, now_ns, most, flags)
    for frame in frames:
        if ring is not None:
            ring.write(frame)
        if values is not None:
            values.put_frame(frame)
        socket.send(frame, NOBLOCK)
    return len(frames)


__all__ = ["NATIVE", "keep_memory", "native", "publish_by_calls", "receive", "receive_by_calls", "sender"]
