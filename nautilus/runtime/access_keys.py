"""The files of access: the instance's secret, and the list of API keys, which processes read again as it changes.

::

    <data>/access/secret       43 random characters (0600), made when first needed; or the file of access.secret
    <data>/access/keys.json    the list (0600), written whole or not at all; or in the directory of access.keys
    <data>/access/signed       empty; its time is that until which signed requests may have been let in
    <shared>/throttle          nonces and rates, of all processes of the instance

See `nautilus.policy.keys` for what of a key's secret is in the list.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from nautilus.core.throttle import Throttle
from nautilus.model.errors import ConfigError
from nautilus.policy.keys import (
    ApiKey,
    Derived,
    KeyRing,
    KeyRuleError,
    WeakKeyError,
    new_key,
    read_list,
    sealed,
    write_list,
)
from nautilus.runtime.files import write_atomically

DIRECTORY = "access"
SECRET, LIST, LOCK, SIGNED = "secret", "keys.json", ".lock", "signed"
LEASE_NS = 1_000_000_000
MOST_BYTES = 4 << 20
LOOK_NS = 250_000_000
"""A change of the list is seen by running processes within this time."""
ID_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
ID_LENGTH = 16

_LOGGER = logging.getLogger("nautilus.runtime")


class AccessKeyError(ConfigError):
    """A key, or the list of keys, cannot be used."""

    code = "config.access_keys"


class UnknownAccessKeyError(AccessKeyError):
    """There is no key of that name or id."""

    code = "config.unknown_key"


class WeakSecretError(ConfigError):
    """A secret that can be guessed."""

    code = "config.secret"


class FileModeError(ConfigError):
    """A file with a secret is open to others."""

    code = "config.file_mode"


def private_bytes(place: Path, what: str, kind: type[ConfigError] = AccessKeyError) -> bytes:
    """The content of a file that only this user may read; FileModeError, or `kind`, where it cannot be used."""
    try:
        with open(os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode) or found.st_size > MOST_BYTES:
                raise kind(f"{what}: no plain file", where=str(place))
            if found.st_mode & 0o077 or found.st_uid not in (os.geteuid(), 0):
                raise FileModeError(
                    f"{what} is open to others (mode {found.st_mode & 0o777:o}, user {found.st_uid})",
                    where=str(place),
                    expected="mode 600, and this user's",
                )
            return file.read()
    except FileNotFoundError:
        raise kind(f"{what} is not there", where=str(place), expected="a file") from None
    except OSError as error:
        raise kind(f"{what} cannot be read: {error.strerror}", where=str(place)) from None


class AccessKeys:
    """The list of API keys in a directory, for its commands: `new`, `revoke`, `read`.

    Parameters
    ----------
    directory
        Of the list.
    secret
        File of the instance's secret; None: `secret` beside the list, made where it is missing.
    """

    def __init__(self, directory: Path, secret: Path | None = None) -> None:
        self.directory = directory
        self.place = directory / LIST
        self._secret = secret

    def derived(self, *, make: bool = False) -> Derived:
        """The keys of the instance's secret; WeakSecretError names the file of one that can be guessed."""
        place = self._secret or self.directory / SECRET
        if make and self._secret is None and not place.exists():
            with _changing(self.directory):
                if not place.exists():
                    write_atomically(place, secrets.token_urlsafe(32).encode(), durable=True)
        content = private_bytes(place, "the secret of access").strip()
        with _told(place):
            return Derived.of(content)

    def read(self, derived: Derived) -> tuple[ApiKey, ...]:
        """The keys; none where there is no list."""
        if not self.place.exists():
            return ()
        content = private_bytes(self.place, "the list of keys")
        with _told(self.place):
            return read_list(content, derived)

    def new(
        self,
        name: str,
        scopes: tuple[str, ...],
        created_ns: int,
        *,
        expires_ns: int = 0,
        rate: float = 0.0,
        burst: int = 0,
        secret: str = "",
    ) -> tuple[ApiKey, str]:
        """A new key, and its secret, which is nowhere else: a random one, or the one given."""
        derived = self.derived(make=True)
        drawn = secret or secrets.token_urlsafe(32)
        with _changing(self.directory):
            known = self.read(derived)
            for key in known:
                if key.name == name and not key.revoked_ns and not 0 < key.expires_ns <= created_ns:
                    raise AccessKeyError(
                        f"{name} has a key",
                        where=str(self.place),
                        expected=f"another name, or `nautilus keys api revoke {name}` first",
                    )
            id = "".join(secrets.choice(ID_LETTERS) for _ in range(ID_LENGTH))
            with _told(self.place):
                made = new_key(
                    name,
                    scopes,
                    created_ns,
                    derived,
                    id=id,
                    secret=drawn,
                    expires_ns=expires_ns,
                    rate=rate,
                    burst=burst,
                )
            write_atomically(self.place, write_list((*known, made)), durable=True)
        return made, drawn

    def revoke(self, which: str, revoked_ns: int) -> ApiKey:
        """Let the key of a name or id in no more; UnknownAccessKeyError where there is none."""
        derived = self.derived()
        with _changing(self.directory):
            known = self.read(derived)
            for at, key in enumerate(known):
                if which in (key.id, key.name) and not key.revoked_ns:
                    gone = sealed(msgspec.structs.replace(key, revoked_ns=max(revoked_ns, 1)), derived)
                    write_atomically(self.place, write_list((*known[:at], gone, *known[at + 1 :])), durable=True)
                    return gone
        names = sorted(key.name for key in known if not key.revoked_ns)
        raise UnknownAccessKeyError(
            f"no key of {which!r}",
            where=str(self.place),
            expected=f"one of {', '.join(names) or 'those that `nautilus keys api new` makes'}",
        )


class LiveKeys:
    """The keys that may be used now, of a list that may change at any time.

    A list that cannot be used lets nobody in, and says so once; what was good before it is not used any more, as a key
    may be revoked in what cannot be read.

    Parameters
    ----------
    open_throttle
        Has the throttle, once there is a key.
    rate, burst
        Of keys that have none of their own.
    """

    def __init__(
        self, files: AccessKeys, open_throttle: Callable[[], Throttle], *, rate: float = 0.0, burst: int = 1
    ) -> None:
        self.throttle: Throttle | None = None
        self.failed = ""
        """Why the list cannot be used; "": it can."""
        self.sessions = b""
        """What session tokens are made with."""
        self._files = files
        self._lease = Lease(files.directory / SIGNED)
        self.hold = self._lease.hold
        self._open_throttle = open_throttle
        self._rate, self._burst = rate, burst
        self._looked_ns = -1
        self._version: tuple[int, ...] = ()
        self._ring = KeyRing()

    def ring(self, now_ns: int) -> KeyRing:
        """The keys, as the list was `LOOK_NS` ago at the earliest."""
        if self._looked_ns < 0 or not 0 <= now_ns - self._looked_ns < LOOK_NS:
            self._looked_ns = now_ns
            self._look()
        return self._ring

    def _look(self) -> None:
        try:
            found = os.stat(self._files.place)
            version: tuple[int, ...] = (found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size)
        except OSError:
            version = (0,)
        if version == self._version:
            return
        self._version, self._ring = version, KeyRing()
        if version == (0,):
            return
        try:
            derived = self._files.derived()
            ring = KeyRing(self._files.read(derived), derived, rate=self._rate, burst=self._burst)
            if ring.by_id and self.throttle is None:
                self._lease.make()
                self.throttle = self._open_throttle()
            self.sessions, self._ring = derived.sessions, ring
        except (ConfigError, OSError, ValueError) as error:
            if str(error) != self.failed:
                _LOGGER.error("no API key is let in: %s", error)
            self.failed = str(error)
            self._version = ()  # what is mended may be the secret beside the list
        else:
            self.failed = ""


class Lease:
    """Until when signed requests may have been let in, as the time of a file: said before one is, for a second ahead.

    The throttle lies in shared memory and goes with the instance. One that is made soon afterwards must not let in
    again what the one before has had: so it takes no time stamp up to the end of this, and a window behind.
    """

    def __init__(self, place: Path) -> None:
        self._place = place
        self._until_ns = 0

    def make(self) -> None:
        """Have the file."""
        if self._place.exists():
            return
        # It comes with its time: one that another process makes and holds meanwhile is not put back.
        made = self._place.with_name(f".{self._place.name}.{os.getpid()}")
        os.close(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        os.utime(made, ns=(0, 0))
        with contextlib.suppress(FileExistsError):
            os.link(made, self._place)
        made.unlink()

    def hold(self, now_ns: int) -> None:
        """One is let in now."""
        if now_ns + LEASE_NS // 2 > self._until_ns:
            self.make()
            until_ns = max(now_ns + LEASE_NS, self.until_ns())  # of another, or of before the clock was set back
            os.utime(self._place, ns=(until_ns, until_ns))
            self._until_ns = until_ns

    def until_ns(self) -> int:
        """The end; 0: none was ever let in."""
        try:
            return self._place.stat().st_mtime_ns
        except FileNotFoundError:
            return 0


@contextlib.contextmanager
def _changing(directory: Path) -> Iterator[None]:
    """Nobody else changes the list meanwhile."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise AccessKeyError(f"cannot be had: {error.strerror}", where=str(directory)) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _told(place: Path) -> Iterator[None]:
    """A fault of policy as an error that names the file."""
    try:
        yield
    except WeakKeyError as fault:
        raise WeakSecretError(fault.what, where=str(place), expected=fault.expected) from None
    except KeyRuleError as fault:
        raise AccessKeyError(fault.what, where=str(place), expected=fault.expected) from None
