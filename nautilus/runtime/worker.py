"""The worker process: runs jobs that a host hands it, one at a time, until the host is gone.

Arguments and results are plain values, tuples, numpy arrays and messages, as msgpack: nothing is unpickled. A job is
known by its name, so it is a function of a module, or of a strategy's file.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import signal
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from nautilus.model.errors import ModelError, NautilusError
from nautilus.model.message import Message
from nautilus.runtime.kernelcalls import signal_at_parent_end
from nautilus.runtime.undefined import told
from nautilus.runtime.wire import from_wire, to_wire

LENGTH = struct.Struct("<Q")
"""Before each frame on the socket."""
MOST_BYTES = 1 << 28
"""Of what comes of a job: a host has to have room for it several times."""
OOM_SCORE = 500
"""Where memory runs out a worker is killed before any engine: its job fails alone."""
_ARRAY, _MESSAGE, _TUPLE = 1, 2, 3
_PLAIN = (bool, int, float, str, bytes)


def pack(value: Any) -> bytes:
    """A value as bytes.

    Raises
    ------
    ModelError
        It holds something that does not go to another process.
    """
    try:
        return msgspec.msgpack.encode(_marked(value))
    except (TypeError, OverflowError, ValueError) as error:
        raise ModelError(
            str(error), where="a job", expected="plain values, tuples, arrays of plain records, or messages"
        ) from None


def unpack(data: bytes) -> Any:
    """What `pack` was given."""
    return msgspec.msgpack.decode(data, ext_hook=_unmarked)


def name_of(job: Callable[..., Any]) -> tuple[str, str, str]:
    """Module, name and file of a job.

    Raises
    ------
    ModelError
        A worker could not find it: a method, a closure, a lambda.
    """
    module, name = getattr(job, "__module__", None), getattr(job, "__qualname__", "")
    if not module or not name or "<" in name or getattr(job, "__self__", None) not in (None, sys.modules.get(module)):
        raise ModelError(f"job {job!r}", expected="a function of a module")
    return module, name, str(getattr(sys.modules.get(module), "__file__", None) or "")


def find(module: str, name: str, path: str) -> Callable[..., Any]:
    """The job of that name."""
    if module not in sys.modules:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError:
            spec = importlib.util.spec_from_file_location(module, path) if Path(path).is_file() else None
            if spec is None or spec.loader is None:
                raise
            loaded = sys.modules[module] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(loaded)
    found: Any = sys.modules[module]
    for part in name.split("."):
        found = getattr(found, part)
    job: Callable[..., Any] = found
    return job


def serve(connection: socket.socket) -> None:
    """Say that it is there, then run each job of the socket and answer it."""
    connection.sendall(LENGTH.pack(0))
    stream = connection.makefile("rb")
    while head := stream.read(LENGTH.size):
        try:
            job, arguments = unpack(stream.read(LENGTH.unpack(head)[0]))
            answer = pack((True, find(*job)(*arguments)))
            if len(answer) > MOST_BYTES:
                raise ModelError(f"{len(answer)} bytes came of a job", expected=f"at most {MOST_BYTES}")
        except Exception as error:
            answer = pack((False, _described(error)))
        connection.sendall(LENGTH.pack(len(answer)) + answer)


def warm(names: tuple[tuple[str, str, str], ...]) -> None:
    """Call each of these functions: what they load or compile is here from now on."""
    for name in names:
        find(*name)()


def _described(error: Exception) -> dict[str, str]:
    """What the host is told of an exception: with a code of its own, where it has one."""
    found = told(error)
    if isinstance(found, NautilusError):
        return found.as_dict()
    return {"code": "", "what": f"{type(error).__name__}: {error}"}


def _marked(value: Any) -> Any:
    """The same, with what msgpack does not tell apart as extensions."""
    kind = type(value)
    if kind is list:
        return [_marked(item) for item in value]
    if kind is dict:
        return {key: _marked(item) for key, item in value.items()}
    if kind is tuple:
        return msgspec.msgpack.Ext(_TUPLE, msgspec.msgpack.encode([_marked(item) for item in value]))
    if isinstance(value, np.ndarray):
        file = io.BytesIO()
        np.lib.format.write_array(file, value, allow_pickle=False)
        return msgspec.msgpack.Ext(_ARRAY, file.getvalue())
    if isinstance(value, Message):
        return msgspec.msgpack.Ext(_MESSAGE, to_wire(value))
    if isinstance(value, np.generic):
        return value.item()
    if value is not None and kind not in _PLAIN:
        raise TypeError(f"a {kind.__name__}")
    return value


def _unmarked(code: int, data: memoryview) -> Any:
    if code == _ARRAY:
        return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    if code == _MESSAGE:
        return from_wire(bytes(data))
    return tuple(unpack(bytes(data)))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the supervisor's affair
    signal_at_parent_end(signal.SIGKILL)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE), encoding="ascii")
    with contextlib.suppress(ConnectionError):  # the host is gone already
        serve(socket.socket(fileno=int(sys.argv[1])))
