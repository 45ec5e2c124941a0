"""`nautilus order` and `nautilus kill-switch`: what is refused at once, and what is shown of an answer."""

from __future__ import annotations

from typing import Any

import pytest

from nautilus.cli import kill_switch, order
from nautilus.cli.main import main
from nautilus.model.enums import GroupKind, OrderType, PegReference, Side, TimeInForce, TriggerSource
from nautilus.model.message import Message
from nautilus.model.queries import AmendRequest, KillRequest, OrderRequest

SUBMIT = ("order", "submit", "SIMUSD", "buy", "0.01")
SCOPE = {"account_id": 0, "instrument_id": 0, "symbol": ""}


class Asked:
    """A running instance that answers with what it is told to."""

    def __init__(self) -> None:
        self.requests: list[Message] = []
        self.answer: dict[str, Any] = {}

    def ask(self, engine: str, request: Message, **options: Any) -> dict[str, Any]:
        self.requests.append(request)
        return self.answer


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    made = Asked()
    for module in (order, kill_switch):
        monkeypatch.setattr(module, "running", lambda name: name)
        monkeypatch.setattr(module, "client_of", lambda instance, **options: made)
    return made


@pytest.mark.parametrize(
    "words", [(), ("--price", ""), ("--market", "--price", ""), ("--market", "--price", "1"), ("--price", "", "--json")]
)
def test_an_order_has_a_price_or_says_that_it_takes_any(
    asked: Asked, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*SUBMIT, *words]) == 2
    assert "either --price PRICE or --market" in capsys.readouterr().err
    assert asked.requests == []


def test_a_market_order_is_sent_as_one(asked: Asked) -> None:
    asked.answer = {"order_id": 1, "status": "filled", "latency_us": 1.0}
    assert main([*SUBMIT, "--market"]) == 0
    assert main([*SUBMIT, "--price", "100.5"]) == 0
    found = [(each.order_type, each.price) for each in asked.requests if isinstance(each, OrderRequest)]
    assert found == [(OrderType.MARKET, ""), (OrderType.LIMIT, "100.5")]


def test_a_wrong_side_is_called_so(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["order", "submit", "SIMUSD", "hold", "1", "--market"]) == 2
    said = capsys.readouterr().err
    assert "SIDE" in said
    assert "{" not in said


def test_open_orders_have_their_points_in_line(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    line = {"account_id": 9, "order_id": 7, "symbol": "SIMUSD", "side": "BUY", "state": "open"}
    digits = {"price_decimals": 1, "quantity_decimals": 3}
    numbers = ({"price": "59000", "quantity": "0.01"}, {"price": "99.5", "quantity": "12.345"})
    asked.answer = {
        "orders": [{**line, **digits, **each, "leaves_quantity": each["quantity"]} for each in numbers],
        "last_sequence": 1234,
    }
    assert main(["order", "list"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert [row.split()[-4:-1] for row in shown[1:3]] == [
        ["59,000.0", "0.010", "0.010"],
        ["99.5", "12.345", "12.345"],
    ]
    assert " ".join(shown[3:]) == (
        "2 open of clients, as of event 1,234; orders of the market's own participants are not listed"
    )
    assert max(map(len, shown)) <= 80


@pytest.mark.parametrize("which", ["on", "off"])
def test_an_empty_instrument_is_not_all_of_them(asked: Asked, which: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kill-switch", which, "--instrument", ""]) == 2
    assert "--instrument is empty" in capsys.readouterr().err
    assert asked.requests == []


def test_a_kill_switch_is_named_and_so_is_what_stays_on(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    pair = {"account_id": 9, "instrument_id": 1, "symbol": "SIMUSD"}
    asked.answer = {**pair, "on": False, "cancelled": 0, "latency_us": 5.0, "scopes": [SCOPE, {**pair, "symbol": ""}]}
    assert main(["kill-switch", "off", "--account", "9", "--instrument", "SIMUSD"]) == 0
    assert asked.requests == [KillRequest(False, 9, instrument="SIMUSD")]
    assert capsys.readouterr().out.splitlines() == [
        "kill switch of account 9 with instrument SIMUSD off, 5 us",
        "still on: everything, account 9 with instrument 1",
    ]
    asked.answer |= {**SCOPE, "on": True, "cancelled": 3}
    assert main(["kill-switch", "on"]) == 0
    assert asked.requests[1:] == [KillRequest(True)]
    assert capsys.readouterr().out == "kill switch of everything on, 3 orders cancelled, 5 us\n"


def test_the_status_of_kill_switches_names_instruments(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    asked.answer = {"scopes": [{"account_id": 0, "instrument_id": 1, "symbol": "SIMUSD"}]}
    assert main(["kill-switch", "status"]) == 0
    assert capsys.readouterr().out.split()[-3:] == ["all", "SIMUSD", "all"]
    asked.answer["scopes"] = [{"account_id": 9, "instrument_id": 0, "symbol": "", "strategy_id": 4}]
    assert main(["kill-switch", "status"]) == 0
    assert capsys.readouterr().out.split()[-3:] == ["9", "all", "4"]


def test_a_kill_switch_of_a_strategy_names_its_account(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    asked.answer = {
        **SCOPE,
        "account_id": 9,
        "strategy_id": 4,
        "on": True,
        "cancelled": 2,
        "latency_us": 5.0,
        "scopes": [],
    }
    assert main(["kill-switch", "on", "--account", "9", "--strategy", "4"]) == 0
    assert asked.requests == [KillRequest(True, 9, strategy_id=4)]
    assert capsys.readouterr().out == "kill switch of account 9 with strategy 4 on, 2 orders cancelled, 5 us\n"
    for words in (("--strategy", "4"), ("--account", "9", "--strategy", "4", "--instrument", "SIMUSD")):
        assert main(["kill-switch", "on", *words]) == 2
        assert "--strategy with --account" in capsys.readouterr().err
    assert len(asked.requests) == 1


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        (("--type", "stop", "--trigger", "99"), {"order_type": OrderType.STOP, "trigger": "99"}),
        (
            ("--type", "trailing-stop", "--offset", "50", "--trail-bps", "--trigger-source", "mark"),
            {
                "order_type": OrderType.TRAILING_STOP,
                "offset": "50",
                "trail_bps": True,
                "trigger_source": TriggerSource.MARK,
            },
        ),
        (
            ("--type", "pegged", "--peg", "mid", "--offset", "-0.1"),
            {"order_type": OrderType.PEGGED, "peg": PegReference.MID, "offset": "-0.1"},
        ),
        (
            ("--price", "1", "--display", "0.001", "--tif", "at-open", "--reduce-only"),
            {
                "price": "1",
                "display_quantity": "0.001",
                "time_in_force": TimeInForce.AT_OPEN,
                "reduce_only": True,
            },
        ),
        (
            ("--price", "1", "--group", "3", "--parent", "8", "--post-only", "--slide"),
            {
                "price": "1",
                "group_id": 3,
                "group": GroupKind.OCO,
                "parent_order_id": 8,
                "post_only": True,
                "slide": True,
            },
        ),
        (
            ("--price", "1", "--group", "3", "--group-kind", "ouo", "--hidden", "--min-quantity", "0.002"),
            {"price": "1", "group_id": 3, "group": GroupKind.OUO, "hidden": True, "min_quantity": "0.002"},
        ),
        (("--price", "1", "--all-or-none"), {"price": "1", "all_or_none": True}),
        (
            ("--price", "1", "--tif", "GTD", "--expire-ns", "7"),
            {"price": "1", "time_in_force": TimeInForce.GTD, "expire_ns": 7},
        ),
    ],
)
def test_every_wish_reaches_the_request(asked: Asked, words: tuple[str, ...], fields: dict[str, Any]) -> None:
    asked.answer = {"order_id": 1, "status": "accepted", "latency_us": 1.0}
    assert main([*SUBMIT, *words]) == 0
    assert asked.requests == [OrderRequest("SIMUSD", Side.BUY, "0.01", **fields)]


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--type", "stop-limit", "--trigger", "9"), "--price PRICE with --type stop-limit"),
        (("--type", "limit", "--market"), "either --type limit or --market"),
        (("--type", "market", "--price", "1"), "either --price PRICE or --market"),
        (("--price", "1", "--group-kind", "oco"), "--group NUMBER"),
        (("--type", "bracket", "--price", "1"), "--type"),
    ],
)
def test_what_does_not_go_together_is_said_at_once(
    asked: Asked, words: tuple[str, ...], what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*SUBMIT, *words]) == 2
    assert what in capsys.readouterr().err
    assert asked.requests == []


def test_what_is_special_of_open_orders_is_told_below_them(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    line = {"account_id": 9, "symbol": "SIMUSD", "side": "BUY", "quantity": "2", "leaves_quantity": "2"}
    line |= {"state": "open", "price_decimals": 1, "quantity_decimals": 0}
    stop = {"order_type": "STOP", "trigger": "99", "standing": "WAITING", "price": "", "flags": ["REDUCE_ONLY"]}
    plain = {"order_type": "LIMIT", "trigger": "", "standing": "DISPLAYED", "price": "98", "flags": ["POST_ONLY"]}
    iceberg = plain | {"display_quantity": "1", "time_in_force": "AT_CLOSE", "parent_order_id": 7}
    orders = [{**line, "order_id": 2**63 + key, **each} for key, each in enumerate((stop, plain, iceberg))]
    asked.answer = {"orders": orders, "last_sequence": 1}
    assert main(["order", "list"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in shown[:4]] == ["acc.", "9", "9", "9"]
    assert [row.split() for row in shown[4:7]] == [
        ["order", "type", "trigger", "stands", "terms"],
        [str(2**63), "stop", "99.0", "waiting", "reduce-only"],
        [str(2**63 + 2), "limit", "displayed", "at-close", "post-only", "shows", "1", "of", "7"],
    ]
    assert max(map(len, shown)) <= 80


def test_an_order_without_a_price_is_amended_without_one(asked: Asked) -> None:
    asked.answer = {"order_id": 1, "status": "replaced", "latency_us": 1.0}
    assert main(["order", "amend", "7", "2", "--trigger", "98"]) == 0
    assert asked.requests == [AmendRequest(7, "2", "", trigger="98")]
