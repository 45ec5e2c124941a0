"""Arbitrary bytes as questions to quotas, and as the file that keeps them."""

from __future__ import annotations

import gc
import struct
import tempfile
from functools import cache
from pathlib import Path

from nautilus.core.quotas import GO, Quotas
from tests.fuzz.files import _changed
from tests.fuzz.reader import Reader
from tests.kit.naive_quotas import LONGEST_BLOCK_NS, NaiveQuota

START_NS = 1_700_000_000 * 10**9
DAY_NS = 86_400 * 10**9
STEPS_NS = (0, 0, 1, 10**6, 10**8, 10**9, 6 * 10**10, 36 * 10**11, -(10**9), -(36 * 10**11), DAY_NS)
MOST = (0, 1, 2, 7, 8, 120, 1_000_000)


def answers(data: bytes) -> None:
    """Quotas of changing limits under a clock that goes back too: what the twin says."""
    reader = Reader(data)
    table = Quotas(4)
    quotas, twins = [table.quota(name) for name in "ab"], [NaiveQuota(), NaiveQuota()]
    now_ns = START_NS
    limits = [(reader.choose(MOST), reader.choose(MOST), reader.choose(MOST)) for _ in twins]
    per_day = reader.choose((0, 3, 40))
    while reader.left:
        what, step = reader.number(1), reader.number(1)
        now_ns += STEPS_NS[step % len(STEPS_NS)]
        which, day = what & 1, (now_ns - START_NS) // DAY_NS + 5
        quota, twin = quotas[which], twins[which]
        if what < 0xC0:
            assert quota.look(now_ns, *limits[which], per_day, max(0, day)) == twin.look(
                now_ns, limits[which], per_day, max(0, day)
            )
            found = quota.take(now_ns, *limits[which], per_day, max(0, day))
            assert found == twin.take(now_ns, limits[which], per_day, max(0, day))
            assert found[0] == GO or found[1] <= LONGEST_BLOCK_NS
        elif what < 0xE0:
            until_ns = now_ns + STEPS_NS[step % len(STEPS_NS)] * (1 + what % 40)
            quota.block(until_ns, now_ns)
            twin.block(until_ns, now_ns)
        elif what < 0xF0:
            limits[which] = (reader.choose(MOST), reader.choose(MOST), reader.choose(MOST))
        else:
            quota.look(reader.wide(), *limits[which], per_day, 0)
        for shown in range(max(0, day - 2), max(0, day) + 2):
            assert quota.taken(shown) == twin.taken(shown)
    assert table.names() == ["a", "b"]


@cache
def _place() -> Path:
    return Path(tempfile.mkdtemp(prefix="nautilus-fuzz-"))


@cache
def _sound() -> bytes:
    path = _place() / "sound"
    table = Quotas(3, path)
    for name in "ab":
        for _ in range(5):
            table.quota(name).take(START_NS, 5, 0, 0, 9, 5)
    table.sync()
    del table
    gc.collect()  # nobody is left who holds it: a living process by chance would be waited for
    return path.read_bytes()


def file(data: bytes) -> None:
    """A table's file with changes: it is refused, or its quotas answer, and there is room or there is not."""
    reader = Reader(data)
    content = bytearray(_sound())
    for _ in range(1 + reader.number(1) % 6):
        if reader.number(1) & 1:
            struct.pack_into("<Q", content, reader.number(2) % (len(content) - 8) & ~7, reader.wide() % (1 << 64))
        else:
            at = reader.number(2) % len(content)
            part = reader.take(1 + reader.number(1) % 8)[: len(content) - at]
            content[at : at + len(part)] = part
    if reader.number(1) & 7 == 0:
        _changed(reader, content)
    path = _place() / "table"
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    table = Quotas(3, path)
    assert all(isinstance(name, str) for name in table.names())
    table.sweep()
    for name in ("a", "b", "c"):
        quota = table.quota(name)
        quota.look(START_NS, 5, 1, 2, 9, 5)
        quota.take(START_NS, 5, 1, 2, 9, 5)
        assert quota.taken(5) <= 0xFFFFFFFF
    table.sync()
