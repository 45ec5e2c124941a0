"""Who writes a catalog, and who is reading it: locks on files, which end with their process."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from nautilus.store.catalog_errors import CatalogBusyError
from nautilus.store.catalog_log import DIRECTORY, no_room, sync_directory

LOCK: Final = "writer.lock"
READERS: Final = "readers.lock"


@contextmanager
def reading(root: Path) -> Iterator[None]:
    """While it is entered, no file that was listed is deleted."""
    try:
        descriptor = os.open(root / READERS, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError:
        yield  # a directory that nobody writes to: nothing is deleted in it
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def unread(root: Path) -> Iterator[bool]:
    """Whether nobody is reading; while it is entered nobody begins to."""
    descriptor = os.open(root / READERS, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def writer_pid(root: Path) -> int:
    """Process that writes a catalog; 0: none does."""
    try:
        descriptor = os.open(root / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return 0
    except BlockingIOError:
        text = os.read(descriptor, 32).decode("ascii", "replace").strip()
        return int(text) if text.isdigit() else -1
    finally:
        os.close(descriptor)


def take_lock(root: Path) -> int:
    try:
        root.mkdir(parents=True, exist_ok=True)
        (root / DIRECTORY).mkdir(exist_ok=True)
        descriptor = os.open(root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise no_room(error, root) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
        with suppress(OSError):  # a full disk: the lock holds without its owner's name
            os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        sync_directory(root)
    except BlockingIOError:
        owner = writer_pid(root)
        os.close(descriptor)
        raise CatalogBusyError(
            f"process {owner} writes this catalog" if owner > 0 else "another process writes this catalog",
            where=str(root),
            expected="one writer",
        ) from None
    except OSError as error:
        os.close(descriptor)
        raise no_room(error, root) from None
    return descriptor
