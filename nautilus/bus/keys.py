"""Keys of processes: a file for each pair, and the list of the public ones that are let in.

::

    <keys>/NAME.key        the pair of one process (0600), on the host where it runs
    <keys>/allowed.json    name, public key, grants, when made and revoked; on every host, nothing in it is secret

Both are JSON, written whole or not at all. A name has one key that is not revoked; what was revoked stays in the list,
so that it is known as that.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import zmq
from zmq.utils import z85

from nautilus.model.errors import ConfigError

SUFFIX: Final = ".key"
ALLOWED: Final = "allowed.json"
LOCK: Final = ".lock"
VERSION: Final = 1
KEY_CHARACTERS: Final = 40
MOST_BYTES: Final = 4 << 20
"""Of a file; a larger one is refused unread."""
NAME: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
GRANT: Final = re.compile(r"(publish|send|read):[a-z0-9_.*-]{1,100}")
_LETTERS: Final = frozenset("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#")


class KeyFileError(ConfigError):
    """A file of keys cannot be used, or a key cannot be added to one."""

    code = "config.keys"


class UnknownKeyError(KeyFileError):
    """There is no key of that name."""

    code = "config.unknown_key"


class Keys(NamedTuple):
    """A pair of CURVE keys as Z85 text."""

    public: str
    secret: str


class KeyFile(msgspec.Struct, frozen=True):
    """What a key file holds."""

    public: str
    secret: str
    name: str = ""
    created_ns: int = 0


class AllowedKey(msgspec.Struct, frozen=True):
    """One line of the list.

    Parameters
    ----------
    name
        Of the process; all that its connections are known by.
    public
        Z85 text.
    grants
        What it may do (`nautilus.bus.grants`), as ``publish:TOPIC``, ``send:WHAT``, ``read:TOPIC``.
    created_ns, revoked_ns
        On the machine's clock; `revoked_ns` 0: it is not.
    """

    name: str
    public: str
    grants: tuple[str, ...] = ()
    created_ns: int = 0
    revoked_ns: int = 0


class AllowedFile(msgspec.Struct, frozen=True):
    """The whole list as it is written."""

    version: int
    keys: tuple[AllowedKey, ...]


class AllowList:
    """The keys of a list, by what is asked for; it never changes: `read_allowed` makes a new one."""

    def __init__(self, keys: Iterable[AllowedKey] = ()) -> None:
        self.keys = tuple(keys)
        self.by_public: Mapping[str, AllowedKey] = {key.public: key for key in self.keys}
        self.by_name: Mapping[str, AllowedKey] = {key.name: key for key in self.keys if not key.revoked_ns}
        """Only what is not revoked."""


def is_key(text: str) -> bool:
    """Whether a text can be a CURVE key."""
    return len(text) == KEY_CHARACTERS and _LETTERS.issuperset(text)


def new_keys() -> Keys:
    """A new pair."""
    public, secret = zmq.curve_keypair()
    return Keys(public.decode(), secret.decode())


def key_bytes(text: str) -> bytes:
    """A key as its 32 bytes."""
    return bytes(z85.decode(text.encode()))


def key_place(directory: str | Path, name: str) -> Path:
    """The file of a process's pair."""
    return Path(directory, name + SUFFIX)


def read_keys(place: str | Path) -> Keys:
    """The pair in a file. KeyFileError names the file, and what was expected of it."""
    place = Path(place)
    content = _read(place, private=True)
    try:
        found = msgspec.json.decode(content, type=KeyFile)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise KeyFileError(f"no pair of keys: {error}", where=str(place), expected="the file as it was made") from None
    if not is_key(found.secret) or not is_key(found.public):
        raise KeyFileError(
            "no pair of keys", where=str(place), expected=f"public and secret of {KEY_CHARACTERS} Z85 characters each"
        )
    if _public_of(found.secret) != found.public:
        raise KeyFileError("the keys are not of one pair", where=str(place), expected="the file as it was made")
    return Keys(found.public, found.secret)


def make_keys(place: str | Path, name: str = "", created_ns: int = 0) -> Keys:
    """A new pair in a new file (0600); KeyFileError where there is one."""
    place = Path(place)
    keys = new_keys()
    content = msgspec.json.encode(KeyFile(keys.public, keys.secret, name, created_ns))
    draft = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        _write(draft, content)
        os.link(draft, place)  # unlike a rename it never takes the place of another pair
    except FileExistsError:
        raise KeyFileError(
            "there is a pair already", where=str(place), expected="another name, or none there"
        ) from None
    except OSError as error:
        raise KeyFileError(f"cannot be written: {error.strerror}", where=str(place)) from None
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()
    _sync(place.parent)
    return keys


def read_allowed(directory: str | Path) -> AllowList:
    """The list in a directory of keys; an empty one where there is none. KeyFileError where it cannot be used."""
    place = Path(directory, ALLOWED)
    if not place.exists():
        return AllowList()
    try:
        found = msgspec.json.decode(_read(place, private=False), type=AllowedFile)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise KeyFileError(f"no list of keys: {error}", where=str(place), expected="the file as it was made") from None
    if found.version != VERSION:
        raise KeyFileError(f"list of version {found.version}", where=str(place), expected=f"version {VERSION}")
    names: set[str] = set()
    publics: set[str] = set()
    for key in found.keys:
        _check(key, str(place))
        if key.public in publics or (not key.revoked_ns and key.name in names):
            raise KeyFileError(f"{key.name} is there twice", where=str(place), expected="one key of each name")
        publics.add(key.public)
        if not key.revoked_ns:
            names.add(key.name)
    return AllowList(found.keys)


def allow(directory: str | Path, key: AllowedKey) -> None:
    """Add a key to the list. KeyFileError where the name has one, or the key is known."""
    _check(key, str(Path(directory, ALLOWED)))
    with _changing(directory) as known:
        _check_new(key, known, directory)
        _write_allowed(directory, (*known.keys, key))


def new_process(directory: str | Path, name: str, grants: Sequence[str], created_ns: int) -> AllowedKey:
    """A new pair for a process, its public key in the list. KeyFileError where the name has one."""
    place = key_place(directory, name)
    draft = AllowedKey(name, "0" * KEY_CHARACTERS, tuple(grants), created_ns)
    _check(draft, str(Path(directory, ALLOWED)))
    with _changing(directory) as known:
        _check_new(draft, known, directory)
        made = msgspec.structs.replace(draft, public=make_keys(place, name, created_ns).public)
        _write_allowed(directory, (*known.keys, made))
    return made


def revoke(directory: str | Path, name: str, revoked_ns: int) -> AllowedKey:
    """Mark the key of a name as revoked, and remove its pair where that is here. UnknownKeyError where it has none."""
    with _changing(directory) as known:
        key = known.by_name.get(name)
        if key is None:
            raise UnknownKeyError(
                f"no key of {name!r}",
                where=str(Path(directory, ALLOWED)),
                expected=f"one of {', '.join(sorted(known.by_name)) or 'those that `nautilus keys new` makes'}",
            )
        revoked = msgspec.structs.replace(key, revoked_ns=max(revoked_ns, 1))
        _write_allowed(directory, tuple(revoked if each is key else each for each in known.keys))
        place = key_place(directory, name)
        with contextlib.suppress(KeyFileError, OSError):
            if read_keys(place).public == key.public:
                place.unlink()
    return revoked


def _check(key: AllowedKey, where: str) -> None:
    if not NAME.fullmatch(key.name):
        raise KeyFileError(
            f"name {key.name!r}", where=where, expected="a small letter or digit, then such, _, . or -; 64 at most"
        )
    if not is_key(key.public):
        raise KeyFileError(
            f"public key {key.public!r} of {key.name}", where=where, expected=f"{KEY_CHARACTERS} Z85 characters"
        )
    for grant in key.grants:
        if not GRANT.fullmatch(grant):
            raise KeyFileError(
                f"grant {grant!r} of {key.name}", where=where, expected="publish:TOPIC, send:WHAT or read:TOPIC"
            )


def _check_new(key: AllowedKey, known: AllowList, directory: str | Path) -> None:
    where = str(Path(directory, ALLOWED))
    if key.name in known.by_name:
        raise KeyFileError(
            f"{key.name} has a key", where=where, expected=f"another name, or `nautilus keys revoke {key.name}` first"
        )
    if key.public in known.by_public:
        raise KeyFileError(
            f"the key of {key.name} is that of {known.by_public[key.public].name}",
            where=where,
            expected="a key of its own",
        )


def _public_of(secret: str) -> str:
    try:
        return zmq.curve_public(secret.encode()).decode()
    except (zmq.ZMQError, ValueError):
        return ""


def _read(place: Path, *, private: bool) -> bytes:
    """The content of a file of keys; one that others may read or write is refused where it is secret."""
    try:
        with open(os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode) or found.st_size > MOST_BYTES:
                raise KeyFileError("no file of keys", where=str(place), expected=f"at most {MOST_BYTES} bytes")
            if private and (found.st_mode & 0o077 or found.st_uid not in (os.geteuid(), 0)):
                raise KeyFileError(
                    f"open to others (mode {found.st_mode & 0o777:o}, user {found.st_uid})",
                    where=str(place),
                    expected="mode 600, and this user's",
                )
            if not private and found.st_mode & 0o022:
                raise KeyFileError(
                    f"others may write it (mode {found.st_mode & 0o777:o})",
                    where=str(place),
                    expected="mode 600 or 644",
                )
            return file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise KeyFileError("not there", where=str(place), expected="a file of `nautilus keys new`") from None
    except OSError as error:
        raise KeyFileError(f"cannot be read: {error.strerror}", where=str(place)) from None


@contextlib.contextmanager
def _changing(directory: str | Path) -> Iterator[AllowList]:
    """The list, which nobody else changes meanwhile."""
    place = Path(directory)
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(place / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise KeyFileError(
            f"cannot be had: {error.strerror}", where=str(place), expected="a directory of keys"
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield read_allowed(place)
    finally:
        os.close(descriptor)


def _write_allowed(directory: str | Path, keys: tuple[AllowedKey, ...]) -> None:
    place = Path(directory, ALLOWED)
    draft = place.with_name(f".{ALLOWED}.{os.getpid()}")
    content = msgspec.json.format(msgspec.json.encode(AllowedFile(VERSION, keys)), indent=1) + b"\n"
    try:
        _write(draft, content)
        os.replace(draft, place)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise KeyFileError(f"cannot be written: {error.strerror}", where=str(place)) from None
    _sync(place.parent)


def _write(place: Path, content: bytes) -> None:
    with contextlib.suppress(FileNotFoundError):
        place.unlink()
    with open(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
