"""Which hub of this host is the hub: a record on disk, and a lock for each epoch that its holder's death lets go.

::

    hub.json           the highest epoch, and who has it
    hub-EPOCH.lock     held by the hub of that epoch for as long as its process lives, also while it is stopped
    hub.claim          held while one becomes the hub

A claim raises the epoch. Whoever finds a higher one than its own in the record is the hub no more. That the lock of the
record's epoch can be had means that its holder is dead, and nothing else does: not silence, not a stopped process.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from nautilus.model.errors import InternalError

RECORD: Final = "hub.json"
CLAIM: Final = "hub.claim"


class HubRecord(msgspec.Struct, frozen=True):
    """The hub of the highest epoch; epoch 0: there was none yet; without a name: it has ended as it should."""

    epoch: int = 0
    name: str = ""


class HubFence:
    """The record in a directory, and this process's lock where it is the hub."""

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        self._held, self._held_epoch = -1, 0
        self._stamp: tuple[int, int] | None = None
        self._known = HubRecord()

    def read(self) -> HubRecord:
        """The record as it is now; InternalError where it is damaged."""
        place = self.directory / RECORD
        try:
            found = place.stat()
            stamp = (found.st_mtime_ns, found.st_ino)
            if stamp != self._stamp:
                self._known = msgspec.json.decode(place.read_bytes(), type=HubRecord)
                self._stamp = stamp
        except FileNotFoundError:
            return HubRecord()
        except msgspec.DecodeError as error:
            raise InternalError(
                f"cannot be read: {error}", where=str(place), expected="the highest epoch of a hub"
            ) from None
        return self._known

    def claim(self, epoch: int, name: str) -> int:
        """Become the hub with this epoch, or a higher one than the record has; returns it."""
        with self._claiming():
            epoch = max(epoch, self.read().epoch + 1)
            self._take(epoch, name)
        return epoch

    def claim_of_dead(self, epoch: int, name: str) -> int:
        """Become the hub if the one of the record is dead; the epoch, or 0: it lives, or somebody else was quicker."""
        with self._claiming():
            known = self.read()
            if known.epoch and self.alive(known.epoch):
                return 0
            epoch = max(epoch, known.epoch + 1)
            self._take(epoch, name)
        return epoch

    def alive(self, epoch: int) -> bool:
        """Whether the process that has this epoch still lives."""
        try:
            descriptor = os.open(self._lock_of(epoch), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def retire(self) -> None:
        """Note that the hub of this epoch ended as it should: nobody takes its place by itself."""
        with self._claiming():
            known = self.read()
            if self._held >= 0 and self._held_epoch == known.epoch:
                self._write(HubRecord(known.epoch))

    def close(self) -> None:
        """Let the lock go: this process is the hub no more."""
        if self._held >= 0:
            os.close(self._held)
            self._held = -1

    def _take(self, epoch: int, name: str) -> None:
        lock = os.open(self._lock_of(epoch), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._write(HubRecord(epoch, name))
        except BaseException:
            os.close(lock)
            raise
        self.close()
        self._held, self._held_epoch = lock, epoch
        for old in self.directory.glob("hub-*.lock"):
            number = old.stem.removeprefix("hub-")
            # Of the dead alone: what a living process holds is how others know that it lives.
            if number.isdigit() and int(number) != epoch and not self.alive(int(number)):
                with contextlib.suppress(OSError):
                    old.unlink()

    def _write(self, record: HubRecord) -> None:
        draft = self.directory / f".{RECORD}.{os.getpid()}"
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(msgspec.json.encode(record))
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, self.directory / RECORD)

    def _lock_of(self, epoch: int) -> Path:
        return self.directory / f"hub-{epoch}.lock"

    @contextlib.contextmanager
    def _claiming(self) -> Iterator[None]:
        descriptor = os.open(self.directory / CLAIM, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
