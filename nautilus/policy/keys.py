"""API keys: what a key may do, and what is kept of its secret.

::

    secret (43 characters, its owner's alone)
      ├─ digest   = BLAKE2b(secret, key = bearer key)             kept: says whether a secret that is shown is right
      └─ signing  = HMAC-SHA256(key = secret, "nautilus.signing") what its owner signs with
           └─ sealed = signing XOR BLAKE2b(id, key = sealing key) kept: who checks a signature needs what made it

The bearer key, the sealing key and two more are derived from the instance's own secret, which lies in another file
than the list. So the list alone tells nothing and lets nobody in, and each of its lines has a seal: who can write the
list but does not know the instance's secret can neither add a key nor give one more scopes. Who has both can sign as
any key, as with every signature whose two sides share a secret, but still knows no secret that could be shown as a
bearer's.
"""

from __future__ import annotations

import hmac
import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from hashlib import blake2b, sha256
from typing import Final, NamedTuple

import msgspec

from nautilus.core.signature import SigningKey

READ: Final = "read"
TRADE: Final = "trade"
ADMIN: Final = "admin"
SCOPES: Final = (READ, TRADE, ADMIN)
"""Each holds those before it."""
VERSION: Final = 1
SECRET_BYTES: Final = 32
LEAST_SECRET: Final = 32
"""Characters of a secret that was made elsewhere."""
MOST_SECRET: Final = 4096
LEAST_BITS: Final = 80.0
"""What the letters of a secret have to tell at least, by how often each comes."""
LEAST_RATE: Final = 1 / 3600
RATES: Final = "1 an hour to 1,000,000 a second"
NAME: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
PRINCIPAL: Final = "[A-Za-z0-9][A-Za-z0-9_.@=, -]{0,99}"
"""Who was let in, as the gateway tells engines: a key's name, or that of a client's certificate."""
ID: Final = re.compile(r"[a-z0-9]{4,32}")
BEARER: Final = "nk_"
SIGNING: Final = b"nautilus.signing"
_KNOWN_WORDS: Final = ("changeme", "password", "secret", "default", "somethingrandom", "example", "12345678", "qwerty")


class KeyRuleError(ValueError):
    """A key, or the list of keys, cannot be used: what was found, and what was expected."""

    def __init__(self, what: str, expected: str = "") -> None:
        super().__init__(f"{what}; expected {expected}" if expected else what)
        self.what = what
        self.expected = expected


class WeakKeyError(KeyRuleError):
    """A secret that can be guessed."""


class Lease(NamedTuple):
    """By what somebody was let in who stays: the key of that id, and where it is a session the end of that; 0: none."""

    key: str
    ends_ns: int = 0


class Principal(NamedTuple):
    """Who asks.

    Attributes
    ----------
    key : id of the API key that was shown, or signed with; "": another way was taken.
    lease : of a key or a session; None: what was shown does not end.
    """

    name: str
    scopes: frozenset[str]
    key: str = ""
    lease: Lease | None = None


ANONYMOUS: Final = Principal("anonymous", frozenset())
INSTANCE: Final = Principal("instance", frozenset(SCOPES))
"""Who shows the token of the instance: its command line, and its own processes."""


class ApiKey(msgspec.Struct, frozen=True):
    """One line of the list.

    Parameters
    ----------
    id
        Public; what a request names the key by.
    name
        Of its owner, in the audit log.
    scopes
        Of `SCOPES`; each holds those before it.
    created_ns, expires_ns, revoked_ns
        On the machine's clock; 0: never.
    rate, burst
        Requests a second, and at once; rate 0: those of the configuration.
    digest, sealed, seal
        See the module, as hexadecimal text.
    """

    id: str
    name: str
    scopes: tuple[str, ...]
    created_ns: int
    expires_ns: int = 0
    revoked_ns: int = 0
    rate: float = 0.0
    burst: int = 0
    digest: str = ""
    sealed: str = ""
    seal: str = ""


class KeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole list as it is written."""

    version: int
    keys: tuple[ApiKey, ...]


class Derived(NamedTuple):
    """What the instance's secret is used for: a key for each purpose."""

    bearer: bytes
    sealing: bytes
    lines: bytes
    sessions: bytes

    @classmethod
    def of(cls, secret: bytes) -> Derived:
        """The keys of a secret; WeakKeyError for one that can be guessed."""
        check_secret(secret)
        names = (b"bearer", b"sealing", b"lines", b"sessions")
        root = blake2b(secret, digest_size=32, person=b"nautilus.access").digest()
        return cls(*(blake2b(name, key=root, digest_size=32).digest() for name in names))


class KnownKey(NamedTuple):
    """A key that may be used, as a request is checked by it."""

    principal: Principal
    number: int
    """Names it in the shared throttle; not 0."""
    digest: bytes
    expires_ns: int
    interval_ns: int
    """Between two requests; 0: as many as it likes."""
    burst: int
    bearer: bytes
    checks: SigningKey
    """The last one, where `Verifier` looks for it."""

    def is_secret(self, secret: bytes) -> bool:
        """Whether this is the secret of the key, in constant time."""
        return hmac.compare_digest(blake2b(secret, key=self.bearer, digest_size=32).digest(), self.digest)


class KeyRing:
    """The keys of a list that may be used, by id; it never changes: a new list makes a new one."""

    def __init__(self, keys: Iterable[ApiKey] = (), derived: Derived | None = None, *, rate: float = 0, burst: int = 1):
        self.keys = tuple(keys)
        self.by_id: dict[str, KnownKey] = {}
        if derived is None:
            return
        for key in self.keys:
            if not key.revoked_ns:
                self.by_id[key.id] = _known(key, derived, rate, burst)


def widened(scopes: Iterable[str]) -> frozenset[str]:
    """Scopes with those that they hold."""
    found = [SCOPES.index(scope) for scope in scopes]
    return frozenset(SCOPES[: max(found) + 1]) if found else frozenset()


def new_key(
    name: str,
    scopes: Iterable[str],
    created_ns: int,
    derived: Derived,
    *,
    id: str,
    secret: str,
    expires_ns: int = 0,
    rate: float = 0.0,
    burst: int = 0,
) -> ApiKey:
    """A key of a secret that was drawn by the caller; KeyRuleError where it cannot be one."""
    check_secret(secret.encode())
    if name in (ANONYMOUS.name, INSTANCE.name):
        raise KeyRuleError(f"a key named {name}", expected="a name that stands for nobody else in the audit log")
    if expires_ns >= 1 << 63:
        raise KeyRuleError(f"key {name!r}: its end", expected="one before the year 2262")
    key = ApiKey(
        id,
        name,
        tuple(scope for scope in SCOPES if scope in set(scopes)) or (READ,),
        created_ns,
        expires_ns,
        0,
        rate,
        burst,
        bearer_digest(secret, derived).hex(),
        _sealed(id, signing_key(secret), derived).hex(),
    )
    check_key(key)
    unknown = set(scopes) - set(SCOPES)
    if unknown:
        raise KeyRuleError(f"scope {min(unknown)!r} of {name}", expected=f"one of {', '.join(SCOPES)}")
    return sealed(key, derived)


def sealed(key: ApiKey, derived: Derived) -> ApiKey:
    """A key with the seal of what it says."""
    return msgspec.structs.replace(key, seal=_seal(key, derived))


def signing_key(secret: str) -> bytes:
    """What the owner of a secret signs with."""
    return hmac.digest(secret.encode(), SIGNING, sha256)


def bearer_digest(secret: str, derived: Derived) -> bytes:
    """What is kept of a secret that is shown."""
    return blake2b(secret.encode(), key=derived.bearer, digest_size=32).digest()


def read_list(content: bytes, derived: Derived) -> tuple[ApiKey, ...]:
    """The keys of a file. KeyRuleError where it is none, or a line is not as it was written."""
    try:
        found = msgspec.json.decode(content, type=KeyFile)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # What is wrong could be a part of the content, so it is not told.
        raise KeyRuleError("no list of keys", expected="the file as it was made") from None
    if found.version != VERSION:
        raise KeyRuleError(f"list of version {found.version}", expected=f"version {VERSION}")
    ids: set[str] = set()
    for key in found.keys:
        check_key(key)
        if key.id in ids:
            raise KeyRuleError(f"key {key.id} is there twice", expected="each once")
        ids.add(key.id)
        if not hmac.compare_digest(_seal(key, derived).encode(), key.seal.encode()):
            raise KeyRuleError(
                f"the line of key {key.id} was changed",
                expected="the file as it was made, and the secret that it was made with",
            )
    return found.keys


def write_list(keys: Iterable[ApiKey]) -> bytes:
    """The content of a file."""
    return msgspec.json.format(msgspec.json.encode(KeyFile(VERSION, tuple(keys))), indent=1) + b"\n"


def check_key(key: ApiKey) -> None:
    """KeyRuleError where a key has what none can have."""
    wrong = ""
    if not ID.fullmatch(key.id):
        wrong = "its id, expected 4 to 32 of a-z and 0-9"
    elif not NAME.fullmatch(key.name):
        wrong = "its name, expected a small letter or digit, then such, _, . or -; 64 at most"
    elif not key.scopes or not set(key.scopes) <= set(SCOPES):
        wrong = f"its scopes, expected one or more of {', '.join(SCOPES)}"
    elif not (0 <= key.rate <= 1e6 and 0 <= key.burst <= 1_000_000) or (0 < key.rate < LEAST_RATE):
        wrong = f"its rate, expected 0, or {RATES}"
    elif min(key.created_ns, key.expires_ns, key.revoked_ns) < 0:
        wrong = "its times, expected 0 or more"
    elif not all(re.fullmatch("[0-9a-f]{64}", text) for text in (key.digest, key.sealed)):
        wrong = "what is kept of its secret"
    if wrong:
        raise KeyRuleError(f"key {key.id[:40]!r}: {wrong}")


def check_secret(secret: bytes) -> None:
    """WeakKeyError where a secret is short, one that is known, or has few different letters; or longer than any is."""
    if len(secret) > MOST_SECRET:
        raise WeakKeyError(f"a secret of {len(secret)} characters", expected=f"{MOST_SECRET} at most")
    text = secret.decode("latin-1").strip().lower()
    expected = f"{LEAST_SECRET} random characters or more, such as `openssl rand -base64 32` prints"
    if len(secret) < LEAST_SECRET:
        raise WeakKeyError(f"a secret of {len(secret)} characters", expected=expected)
    plain = re.sub("[^a-z0-9]", "", text)
    rest = plain
    for word in _KNOWN_WORDS:
        rest = rest.replace(word, "")
    if len(rest) < len(plain) and len(rest) < LEAST_SECRET // 2:
        raise WeakKeyError("a secret made of words that everybody tries", expected=expected)
    if secret_bits(secret) < LEAST_BITS:
        raise WeakKeyError("a secret that repeats itself", expected=expected)


def secret_bits(secret: bytes) -> float:
    """What the letters of a secret tell: by how often each comes, or each after the one before, whichever is less."""
    steps = bytes((after - before) % 256 for before, after in itertools.pairwise(secret))
    half = len(secret) // 2
    if any(secret.startswith(secret[period:]) for period in range(1, half + 1)):
        return 0.0
    return min(_entropy(secret), _entropy(steps))


def _entropy(letters: bytes) -> float:
    counts: Mapping[int, int] = Counter(letters)
    size = len(letters)
    return sum(-count * math.log2(count / size) for count in counts.values())


def _sealed(id: str, signing: bytes, derived: Derived) -> bytes:
    """The signing key as it is kept, and back."""
    mask = blake2b(id.encode(), key=derived.sealing, digest_size=32).digest()
    return bytes(one ^ other for one, other in zip(signing, mask, strict=True))


def _seal(key: ApiKey, derived: Derived) -> str:
    said = msgspec.json.encode(msgspec.structs.replace(key, seal=""))
    return blake2b(said, key=derived.lines, digest_size=32).hexdigest()


def _known(key: ApiKey, derived: Derived, rate: float, burst: int) -> KnownKey:
    rate, burst = (key.rate, key.burst or max(1, math.ceil(key.rate))) if key.rate else (rate, burst)
    number = int.from_bytes(blake2b(key.id.encode(), digest_size=8).digest(), "little") or 1
    signing = _sealed(key.id, bytes.fromhex(key.sealed), derived)
    return KnownKey(
        Principal(key.name, widened(key.scopes), key.id, Lease(key.id)),
        number,
        bytes.fromhex(key.digest),
        key.expires_ns,
        round(1e9 / rate) if rate else 0,
        burst,
        derived.bearer,
        SigningKey(signing, number),
    )
