"""Market data by HTTP, where neither ZeroMQ nor Redis brings any: in order, once, and what is gone is known."""

from __future__ import annotations

import http.client
import json
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from nautilus.bus.base import HEARTBEAT
from nautilus.bus.http_star import MOST_QUESTIONS, STAR_PATH, pack_frames, unpack_frames
from nautilus.bus.requests import Operation, Request, pack_request
from nautilus.core.clock import now_ns
from tests.kit.star_all_paths import TOKEN, Star


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


def _star(directory: Path, stack: ExitStack, **options: Any) -> Star:
    # A machine that is short of time is no reason to give a record up.
    star = Star(directory, stack, http=True, deadline_ns=1 << 60, absent_ns=1 << 60, **options)
    star.until(lambda: star.subscriber.synchronised and star.paths.failover.path == "zmq")
    return star


def test_market_data_survive_each_step_to_http_and_back_without_a_gap(tmp_path: Path, stack: ExitStack) -> None:
    star = _star(tmp_path, stack, redis=False)
    star.flow()
    assert "http" not in star.subscriber.fed, "nobody asks by HTTP as long as ZeroMQ is well"
    for _ in range(3):
        star.cut()
        star.until_path("http")
        star.flow()
        star.mend()
        star.until_path("zmq")
        star.flow()
    star.end()
    for instrument, had in star.had.items():
        assert had == list(range(had[0], star.source.next[instrument]))
    assert (star.gaps, star.subscriber.lost) == ([], 0)
    assert star.subscriber.recovered > 0, "what comes by HTTP is marked as sent again"
    assert star.subscriber.fed["http"] > 0
    steps = [(each.before, each.after) for each in star.changes]
    assert steps.count(("zmq", "http")) + steps.count(("stale", "http")) >= 3
    assert {each.cause for each in star.changes} >= {"no heartbeat"}


def test_each_path_is_taken_in_its_order_and_the_best_again(tmp_path: Path, stack: ExitStack) -> None:
    star = _star(tmp_path, stack)
    star.until(lambda: star.paths.failover.healthy("redis"))
    star.cut()
    star.until_path("redis")
    star.flow()
    star.server.kill()
    star.until_path("http")
    star.flow()
    star.port.stop()
    star.until_path("stale")
    star.until(lambda: star.subscriber.is_stale(now_ns()))
    star.port.start()
    star.until_path("http")
    star.flow()
    star.server.start()
    star.until_path("redis")
    star.flow()
    star.mend()
    star.until_path("zmq")
    star.end()
    missing = star.missing()
    assert sorted(star.gaps) == sorted(missing)
    assert star.subscriber.lost == sum(last - first + 1 for _, first, last in missing)
    assert all(each.cause for each in star.changes)


def test_what_the_hub_has_no_more_is_known_to_be_lost_or_stood_for(tmp_path: Path, stack: ExitStack) -> None:
    star = _star(tmp_path, stack, redis=False, frames=64)
    star.flow()
    star.port.stop()
    star.cut()
    star.until_path("stale")
    published = star.hub.published
    star.until(lambda: star.hub.published > published + 600)
    star.port.start()
    star.until_path("http")
    star.flow()
    star.mend()
    star.until_path("zmq")
    star.end()
    subscriber = star.subscriber
    assert subscriber.snapshotted + subscriber.lost > 0
    star.missing()
    star.check_accounts()


def test_a_reader_that_begins_without_zeromq_begins_with_images(tmp_path: Path, stack: ExitStack) -> None:
    star = Star(tmp_path, stack, redis=False, http=True, images=True, deadline_ns=1 << 60, absent_ns=1 << 60)
    star.cut()
    star.until(lambda: star.paths.failover.path == "http" and star.subscriber.synchronised)
    star.flow()
    assert star.subscriber.images > 0
    star.mend()
    star.until_path("zmq")
    star.end()
    # What came meanwhile may be stood for by an image; nothing is lost.
    star.missing()
    star.check_accounts()
    assert (star.gaps, star.subscriber.lost) == ([], 0)


def test_a_new_life_of_the_hub_is_found_by_http(tmp_path: Path, stack: ExitStack) -> None:
    star = _star(tmp_path, stack, redis=False)
    star.flow()
    star.cut()
    star.until_path("http")
    star.end_hub()
    star.begin(2)
    star.until(lambda: star.subscriber.epoch == 2)
    star.flow()
    star.mend()
    star.until_path("zmq")
    star.flow()
    assert star.subscriber.epochs == 1
    for had in star.had.values():
        assert had == sorted(set(had))


def _post(port: int, body: object, token: str = TOKEN) -> tuple[int, str, bytes]:
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    try:
        line.request("POST", STAR_PATH, json.dumps(body), headers)
        response = line.getresponse()
        return response.status, response.headers["content-type"], response.read()
    finally:
        line.close()


def _text(request: Request) -> str:
    return b64encode(pack_request(request)).decode()


def test_the_port_gives_the_last_heartbeat_and_refuses_the_rest(tmp_path: Path, stack: ExitStack) -> None:
    star = _star(tmp_path, stack, redis=False)
    port = star.port.port
    status, kind, body = _post(port, {"beat": True, "questions": []})
    assert (status, kind) == (200, "application/octet-stream")
    (beat,) = unpack_frames(body)
    assert beat[0] == HEARTBEAT
    assert unpack_frames(_post(port, {"beat": False, "questions": []})[2]) == []
    assert _post(port, {"beat": True}, "another")[0] == 401
    good = _text(Request(Operation.END, 1, 1))
    for body_ in (
        {},
        [],
        {"beat": 1},
        {"beat": True, "questions": ["?"]},
        {"beat": True, "questions": [b64encode(b"x" * 48).decode()]},
        {"beat": False, "questions": [good] * (MOST_QUESTIONS + 1)},
    ):
        assert _post(port, body_)[0] == 422, body_
    # A hub that does not come round to answering keeps nobody waiting for ever.
    status, _, body = _post(port, {"beat": False, "questions": [good]})
    assert (status, unpack_frames(body)) == (200, [])


def test_frames_of_a_body_are_whole_or_refused() -> None:
    frames = [b"", b"x", b"y" * 1000]
    body = pack_frames(frames)
    assert unpack_frames(body) == frames
    whole = 0
    for end in range(len(body)):
        try:
            assert unpack_frames(body[:end]) == frames[: len(unpack_frames(body[:end]))]
            whole += 1
        except ValueError:
            continue
    assert whole == len(frames)
