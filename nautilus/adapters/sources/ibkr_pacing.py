"""The pace of history at Interactive Brokers, kept for all processes that use one TWS, and over a restart.

The rules count back ten minutes over single requests, which words of rates cannot tell; what was asked lies in a file
of 60 entries. Who asks holds its lock for the time of reading and writing; of who dies with it the system takes it.
"""

from __future__ import annotations

import fcntl
import os
import struct
from hashlib import blake2b
from pathlib import Path

from nautilus.adapters.sources.ibkr_contracts import Pacing
from nautilus.model.errors import ConfigError

ENTRY = struct.Struct("<qqQ")
"""When it left (nanoseconds since the epoch), the contract's number, a digest of the request."""


class SharedPacing:
    """When history may be asked for, of all processes together.

    Parameters
    ----------
    directory
        Where it is kept; None: in this process alone.
    place
        Of the TWS, ``host:port``: each has a pace of its own.

    Raises
    ------
    ConfigError
        The file cannot be made.
    """

    def __init__(self, directory: Path | None, place: str) -> None:
        self._own = Pacing()
        self._file = -1
        if directory is None:
            return
        path = directory / f"ibkr_history_{blake2b(place.encode(), digest_size=4).hexdigest()}"
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError(f"cannot be used: {error}", where=str(path), expected="what was asked") from None

    def take(self, now_ns: int, contract: int, request: object) -> int:
        """One request: 0, it may leave now and is counted; else the nanoseconds until it is worth asking again."""
        mark = int.from_bytes(blake2b(repr(request).encode(), digest_size=8).digest(), "little")
        if self._file < 0:
            return _taken(self._own, now_ns, contract, mark)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            kept = os.pread(self._file, Pacing.MOST * ENTRY.size, 0)
            whole = kept[: len(kept) // ENTRY.size * ENTRY.size]
            # What lies ahead is from before the clock was set back, and counts as of now.
            known = sorted((min(at, now_ns), *rest) for at, *rest in ENTRY.iter_unpack(whole) if at > 0)
            pacing = Pacing()
            for at, *rest in known:
                pacing.note(at, *rest)
            wait_ns = _taken(pacing, now_ns, contract, mark)
            if not wait_ns:
                known.append((now_ns, contract, mark))
                os.pwrite(self._file, b"".join(ENTRY.pack(*each) for each in known[-Pacing.MOST :]), 0)
            return wait_ns
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give back the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _taken(pacing: Pacing, now_ns: int, contract: int, mark: int) -> int:
    wait_ns = pacing.wait_ns(now_ns, contract, mark)
    if not wait_ns:
        pacing.note(now_ns, contract, mark)
    return wait_ns


__all__ = ["SharedPacing"]
