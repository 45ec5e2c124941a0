"""Orders of a real platform over HTTP: what cannot be is refused, what is in doubt is said, a core that hangs too."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import pytest

from nautilus.core.port import core_facts
from nautilus.runtime.clock import pause
from nautilus.runtime.status import read_status
from tests.kit.platform import NOT_TAKEN, TIMES, Platform, demo

ORDER = {"instrument": "SIMUSD", "side": "BUY", "quantity": "0.001", "price": "100.0"}


@pytest.fixture(scope="module")
def idle() -> Iterator[Platform]:
    """A platform without a market."""
    with demo("--strategy", "quoting") as running:
        yield running


def call(idle: Platform, method: str, target: str, **body: Any) -> tuple[int, dict[str, Any]]:
    """Status and answer of a request to the trading engine."""
    for _ in range(TIMES):
        status, _, content = idle.client().fetch("trading", method, target, body)
        answer = json.loads(content)
        assert isinstance(answer, dict)
        if not str(answer.get("type")).endswith(NOT_TAKEN):
            break
        pause(0.05)
    return status, answer


def enter(idle: Platform, **fields: Any) -> tuple[int, dict[str, Any]]:
    return call(idle, "POST", "/orders", **{**ORDER, **fields})


@pytest.fixture(scope="module")
def hasty() -> Iterator[Platform]:
    """One that waits for its core less long."""
    with demo("--strategy", "quoting", settings=("core.answer_ms=4000",)) as running:
        yield running


@contextmanager
def stopped(idle: Platform) -> Iterator[None]:
    """The core hangs."""
    pid = idle.pid("core")
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
        idle.wait(lambda: call(idle, "GET", "/readyz")[0] == 200, "a core that answers")


@pytest.mark.parametrize("query", ["accounts=-1", "accounts=0", "accounts=99999999999", f"accounts={10**30}"])
def test_an_account_that_cannot_be_is_refused_and_the_core_lives_on(idle: Platform, query: str) -> None:
    status, problem = call(idle, "GET", f"/core/state?{query}")
    assert (status, problem["code"]) == (422, "http.fields")
    assert call(idle, "GET", "/core/state?accounts=1&accounts=1")[0] == 200
    assert idle.restarts("core") == 0


def test_more_accounts_than_the_core_stands_still_for_are_refused(idle: Platform) -> None:
    status, problem = call(idle, "GET", "/core/state?" + "&".join(f"accounts={n}" for n in range(1, 400)))
    assert (status, problem["code"]) == (422, "model")
    assert "at most" in problem["expected"]


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"instrument": "1" * 5000}, 404, "model.unknown_instrument"),
        ({"client_order_id": "a" * 129}, 422, "http.fields"),
        ({"quantity": "1_0"}, 422, "model"),
        ({"quantity": " 1"}, 422, "model"),
        ({"price": "+100"}, 422, "model"),
        ({"price": "100\n"}, 422, "model"),
        ({"price": "\u0661\u0660\u0660"}, 422, "model"),
        ({"price": "1e2"}, 422, "model"),
        ({"price": ""}, 422, "model.order_field"),
        ({"price": "", "order_type": "LIMIT"}, 422, "model.order_field"),
        ({"order_type": "MARKET"}, 422, "model.order_field"),
        ({"order_type": "STOP", "price": ""}, 422, "model.order_field"),
        ({"trigger": "100"}, 422, "model.order_field"),
        ({"trigger_source": "BEST"}, 422, "http.fields"),
        ({"display_quantity": "0.001", "hidden": True}, 422, "model.order_field"),
        ({"group": "OCO"}, 422, "model.order_field"),
        ({"group_id": 65_536}, 422, "http.fields"),
        ({"parent_order_id": -1}, 422, "http.fields"),
    ],
)
def test_what_no_order_has_is_refused_before_the_core(
    idle: Platform, fields: dict[str, Any], status: int, code: str
) -> None:
    before = core_facts(idle.instance.plan().shared)["commands"]
    found, problem = enter(idle, **fields)
    assert (found, problem["code"]) == (status, code)
    assert len(json.dumps(problem)) < 1000
    assert core_facts(idle.instance.plan().shared)["commands"] == before


def test_an_order_without_a_price_is_a_market_order_only_where_it_says_so(idle: Platform) -> None:
    for kind in ({}, {"order_type": "LIMIT"}):
        order = {"instrument": "SIMUSD", "side": "BUY", "quantity": "0.001", **kind}
        status, problem = call(idle, "POST", "/orders", **order)
        assert (status, problem["code"], problem["where"]) == (422, "model.order_field", "price")
        assert problem["expected"] == "a decimal, or order_type MARKET"
    # There is nobody to trade with.
    found = call(idle, "POST", "/orders", **{**order, "order_type": "MARKET"})[1]
    assert (found["filled_quantity"], found["leaves_quantity"]) == ("0", "0")


def test_a_kill_switch_that_is_not_on_cannot_be_switched_off(idle: Platform) -> None:
    status, problem = call(idle, "POST", "/kill-switch", on=False, account_id=9)
    assert (status, problem["code"]) == (404, "model.unknown_kill_switch")
    assert call(idle, "POST", "/kill-switch", on=True, instrument="SIMUSD")[1]["symbol"] == "SIMUSD"
    assert call(idle, "POST", "/kill-switch", on=True, account_id=9)[0] == 200
    status, left = call(idle, "POST", "/kill-switch", on=False, account_id=9)
    assert (status, [scope["symbol"] for scope in left["scopes"]]) == (200, ["SIMUSD"])
    assert enter(idle, account_id=9)[1]["violated"] == ["KILLED"]
    status, problem = call(idle, "POST", "/kill-switch", on=True, instrument="")
    assert (status, problem["code"]) == (404, "model.unknown_instrument")
    assert call(idle, "POST", "/kill-switch", on=False, instrument="1")[1]["scopes"] == []


def test_a_kill_switch_wants_to_be_told_which_way(idle: Platform) -> None:
    status, problem = call(idle, "POST", "/kill-switch")
    assert (status, problem["code"]) == (422, "http.fields")
    assert "on" in problem["detail"]
    assert call(idle, "GET", "/kill-switch")[1]["scopes"] == []


def test_an_order_that_is_not_open_is_not_found_whatever_is_asked_of_it(idle: Platform) -> None:
    closed = enter(idle, account_id=9)[1]["order_id"]
    assert call(idle, "DELETE", f"/orders/{closed}?account_id=9")[1]["status"] == "cancelled"
    for order_id, reason in ((77, "UNKNOWN_ORDER"), (closed, "CLOSED_ORDER")):
        status, problem = call(idle, "DELETE", f"/orders/{order_id}?account_id=9")
        assert (status, problem["code"]) == (404, "model.unknown_order")
        assert reason in problem["detail"]
        status, problem = call(idle, "PUT", f"/orders/{order_id}", quantity="0.002", price="99.0", account_id=9)
        assert (status, problem["code"]) == (404, "model.unknown_order")


def test_a_repeat_tells_of_the_order_that_it_repeats_at_once(idle: Platform) -> None:
    for number in range(30):
        name = f"mine {number}"
        first = enter(idle, account_id=3, client_order_id=name)[1]
        again = enter(idle, account_id=3, client_order_id=name)[1]
        assert (again["status"], again["reason"], again["order_id"]) == (
            "rejected", "DUPLICATE_ORDER", first["order_id"],
        )  # fmt: skip
        assert (again["order_state"], again["leaves_quantity"], again["differs"]) == ("open", "0.001", [])
        for on in (True, False):
            assert call(idle, "POST", "/kill-switch", on=on, account_id=3)[0] == 200
        other = enter(idle, account_id=3, client_order_id=name, side="SELL", price="101.0")[1]
        assert (other["order_state"], other["differs"]) == ("closed", ["side", "price"])


def test_an_order_with_a_client_id_is_amended_and_cancelled_by_its_number(idle: Platform) -> None:
    order_id = enter(idle, account_id=8, client_order_id="mine")[1]["order_id"]
    status, amended = call(idle, "PUT", f"/orders/{order_id}", quantity="0.002", price="99.0", account_id=8)
    assert (status, amended["status"]) == (200, "replaced")
    status, gone = call(idle, "DELETE", f"/orders/{order_id}?account_id=8")
    assert (status, gone["status"], gone["client_order_id"]) == (200, "cancelled", "mine")


def test_a_core_that_hangs_is_said_and_new_orders_are_refused_at_once(hasty: Platform) -> None:
    before = core_facts(hasty.instance.plan().shared)["accepted"]
    with stopped(hasty):
        hasty.wait(lambda: call(hasty, "GET", "/readyz")[0] == 503, "a core that is said to hang")
        assert call(hasty, "GET", "/readyz")[1]["reasons"] == ["the core does not answer"]
        for _ in range(10):
            status, problem = enter(hasty, account_id=4)
            assert (status, problem["code"]) == (503, "bus.refused")
            assert "was not sent" in problem["detail"]
        status, problem = call(hasty, "POST", "/kill-switch", on=True, account_id=4)
        assert (status, problem["code"]) == (504, "bus.unknown")
    hasty.wait(lambda: call(hasty, "GET", "/kill-switch")[1]["scopes"], "the kill switch")
    assert call(hasty, "GET", "/orders?account_id=4")[1]["orders"] == []
    assert call(hasty, "POST", "/kill-switch", on=False, account_id=4)[0] == 200
    assert enter(hasty, account_id=4)[1]["status"] == "accepted"
    after = core_facts(hasty.instance.plan().shared)["accepted"]
    assert after == before + 1
    hasty.wait(lambda: read_status(hasty.instance).orders["accepted"] == after, "the one order in the status")


def test_an_order_in_doubt_is_named_and_carried_out_in_time_or_never(hasty: Platform) -> None:
    before = core_facts(hasty.instance.plan().shared)
    status = 503
    while status == 503:  # that it hangs was known before the order came
        with stopped(hasty):
            status, problem = enter(hasty, account_id=5, client_order_id="in doubt")
    assert (status, problem.get("code")) == (504, "bus.unknown"), problem
    assert "UTC it is not carried out any more" in problem["detail"]
    hasty.wait(lambda: core_facts(hasty.instance.plan().shared)["rejected"] > before["rejected"], "a refusal")
    assert core_facts(hasty.instance.plan().shared)["accepted"] == before["accepted"]
    assert call(hasty, "GET", "/orders?account_id=5")[1]["orders"] == []
    entered = enter(hasty, account_id=5, client_order_id="in doubt")[1]
    assert f"order {entered['order_id']} " in problem["detail"]
    assert entered["status"] == "accepted"
    [line] = call(hasty, "GET", "/orders?account_id=5")[1]["orders"]
    assert line["client_order_id"] == "in doubt"


def test_a_core_that_is_gone_is_said(hasty: Platform) -> None:
    pid = hasty.pid("core")
    os.kill(hasty.instance.pid, signal.SIGSTOP)  # the supervisor, which would start another one at once
    try:
        os.kill(pid, signal.SIGKILL)
        hasty.wait(lambda: call(hasty, "GET", "/readyz")[1].get("reasons") == ["no trading core"], "a reason")
        for method, target, body in (("POST", "/orders", ORDER), ("POST", "/kill-switch", {"on": True})):
            status, problem = call(hasty, method, target, **body)
            assert (status, problem["code"]) == (503, "bus.core_absent")
    finally:
        os.kill(hasty.instance.pid, signal.SIGCONT)
    hasty.wait(lambda: hasty.pid("core") not in (0, pid) and call(hasty, "GET", "/readyz")[0] == 200, "another core")
    assert enter(hasty, account_id=6)[1]["status"] == "accepted"


def test_what_only_grows_is_shown_as_a_counter(idle: Platform) -> None:
    _, _, page = idle.client().fetch("trading", "GET", "/metrics")
    text = page.decode()
    for name in ("orders_accepted", "orders_rejected", "core_commands", "core_events", "core_busy", "core_invalid"):
        assert f"\nnautilus_{name}_total{{" in text
    for name in ("orders_open", "journal_last_sequence"):
        assert f"\nnautilus_{name}{{" in text


def test_a_client_id_may_hold_any_text(idle: Platform) -> None:
    for text in ("a b", "\u00e4\u6f22", "\n\0", "x" * 128, quote("%/?")):
        assert enter(idle, account_id=7, client_order_id=text)[1]["client_order_id"] == text
    lines = call(idle, "GET", "/orders?account_id=7")[1]["orders"]
    assert len({line["client_order_id"] for line in lines}) == 5
