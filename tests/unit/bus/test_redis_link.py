"""A connection to a Redis server: when it is made anew."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest

from nautilus.bus.redis_link import RETRY_LIMIT_NS, RETRY_NS, RedisLink


@pytest.fixture
def link(tmp_path: Path) -> Iterator[RedisLink]:
    with ExitStack() as stack:
        listening = stack.enter_context(socket.socket(socket.AF_UNIX))
        listening.bind(str(tmp_path / "redis"))
        listening.listen(64)
        made = RedisLink(f"unix://{tmp_path}/redis")
        stack.callback(made.close)
        made.tick(1)
        assert (made.open, made.generation) == (True, 1)
        yield made


def test_one_that_breaks_is_made_anew_at_once(link: RedisLink) -> None:
    link.lose("closed by the server")
    link.tick(2)
    assert link.generation == 2


def test_a_server_that_refuses_is_asked_again_ever_more_slowly(link: RedisLink) -> None:
    made = []
    for now_ns in range(2, 10 * RETRY_LIMIT_NS, RETRY_NS // 10):
        before = link.generation
        link.tick(now_ns)
        if link.generation != before:
            made.append(now_ns)
            link.lose("LOADING", refused=True)
        elif link.open:
            link.lose("LOADING", refused=True)
    waits = [later - earlier for earlier, later in pairwise(made)]
    assert waits == sorted(waits)
    assert waits[0] >= RETRY_NS
    assert waits[-1] >= RETRY_LIMIT_NS
    link.tick(20 * RETRY_LIMIT_NS)
    link.lose("closed by the server")
    link.tick(20 * RETRY_LIMIT_NS + 1)
    assert link.open, "it stood: the next one is not waited for"
