"""Which paths commands may take."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from nautilus.bus.allowed import paths_of
from nautilus.bus.carriers import ALL, EVERY_PATH, HTTP, REDIS, ZMQ
from nautilus.core.types import COMMAND, CommandKind
from nautilus.model.codec import MESSAGES
from nautilus.model.commands import CommandBatch, CommandMessage
from nautilus.model.message import Message
from nautilus.model.queries import AmendRequest, CancelRequest, GetCoreState, KillRequest, OrderRequest

AWAY = {CommandKind.CANCEL, CommandKind.MASS_CANCEL, CommandKind.KILL}


def _made(kind: type[Message]) -> Any:
    """One whose fields say nothing."""
    return kind(*(0 for field in msgspec.structs.fields(kind) if field.required))


@pytest.mark.parametrize("kind", sorted((each for each in MESSAGES if issubclass(each, CommandMessage)), key=str))
def test_a_command_takes_every_path_if_it_takes_away_and_never_redis_if_not(kind: type[CommandMessage]) -> None:
    paths = paths_of(_made(kind))
    if kind.kind in AWAY:
        assert paths == EVERY_PATH
    else:
        assert not paths & REDIS
        assert paths & HTTP
        assert paths & ZMQ


@pytest.mark.parametrize(("kinds", "over_redis"), [([2, 2], True), ([2, 1], False), ([3], False)])
def test_a_batch_goes_over_redis_only_if_all_of_it_takes_away(kinds: list[int], over_redis: bool) -> None:
    rows = np.zeros(len(kinds), COMMAND)
    rows["kind"] = kinds
    assert [CommandKind.NEW, CommandKind.CANCEL, CommandKind.REPLACE] == [1, 2, 3]
    assert bool(paths_of(CommandBatch(rows.tobytes())) & REDIS) is over_redis
    assert not paths_of(CommandBatch(rows.tobytes() + b"x")) & REDIS or over_redis


def test_requests_to_the_trading_engine_go_as_the_commands_that_they_become() -> None:
    assert paths_of(KillRequest(on=True)) == paths_of(CancelRequest(1)) == EVERY_PATH
    for request in (KillRequest(on=False), AmendRequest(1, "2"), _made(OrderRequest)):
        assert not paths_of(request) & REDIS


def test_questions_take_any_path() -> None:
    assert paths_of(GetCoreState()) == ALL
