"""What looks into a Redis for what must not be there: it finds it in each place, and nothing where there is nothing."""

from __future__ import annotations

from pathlib import Path

from nautilus.bus.redis_carrier import names_of
from nautilus.core.clock import now_ns
from tests.kit.history_redis import Listener, judge_content, judge_keys, kept_in_streams, kept_on_disk
from tests.kit.redis_server import PATIENCE_NS, running_redis

BARRED, FREE = b"never", b"any"


def test_what_must_not_be_in_redis_is_found_wherever_it_is(tmp_path: Path) -> None:
    with running_redis(tmp_path / "r", "always") as server:
        listener = Listener(server)
        try:
            end_ns = now_ns() + PATIENCE_NS
            while b"PING" not in listener.seen:  # it listens
                assert server.answers()
                assert now_ns() < end_ns
            stream = names_of("a").critical
            server.call("XADD", stream, "*", "s", "b", "f", b"\0\xff frame of " + FREE)
            for place in (kept_in_streams(server, "a"), bytes(listener.seen), kept_on_disk(server)):
                assert judge_content("", place, BARRED) == []
            assert judge_keys("", server, ("a",)) == []
            server.call("XADD", stream, "*", "s", "b", "f", b"\0\xff frame of " + BARRED)
            server.call("SET", "other", "1")
            while BARRED not in listener.seen:
                assert server.answers()
                assert now_ns() < end_ns
            for place in (kept_in_streams(server, "a"), bytes(listener.seen), kept_on_disk(server)):
                assert FREE in place
                assert [each.kind for each in judge_content("", place, BARRED)] == ["barred"]
            assert [each.what for each in judge_keys("", server, ("a",))] == ["b'other'"]
        finally:
            listener.close()
