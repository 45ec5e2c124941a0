"""What tests of access need: keys without files, signed requests, and naive twins of the compiled parts."""

from __future__ import annotations

import itertools
import re

from nautilus.core.throttle import ACCEPTED, EARLY, LATE, REPLAYED, Throttle
from nautilus.policy.keys import Derived, KeyRing, new_key
from nautilus.policy.signing import signed_header
from nautilus.runtime.http.access import AccessRules

SECOND = 1_000_000_000
NOW_NS = 1_800_000_000 * SECOND
INSTANCE_SECRET = b"q8Lr2vXw5TzB1nMk7PdS9fGh3JcY6aEo0UiRtWxZ4s"
SECRETS = {
    "reader": "Zk3vQ9xN1bL7tR5wY2mH8cJ4fD6gS0pAeUiOqWzXlKj",
    "trader": "Hb6nT2yV9rM4kW7xC1zL5gF8dJ3sQ0aPeUiOwXlZvBq",
    "admin": "Xc1mB5vN8zL2kJ7hG4fD9sA3qW6eR0tYuIoPlZxCvMn",
    "slow": "Pl9oK2ijN7uhB4ygV1tfC6rdX3eszW8aqZmXnCbVlKj",
}
TOKEN = "token-of-this-test"
_SIGNATURE = re.compile(
    rb"(?:key=(?P<key>[a-z0-9]{4,32})|algorithm=(?P<algorithm>blake2b|hmac-sha256)|timestamp=(?P<timestamp>[1-9][0-9]{0,14})"
    rb"|nonce=(?P<nonce>[A-Za-z0-9._-]{8,64})|digest=(?P<digest>[0-9a-f]{64})|signature=(?P<signature>[0-9a-f]{64}))"
)
_FIELDS = ("key", "algorithm", "timestamp", "nonce", "digest", "signature")


class HeldKeys:
    """Keys as a process holds them, of no file."""

    def __init__(self, keys, derived, throttle):
        self.keys, self.derived, self.sessions, self.throttle = list(keys), derived, derived.sessions, throttle
        self.held: list[int] = []
        self._ring = KeyRing(self.keys, derived)

    def ring(self, now_ns):
        return self._ring

    def hold(self, now_ns):
        self.held.append(now_ns)

    def put(self, *keys):
        self.keys = list(keys)
        self._ring = KeyRing(self.keys, self.derived)


def held_keys(throttle=None) -> HeldKeys:
    """A key of each scope; `slow` may ask twice, and then once a second."""
    derived = Derived.of(INSTANCE_SECRET)
    scopes = {"reader": ("read",), "trader": ("trade",), "admin": ("admin",), "slow": ("trade",)}
    limits = {"slow": {"rate": 1.0, "burst": 2}}
    return HeldKeys(
        (
            new_key(name, scopes[name], NOW_NS, derived, id=f"{name}0", secret=secret, **limits.get(name, {}))
            for name, secret in SECRETS.items()
        ),
        derived,
        throttle or Throttle(nonces=1 << 12),
    )


def rules(keys=None, throttle=None, token=TOKEN, **more) -> AccessRules:
    """Rules with the keys above."""
    return AccessRules(token, keys=held_keys(throttle) if keys is None else keys, **more)


_numbers = itertools.count()


def signed(
    name="trader",
    method="POST",
    target=b"/orders",
    body=b"",
    *,
    stamp_ns=NOW_NS,
    nonce=None,
    algorithm="blake2b",
    **more,
) -> list[tuple[bytes, bytes]]:
    """The headers of a signed request; `more` changes or (None) leaves out some of them."""
    header = signed_header(
        f"{name}0",
        SECRETS[name],
        method,
        target,
        body,
        stamp_ns // 1_000_000,
        nonce or f"nonce-{next(_numbers):08}",
        algorithm=algorithm,
    )
    headers = {
        "host": "127.0.0.1:8000",
        "content-type": "application/json",
        "nautilus-signature": header,
        **({"content-length": str(len(body))} if body else {}),
        **{key.replace("_", "-"): value for key, value in more.items()},
    }
    return [(key.encode(), value.encode()) for key, value in headers.items() if value is not None]


def naive_signature(header: bytes, method: bytes, target: bytes):
    """Twin of `nautilus.core.signature.read_signature`."""
    parts, fields = re.split(rb", ?", header), {}
    for part in parts:
        match = _SIGNATURE.fullmatch(part)
        if match is None or match.lastgroup in fields:
            return None
        fields[match.lastgroup] = match[match.lastgroup]
    if set(fields) != set(_FIELDS) or b"\n" in method + target:
        return None
    message = b"\n".join((method, target, fields["digest"], fields["timestamp"], fields["nonce"]))
    return (
        fields["key"].decode(),
        int(fields["algorithm"] == b"hmac-sha256"),
        int(fields["timestamp"]),
        fields["nonce"],
        bytes.fromhex(fields["digest"].decode()),
        bytes.fromhex(fields["signature"].decode()),
        message,
    )


class NaiveThrottle:
    """Twin of `nautilus.core.throttle.Throttle`, of any size: it forgets nothing."""

    def __init__(self, window_ns=5 * SECOND, not_before_ns=0):
        self.window_ns, self.not_before_ns = window_ns, not_before_ns
        self.seen: set[tuple[int, bytes]] = set()
        self.newest = [0] * 4
        self.empty: dict[int, int] = {}

    def claim(self, key, nonce, stamp_ns, now_ns):
        if stamp_ns <= self.not_before_ns or now_ns - stamp_ns > self.window_ns:
            return LATE
        if stamp_ns - now_ns > self.window_ns:
            return EARLY
        generation = stamp_ns // self.window_ns
        if self.newest[generation % 4] > generation:
            return LATE
        self.newest[generation % 4] = generation
        if (key, nonce, generation) in self.seen:
            return REPLAYED
        self.seen.add((key, nonce, generation))
        return ACCEPTED

    def take(self, key, now_ns, interval_ns, burst):
        most = interval_ns * burst
        begins = min(max(self.empty.get(key, 0), now_ns), now_ns + most)
        if begins + interval_ns - now_ns > most:
            return -(begins + interval_ns - now_ns - most)
        self.empty[key] = begins + interval_ns
        return (most - (begins + interval_ns - now_ns)) // interval_ns
