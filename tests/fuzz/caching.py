"""Arbitrary bytes as what requests and answers say of caches, and as keys of answers that are kept."""

from __future__ import annotations

from functools import cache

from nautilus.core.response_cache import OUTDATED, STORED, Answers
from nautilus.gateway.cache import key_of
from nautilus.policy.caching import CacheRules, Lifetime, lifetime_of, matches, values_of, vary_of, wish_of
from tests.fuzz.reader import Reader

NAMES = (
    b"cache-control", b"age", b"date", b"expires", b"vary", b"set-cookie", b"pragma", b"if-none-match", b"range",
    b"authorization", b"accept",
)  # fmt: skip
RULES = CacheRules(stale_seconds=1.0, error_seconds=2.0)
KIB = 64


def fields(data: bytes) -> None:
    """Whatever is said, a lifetime is none below nothing, and what forbids is obeyed."""
    reader = Reader(data)
    status, authorised = reader.choose((200, 404, 410, 500)), bool(reader.number(1) & 1)
    found = []
    while reader.left:
        found.append((reader.choose(NAMES), reader.take(reader.number(1))))
    lifetime = lifetime_of(status, found, RULES, seconds=reader.choose((0.0, 3.0)), authorised=authorised)
    if isinstance(lifetime, Lifetime):
        assert min(lifetime) >= 0
        assert status != 500
        for value in (value.lower() for name, value in found if name == b"cache-control"):
            names = {part.partition(b"=")[0].strip(b" \t") for part in value.split(b",")}
            assert b'"' in value or not names & {b"private", b"no-cache"}
    wish = wish_of(found)
    assert wish.max_age_ns >= -1
    names = vary_of(found)
    if names is not None:
        assert len(values_of(names, found)) == len(names)
    assert not matches(wish.none_match, b"")


@cache
def _answers() -> Answers:
    return Answers(kib=KIB)


def keys(data: bytes) -> None:
    """Answers under keys of any bytes: what is found is what was kept last under just this key."""
    reader, answers = Reader(data), _answers()
    engines = [answers.engine(name) for name in ("risk", "ml")]
    kept: dict[bytes, bytes] = {}
    while reader.left:
        at = reader.number(1) & 1
        path = reader.take(reader.number(1) or reader.number(2) % 3000)
        key = key_of(("risk", "ml")[at], reader.choose((b"", b"read")), path)
        if key is None or not key:
            continue
        if reader.number(1) % 8 == 0:
            prefix = path[: reader.number(1)]
            answers.forget(engines[at], prefix)
            assert not answers.valid(engines[at], answers.number(engines[at]) - 1, prefix + b"x")
            continue
        value = reader.take(reader.number(1)) * (1 + reader.number(1))
        status = answers.put(key, min(len(path), len(key)), value, engines[at], answers.number(engines[at]), 1, 2)
        assert status not in (OUTDATED,)
        if status == STORED:
            kept[key] = value
            found = answers.get(key)
            assert found is not None
            assert found.value == value
    for key, value in kept.items():
        found = answers.get(key)
        assert found is None or found.value == value


def examples() -> list[bytes]:
    """Sound ones."""
    said = b'max-age=10, private="x", stale-if-error=5'
    return [b"\0\0\0" + bytes([len(said)]) + said + b"\4\6accept", b"\0\x03/a?\1\5hello" * 8]
