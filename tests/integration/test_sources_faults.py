"""What providers do wrong, over real sockets: each is one clear error, and nobody is asked more than allowed."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from nautilus.adapters.sources import Fetched, Source, open_source
from nautilus.adapters.sources.config import FredConfig
from nautilus.adapters.sources.errors import (
    MalformedError,
    RateLimitedError,
    RefusedError,
    SourceError,
    SourceTimeoutError,
    TooLargeError,
    UnavailableError,
)
from nautilus.core.clock import now_ns
from nautilus.core.quotas import Quotas
from nautilus.model.datasets import DataKind, GetData, ProviderState
from nautilus.model.errors import ConfigError
from tests.kit.recorded_fred import FRED_KEY, fred_answers
from tests.kit.recorded_http import Fault, RecordedServer

ROOT = Path(__file__).resolve().parents[2]
CHILDREN = GetData(DataKind.LISTING, "children:125")
SERIES = GetData(DataKind.LISTING, "series:GDP")
GDP = GetData(DataKind.ECONOMIC, "GDP")


@pytest.fixture
def server() -> Iterator[RecordedServer]:
    with RecordedServer(fred_answers) as serving:
        yield serving


def config_of(server: RecordedServer, **more: Any) -> FredConfig:
    usual = {"per_minute": 0, "backoff_seconds": 0.0, "wait_seconds": 0.0, "unsaid_seconds": 40.0}
    return FredConfig(**{"base_url": f"{server.url}/fred", "key": FRED_KEY, **usual, **more})


def answers(
    config: FredConfig, *questions: GetData, quotas: Quotas | None = None
) -> tuple[list[Fetched | SourceError], ProviderState, Source]:
    async def run() -> tuple[list[Fetched | SourceError], ProviderState, Source]:
        source = open_source("fred", config, quotas=quotas)
        found: list[Fetched | SourceError] = []
        try:
            for question in questions:
                try:
                    found.append(await source.fetch(question))
                except SourceError as error:
                    found.append(error)
            return found, source.state(), source
        finally:
            await source.close()

    return asyncio.run(run())


def error_of(config: FredConfig, question: GetData = CHILDREN) -> SourceError:
    [found] = answers(config, question)[0]
    assert isinstance(found, SourceError), found
    assert FRED_KEY not in str(found)
    assert found.source == "fred"
    return found


def test_a_provider_that_is_down_is_unavailable() -> None:
    with RecordedServer(fred_answers) as gone:
        config = config_of(gone)
    [found], state, _ = answers(config, CHILDREN)
    assert isinstance(found, UnavailableError)
    assert (state.state, state.errors, state.calls, state.last_code) == ("failing", 1, 3, "source.unavailable")


def test_a_provider_that_is_slow_is_given_up(server: RecordedServer) -> None:
    server.every = Fault(slow=True)
    error = error_of(config_of(server, answer_seconds=0.2))
    assert isinstance(error, SourceTimeoutError)
    assert len(server.requests) == 1


def test_a_failure_is_asked_again_and_then_well(server: RecordedServer) -> None:
    server.faults.extend([Fault(status=500, body=b"oops"), Fault(status=503, headers={"Retry-After": "0"})])
    [found], state, source = answers(config_of(server), CHILDREN)
    assert isinstance(found, Fetched)
    assert (state.state, state.calls, state.errors) == ("ready", 3, 0)
    assert source.session.counts.retries == 2


def test_repeats_stay_within_their_budget(server: RecordedServer) -> None:
    server.every = Fault(status=500)
    asked = 30
    found, state, _ = answers(config_of(server, retries=10), *[CHILDREN] * asked)
    assert all(isinstance(each, UnavailableError) for each in found)
    assert asked < state.calls <= asked * 1.2 + 2


def test_what_is_refused_is_never_asked_again(server: RecordedServer) -> None:
    server.every = Fault(status=400, body=b'{"error_code":400,"error_message":"Bad Request. limit is not between"}')
    error = error_of(config_of(server))
    assert isinstance(error, RefusedError)
    assert error.status == 400
    assert "limit is not between" in str(error)
    assert len(server.requests) == 1


@pytest.mark.parametrize("close", ["now", "head", "body"])
def test_a_connection_that_ends_early_is_made_again(server: RecordedServer, close: str) -> None:
    server.faults.append(Fault(close=close))
    assert isinstance(answers(config_of(server), CHILDREN)[0][0], Fetched)
    server.every = Fault(close=close)
    assert isinstance(error_of(config_of(server)), UnavailableError)


def test_what_waits_behind_a_slow_answer_does_not_leave_at_once_after_it(server: RecordedServer) -> None:
    async def run() -> list[Fetched]:
        source = open_source("fred", config_of(server, per_second=5, wait_seconds=5.0))
        try:
            return await asyncio.gather(*(source.fetch(CHILDREN) for _ in range(11)))
        finally:
            await source.close()

    server.faults.append(Fault(late_seconds=1.5))
    assert len(asyncio.run(run())) == len(server.arrived_ns) == 11
    # A request is under way for a moment: what counts with a provider is when it comes.
    jitter_ns = 300_000_000
    for first, sixth in zip(server.arrived_ns, server.arrived_ns[5:], strict=False):
        assert sixth - first > 1_000_000_000 - jitter_ns


SKEWS = (0.0, 90.0, -90.0, 5 * 3600.0, -5 * 3600.0, 40 * 86_400.0, -40 * 86_400.0)
"""Seconds that a provider's clock is ahead of ours."""


@pytest.mark.parametrize("skew_seconds", SKEWS)
@pytest.mark.parametrize(
    ("headers", "expected"),
    [({"Retry-After": "7"}, 7.0), ({}, 40.0), ({"Retry-After": "soon"}, 40.0)],
)
def test_too_many_requests_are_told_with_the_time_to_wait(
    server: RecordedServer, headers: dict[str, str], skew_seconds: float, expected: float
) -> None:
    server.faults.append(Fault(status=429, headers=headers, skew_seconds=skew_seconds))
    (first, second), state, _ = answers(config_of(server), CHILDREN, CHILDREN)
    assert isinstance(first, RateLimitedError)
    assert first.retry_seconds == expected
    assert isinstance(second, RateLimitedError)
    assert expected - 5 < second.retry_seconds <= expected
    assert len(server.requests) == 1  # nobody was asked meanwhile
    assert state.state == "limited"


def test_a_date_to_wait_for_is_by_the_clock_of_the_provider(server: RecordedServer) -> None:
    date = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
    headers = {
        "Date": format_datetime(date, usegmt=True),
        "Retry-After": format_datetime(date + timedelta(seconds=90), usegmt=True),
    }
    server.faults.append(Fault(status=429, headers=headers))
    (first, second), _, source = answers(config_of(server), CHILDREN, CHILDREN)
    assert isinstance(first, RateLimitedError)
    assert first.retry_seconds == 90.0
    assert isinstance(second, RateLimitedError)
    assert 80 < second.retry_seconds <= 90
    assert source.session.counts.skew_ns > 365 * 86_400 * 10**9


@pytest.mark.parametrize("skew_seconds", SKEWS)
@pytest.mark.parametrize("status", [429, 503])
def test_a_date_to_wait_for_is_as_far_off_whatever_the_clock_of_the_provider_says(
    server: RecordedServer, status: int, skew_seconds: float
) -> None:
    until = datetime.now(UTC) + timedelta(seconds=skew_seconds + 60)
    headers = {"Retry-After": format_datetime(until, usegmt=True)}
    server.faults.append(Fault(status=status, headers=headers, skew_seconds=skew_seconds))
    (first, second), _, source = answers(config_of(server), CHILDREN, CHILDREN)
    assert isinstance(first, RateLimitedError | UnavailableError)
    assert 50 <= first.retry_seconds <= 61
    assert isinstance(second, RateLimitedError)
    assert 40 < second.retry_seconds <= 61
    assert len(server.requests) == 1
    assert abs(source.session.counts.skew_ns / 1e9 - skew_seconds) < 10


@pytest.mark.parametrize("skew_seconds", SKEWS)
def test_an_answer_is_as_old_as_our_clock_says(server: RecordedServer, skew_seconds: float) -> None:
    """Its lifetime counts from there: one of the past would be stale at once, one of the future never."""
    server.every = Fault(skew_seconds=skew_seconds, headers={"ETag": '"v1"', "Expires": "0", "Age": "7200"})
    before_ns = now_ns()
    (first, second), _, source = answers(config_of(server), CHILDREN, CHILDREN)
    assert isinstance(first, Fetched)
    assert isinstance(second, Fetched)
    assert before_ns <= first.provenance.fetched_ns <= second.provenance.fetched_ns <= now_ns()
    assert all(fact.provenance.fetched_ns == first.provenance.fetched_ns for fact in first.facts)
    assert second.not_modified
    assert abs(source.session.counts.skew_ns / 1e9 - skew_seconds) < 10


def test_a_limit_is_waited_for_where_that_is_short(server: RecordedServer) -> None:
    found, _, _ = answers(config_of(server, per_second=20, wait_seconds=5.0), *[CHILDREN] * 8)
    assert all(isinstance(each, Fetched) for each in found)


def renamed(old: str, new: str) -> Callable[[bytes], bytes]:
    return lambda body: body.replace(old.encode(), new.encode())


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (renamed('"frequency":', '"frequenz":'), "$.seriess[0].frequency"),
        (renamed('"title":"Gross Domestic Product"', '"title":["Gross"]'), "$.seriess[0].title"),
        (renamed('"seriess":', '"series":'), "$.seriess"),
        (lambda body: b"[]", "$"),
    ],
)
def test_a_schema_that_changed_is_told_by_its_field(
    server: RecordedServer, change: Callable[[bytes], bytes], path: str
) -> None:
    server.every = Fault(change=change)
    error = error_of(config_of(server), SERIES)
    assert isinstance(error, MalformedError)
    assert error.path == path
    assert path in str(error)


def test_a_value_that_is_no_number_is_told_by_its_place(server: RecordedServer) -> None:
    server.faults.extend([None, Fault(change=renamed('"value":"29349.924"', '"value":"29,3x"'))])
    error = error_of(config_of(server), GDP)
    assert isinstance(error, MalformedError)
    assert error.path == "$.observations[314]"


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        (Fault(change=lambda body: body[: len(body) // 2]), "no JSON"),
        (Fault(body=b""), "no JSON"),
        (Fault(body=b"<html>Bad Gateway</html>"), "no JSON"),
        (Fault(body='{"categories": "\u00e9"}'.encode("latin-1")), "is not utf-8"),
        (Fault(headers={"Content-Type": "application/json; charset=klingon"}), "charset klingon"),
        (Fault(raw_gzip=True), "compression is damaged"),
    ],
)
def test_a_body_that_cannot_be_read_says_why(server: RecordedServer, fault: Fault, what: str) -> None:
    server.every = fault
    error = error_of(config_of(server))
    assert isinstance(error, MalformedError)
    assert what in str(error)
    assert len(server.requests) == 1  # it would be the same again


def test_another_charset_is_read_where_it_is_named(server: RecordedServer) -> None:
    body = '{"categories":[{"id":1,"name":"Caf\u00e9","parent_id":0}]}'.encode("latin-1")
    server.every = Fault(body=body, headers={"Content-Type": "application/json; charset=iso-8859-1"})
    [found], _, _ = answers(config_of(server), CHILDREN)
    assert isinstance(found, Fetched)
    assert getattr(found.facts[0], "name", "") == "Caf\u00e9"


@pytest.mark.parametrize("packed", [True, False])
def test_an_answer_that_is_too_large_is_not_read(server: RecordedServer, packed: bool) -> None:
    headers = {} if packed else {"Content-Encoding": "identity"}
    server.every = Fault(body=b'{"categories":[' + b" " * (3 << 20) + b"]}", headers=headers)
    error = error_of(config_of(server, most_mib=1))
    assert isinstance(error, TooLargeError)
    assert error.code == "source.too_large"


def test_nothing_is_sent_again_that_has_not_changed(server: RecordedServer) -> None:
    (first, second), state, _ = answers(config_of(server), GDP, GDP)
    assert isinstance(first, Fetched)
    assert isinstance(second, Fetched)
    assert not first.not_modified
    assert second.not_modified
    values = [getattr(fact, "value", 0) for fact in first.facts]
    assert [getattr(fact, "value", 1) for fact in second.facts] == values
    assert second.provenance.fetched_ns > first.provenance.fetched_ns
    assert state.not_modified == 1
    assert "if-modified-since" in server.requests[-1].headers


def test_a_version_is_asked_for_and_what_is_remembered_has_bounds(server: RecordedServer) -> None:
    server.every = Fault(headers={"ETag": '"v1"'})
    (_, second), _, source = answers(config_of(server, remembered=1), CHILDREN, CHILDREN)
    assert isinstance(second, Fetched)
    assert (second.not_modified, second.etag) == (True, '"v1"')
    assert server.requests[-1].headers["if-none-match"] == '"v1"'
    assert len(source.session._remembered) == 1
    found, _, source = answers(config_of(server, remembered=1), CHILDREN, SERIES, CHILDREN)
    assert isinstance(found[2], Fetched)
    assert not found[2].not_modified  # the series took its place
    found, _, source = answers(config_of(server, remembered_mib=0), CHILDREN, CHILDREN)
    assert len(source.session._remembered) == 0


@pytest.mark.parametrize("change", [lambda body: body[:-9], lambda body: body.replace(b'"seriess"', b'"kinds"')])
def test_a_damaged_answer_is_not_remembered(server: RecordedServer, change: Callable[[bytes], bytes]) -> None:
    server.faults.append(Fault(change=change, headers={"ETag": '"v1"'}))
    server.every = Fault(headers={"ETag": '"v1"'})
    (first, second, third), _, _ = answers(config_of(server), SERIES, SERIES, SERIES)
    assert isinstance(first, MalformedError)
    assert isinstance(second, Fetched)
    assert (len(second.facts) > 0, second.not_modified) == (True, False)
    assert isinstance(third, Fetched)
    assert (len(third.facts), third.not_modified) == (1, True)
    assert "if-none-match" not in server.requests[1].headers


def test_what_was_remembered_and_is_found_wrong_is_asked_for_anew(server: RecordedServer) -> None:
    async def run() -> list[bool]:
        source = open_source("fred", config_of(server))
        try:
            first = await source.fetch(CHILDREN)
            kept = source.session._remembered._kept
            [url] = kept
            kept[url] = kept[url]._replace(body=b"{")
            with pytest.raises(MalformedError):
                await source.fetch(CHILDREN)
            again = await source.fetch(CHILDREN)
            return [first.not_modified, again.not_modified]
        finally:
            await source.close()

    server.every = Fault(headers={"ETag": '"v1"'})
    assert asyncio.run(run()) == [False, False]


def test_a_key_is_in_no_text(server: RecordedServer) -> None:
    told = json.dumps({"error_code": 400, "error_message": f"api_key {FRED_KEY} is not registered"}).encode()
    server.faults.append(Fault(status=400, body=told))
    [found], state, source = answers(config_of(server), CHILDREN)
    assert isinstance(found, SourceError)
    texts = [str(found), repr(found), json.dumps(found.as_dict()), repr(state), repr(source.config)]
    assert all(FRED_KEY not in text for text in texts)
    assert "***" in str(found)
    again = copy.copy(found)  # as when it crosses a border of processes
    assert (again.code, str(again), again.status) == (found.code, str(found), 400)


def test_a_key_goes_nowhere_else(server: RecordedServer) -> None:
    server.every = Fault(status=302, headers={"Location": f"{server.url}/elsewhere"})
    assert isinstance(error_of(config_of(server)), RefusedError)
    assert server.paths == ["/fred/category/children"]
    with pytest.raises(ConfigError, match="without encryption"):
        open_source("fred", FredConfig(base_url="http://fred.example/fred", key="mine"))


def test_a_provider_that_is_switched_off_or_has_a_strange_day_is_told() -> None:
    with pytest.raises(ConfigError, match="Mars/Olympus"):
        open_source("fred", FredConfig(day_zone="Mars/Olympus"))


# Processes.


class Asker:
    """A process that asks."""

    def __init__(self, server: RecordedServer, directory: Path, count: int, wait: bool = False, **config: Any) -> None:
        told = {
            "url": server.url,
            "key": FRED_KEY,
            "directory": str(directory),
            "count": count,
            "wait": wait,
            "config": {"per_minute": 0, "wait_seconds": 0.0, "retries": 0, **config},
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.kit.source_process", json.dumps(told)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.line() == "ready"

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ask(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def asked(self) -> str:
        self.ask()
        return self.line()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(20)

    def __enter__(self) -> Asker:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate(timeout=20)


@pytest.mark.parametrize(("limit", "most"), [("per_day", 12), ("per_minute", 12)])
def test_two_processes_share_a_limit(server: RecordedServer, tmp_path: Path, limit: str, most: int) -> None:
    share: dict[str, Any] = {limit: most}
    with Asker(server, tmp_path, 20, **share) as one, Asker(server, tmp_path, 20, **share) as two:
        told = [asker.line() for _ in range(20) for asker in (one, two)]
    assert set(told) == {"ok", "source.rate_limited"}
    assert len(server.requests) == told.count("ok")
    if limit == "per_day":
        assert told.count("ok") == most
    else:
        assert 0 < told.count("ok") <= most


def test_a_refusal_of_one_process_holds_for_the_other(server: RecordedServer, tmp_path: Path) -> None:
    with Asker(server, tmp_path, 3, wait=True) as one, Asker(server, tmp_path, 3, wait=True) as two:
        assert two.asked() == "ok"
        server.faults.append(Fault(status=429, headers={"Retry-After": "60"}))
        assert one.asked() == "source.rate_limited"
        assert two.asked() == "source.rate_limited"
        assert len(server.requests) == 2


def test_a_killed_process_has_counted_what_it_sent(server: RecordedServer, tmp_path: Path) -> None:
    with Asker(server, tmp_path, 9, wait=True, per_day=3) as one:
        assert one.asked() == "ok"
        assert one.asked() == "ok"
        server.faults.append(Fault(slow=True))
        one.ask()  # under way, and never answered
        server.wait_for(3)
        one.kill()
    with Asker(server, tmp_path, 9, wait=True, per_day=3) as again:
        assert again.asked() == "source.rate_limited"
    assert len(server.requests) == 3


def test_a_kept_connection_that_ends_is_counted_as_it_was_asked(server: RecordedServer) -> None:
    server.faults.extend([None, Fault(close="now")])
    found, state, _ = answers(config_of(server), CHILDREN, CHILDREN)
    assert all(isinstance(each, Fetched) for each in found)
    assert state.calls == len(server.requests) == 3


def test_another_key_has_a_count_of_its_own(server: RecordedServer) -> None:
    quotas = Quotas(4)
    first, _, _ = answers(config_of(server, per_day=1), CHILDREN, CHILDREN, quotas=quotas)
    second, state, _ = answers(config_of(server, per_day=1, key="f" * 32), CHILDREN, quotas=quotas)
    assert isinstance(first[1], RateLimitedError)
    assert not isinstance(second[0], RateLimitedError)
    assert (state.day_left, state.day_limit) == (0, 1)
