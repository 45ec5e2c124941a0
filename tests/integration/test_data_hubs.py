"""The hub with the real sources: asked over real HTTP, and two hubs that keep one limit together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("aiohttp", reason="the extra `data` is not installed")

from nautilus.model.datasets import DataKind, GetData, GetProviders
from nautilus.model.errors import NautilusError
from tests.kit.data_hub import MODULE, DataHub, data_hub
from tests.kit.live_host import eventually
from tests.kit.recorded_http import Answer, RecordedServer, Request

KEY = "0123456789abcdef0123456789abcdef"


def nothing(request: Request) -> Answer:
    """A FRED that has no series."""
    return Answer(b'{"error_code":400,"error_message":"Bad Request.  The series does not exist."}', 400)


@pytest.fixture
def server() -> Iterator[RecordedServer]:
    with RecordedServer(nothing) as found:
        yield found


def settings(server: RecordedServer, **more: object) -> dict[str, object]:
    return {"source_fred": {"base_url": server.url, "key": KEY, "retries": 0, "wait_seconds": 0.0, **more}}


def outcome(hub: DataHub, symbol: str) -> str:
    try:
        hub.ask(GetData(DataKind.ECONOMIC, symbol, "fred"))
    except NautilusError as error:
        return error.code
    return "ok"


def test_two_hubs_keep_one_limit_of_a_provider_together(server: RecordedServer, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    own = settings(server, per_day=5)
    with (
        data_hub(module=MODULE, kept=tmp_path / "data", **own) as one,
        data_hub(module=MODULE, kept=tmp_path / "data", **own) as two,
    ):
        found = Counter(outcome((one, two)[number % 2], f"S{number}") for number in range(12))
        assert len(server.requests) == 5
        assert found["source.rate_limited"] == 12 - 5
        states = [hub.ask(GetProviders()) for hub in (one, two)]
        for state in states:
            fred = next(each for each in state.sources if each.name == "fred")
            assert fred.day_limit == 5
    # A hub that begins later, such as one that takes over, finds the day used up.
    with data_hub(module=MODULE, kept=tmp_path / "data", **own) as late:
        assert outcome(late, "S99") == "source.rate_limited"
        status, fields, problem = late.get("/marketdata/economic/S98?source=fred")
        assert (status, problem["code"]) == (429, "source.rate_limited")
        assert int(fields["retry-after"]) >= 1
    assert len(server.requests) == 5


def test_a_source_without_its_key_is_shown_and_not_asked(server: RecordedServer) -> None:
    with data_hub(module=MODULE, **settings(server, key="")) as hub:
        sources = eventually(lambda: hub.ask(GetProviders()).sources)
        fred = next(each for each in sources if each.name == "fred")
        assert fred.state == "unconfigured"
        assert outcome(hub, "GDP") == "source.unconfigured"
        assert not server.requests
        assert KEY not in str(hub.get("/health")[2])
