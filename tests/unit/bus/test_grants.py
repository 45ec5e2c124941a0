"""Who may publish, send and read what: the table, and the decisions that are remembered."""

from __future__ import annotations

import importlib
import pkgutil

import msgspec
import pytest

import nautilus.model
from nautilus.bus.envelope import Delivery, MessageKind
from nautilus.bus.grants import DEFAULTS, LISTEN, granted, grants_of, refusal, type_of, what_of
from nautilus.bus.keys import AllowedKey, AllowList, new_keys
from nautilus.bus.permissions import Permissions
from nautilus.bus.security import Security
from nautilus.model.alerts import RiskAlert
from nautilus.model.codec import to_json, to_msgpack
from nautilus.model.commands import CancelOrder, CommandMessage, KillSwitch, ResumeTrading, SubmitOrder
from nautilus.model.enums import Side
from nautilus.model.message import Message
from nautilus.model.queries import GetPositions, KillRequest
from nautilus.model.topics import TOPICS

for _module in pkgutil.iter_modules(nautilus.model.__path__):
    importlib.import_module(f"nautilus.model.{_module.name}")

COMMAND, EVENT, REQUEST, REPLY = MessageKind.COMMAND, MessageKind.EVENT, MessageKind.REQUEST, MessageKind.REPLY
ORDER = SubmitOrder(account_id=1, instrument_id=1, order_id=1, side=Side.BUY, quantity=1)
ALERT = RiskAlert(1, 2, 3, 4, "loss", 5, 6)
ENGINES = {"risk": ("risk",), "strategy": ("strategy",), "rim": ("trading", "marketdata"), "core": ()}


def message(
    peer: str, what: Message | bytes, kind: MessageKind = REQUEST, *, sender: str = "", to: str = "core"
) -> Delivery:
    payload = what if isinstance(what, bytes) else to_msgpack(what)
    return Delivery(kind, 1, peer, sender or peer, to, payload, 2)


def _all(kind: type[Message] = Message) -> list[type[Message]]:
    return [each for child in kind.__subclasses__() for each in (child, *_all(child))]


@pytest.mark.parametrize("kind", _all(CommandMessage), ids=lambda kind: kind.__name__)
def test_every_command_to_the_core_has_a_line(kind: type[Message]) -> None:
    assert what_of(kind.__name__, "core") in ("orders", "cancels", "kill", "resume", "phases", "adjust")


def test_what_is_asked_of_engines_in_the_name_of_a_person_has_a_line() -> None:
    asking = [kind.__name__ for kind in _all() if kind.__name__.endswith("Request")]
    assert asking
    assert {name: what_of(name, "trading") for name in asking if what_of(name, "trading") == "ask"} == {}


def test_a_type_that_nobody_knows_needs_a_grant_for_everything() -> None:
    assert what_of("Whatever", "core") == "*"
    assert what_of("", "core") == "*"
    assert what_of("GetPositions", "portfolio") == "ask"


def test_every_topic_has_its_publisher_and_nobody_else() -> None:
    for topic in TOPICS:
        may = [engine for engine, grants in DEFAULTS.items() if granted(grants, "publish", topic.name)]
        assert may == [topic.publisher]


@pytest.mark.parametrize(
    ("grant", "what", "expected"),
    [
        ("publish:risk.*", "publish:risk.alert", True),
        ("publish:risk.*", "publish:riskier", False),
        ("publish:*", "publish:risk.alert", True),
        ("publish:*", "send:orders", False),
        ("publish:risk.alert", "publish:risk.alert", True),
        ("publish:risk.alert", "publish:risk.alert.x", False),
        ("send:orders", "send:*", False),
        ("send:*", "send:*", True),
    ],
)
def test_a_star_stands_for_whatever_follows(grant: str, what: str, expected: bool) -> None:
    assert granted((grant,), *what.split(":")) is expected


@pytest.mark.parametrize("encode", [to_msgpack, to_json])
@pytest.mark.parametrize("what", [ORDER, ALERT, GetPositions(), KillSwitch()])
def test_the_type_of_a_message_is_read_without_decoding_it(encode, what) -> None:
    assert type_of(encode(what)) == type(what).__name__.encode()


def test_another_way_to_write_a_type_hides_nothing() -> None:
    plain = to_msgpack(ORDER)
    name = b"SubmitOrder"
    at = plain.index(name)
    fields = plain[at + len(name) :]
    count = len(SubmitOrder.__struct_fields__) + 1
    hidden = [
        b"\xdc" + count.to_bytes(2, "big") + b"\xd9" + bytes((len(name),)) + name + fields,
        b"\xdc" + count.to_bytes(2, "big") + b"\xda\x00" + bytes((len(name),)) + name + fields,
        b"\xdd" + count.to_bytes(4, "big") + bytes((0xA0 | len(name),)) + name + fields,
        to_json(ORDER).replace(b"SubmitOrder", b"\\u0053ubmitOrder"),
        to_json(ORDER).replace(b"[", b"[\n\t ", 1),
    ]
    permissions = Permissions(ENGINES)
    for payload in hidden:
        assert permissions.refusal(message("risk", payload)) in ("risk may not send *", "risk may not send orders")
    # They are what they are: whoever may send everything is understood.
    assert msgspec.msgpack.decode(hidden[0], type=SubmitOrder) == ORDER


def test_engines_may_what_they_do() -> None:
    permissions = Permissions(ENGINES)
    assert permissions.refusal(message("risk", ALERT, EVENT, to="risk.alert")) == ""
    assert permissions.refusal(message("strategy", ORDER)) == ""
    assert permissions.refusal(message("strategy", CancelOrder(1, 1, 1))) == ""
    assert permissions.refusal(message("risk", KillSwitch())) == ""
    assert permissions.refusal(message("rim", ORDER, sender="trading")) == ""
    assert permissions.refusal(message("strategy", b"", EVENT, to="hello")) == ""
    assert permissions.refused == 0


@pytest.mark.parametrize("encode", [to_msgpack, to_json])
def test_who_may_set_the_kill_switch_may_not_take_it_back(encode) -> None:
    permissions = Permissions(ENGINES)
    for setting in (KillSwitch(), KillRequest(on=True), KillRequest(on=True, account_id=3)):
        assert permissions.refusal(message("risk", encode(setting))) == ""
    for back in (ResumeTrading(), KillRequest(on=False), KillRequest(on=False, account_id=3)):
        assert permissions.refusal(message("risk", encode(back))) == "risk may not send resume"
        assert permissions.refusal(message("rim", encode(back), sender="trading")) == ""
    whole = encode(KillRequest(on=True))
    for torn in (whole[:-1], whole.replace(b"true", b'"no"').replace(b"\xc3", b"\x01")):
        assert permissions.refusal(message("risk", torn)) == "risk may not send resume"
    assert permissions.refusal(message("risk", to_msgpack(KillRequest(on=True)))) == ""


@pytest.mark.parametrize(
    ("what", "why"),
    [
        (message("strategy", KillSwitch()), "strategy may not send kill"),
        (message("risk", ORDER), "risk may not send orders"),
        (message("strategy", b"\x92\xa9RiskAlert", EVENT, to="risk.alert"), "strategy may not publish risk.alert"),
        (message("strategy", b"\x92\xa9RiskAlert", EVENT, to="risk.alert.x"), "strategy may not publish risk.alert"),
        (message("risk", b"\x92\xabOrderFilled", EVENT, to="risk.alert"), "OrderFilled on risk.alert"),
        (message("risk", b"\x90", EVENT, to="weather"), "an event for weather, which is no topic"),
        (message("strategy", ORDER, sender="trading"), "strategy speaks as trading"),
        (message("stranger", ORDER), "stranger may not send orders"),
        (message("core", ORDER), "core may not send orders"),
    ],
)
def test_what_they_do_not_do_is_refused(what: Delivery, why: str) -> None:
    permissions = Permissions(ENGINES)
    assert [permissions.refusal(what) for _ in range(3)] == [why] * 3
    assert permissions.refused == 3


def test_answers_are_waited_for_and_not_judged() -> None:
    assert Permissions({}).refusal(message("stranger", b"", REPLY)) == ""


def test_a_client_of_this_machine_may_what_its_user_may() -> None:
    permissions = Permissions(ENGINES)
    assert permissions.refusal(message("client.me-1", ORDER, sender="me")) == ""
    assert permissions.refusal(message("client.me-1", ORDER, sender="risk")) == "client.me-1 speaks as risk"


def test_a_client_with_a_key_may_what_that_says() -> None:
    keys = [AllowedKey("me", new_keys().public, ("send:ask", "read:risk.*"))]
    permissions = Permissions(ENGINES, Security("core", allowed=keys))
    assert permissions.refusal(message("client.me-1", GetPositions(), sender="me")) == ""
    assert permissions.refusal(message("client.me-1", ORDER, sender="me")) == "client.me-1 may not send orders"
    listen = msgspec.msgpack.encode
    assert permissions.refusal(message("client.me-1", listen(["risk.alert"]), sender="me", to=LISTEN)) == ""
    refused = message("client.me-1", listen(["risk.alert", "trading.report"]), sender="me", to=LISTEN)
    assert permissions.refusal(refused) == "client.me-1 may not read trading.report"


def test_a_change_of_the_list_counts_at_once() -> None:
    key = AllowedKey("strategy", new_keys().public, grants_of(("strategy",)))
    security = Security("core", allowed=[key])
    permissions = Permissions(ENGINES, security)
    order = message("strategy", ORDER)
    assert permissions.refusal(order) == ""
    security.replace(AllowList([msgspec.structs.replace(key, revoked_ns=5)]))
    assert permissions.refusal(order) == "strategy may not send orders"
    assert security.revision == 1
    assert security.refused_messages == 1


def test_decisions_that_are_remembered_are_bounded() -> None:
    permissions = Permissions(ENGINES)
    for number in range(10_000):
        permissions.refusal(message(f"nobody{number}", ORDER))
    assert len(permissions._decided) <= 4_096
    assert refusal((), (), "a", REQUEST, "a", "core", "SubmitOrder") == "a may not send orders"
