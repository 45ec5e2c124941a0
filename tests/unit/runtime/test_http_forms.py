"""How messages look over HTTP: every message there and back, and the schema that describes it."""

from __future__ import annotations

import enum
from typing import Annotated, Union, get_args, get_origin

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nautilus.model.codec import MESSAGES
from nautilus.model.enums import OrderType, Priority, Reason, Side
from nautilus.model.errors import InternalError, ModelError
from nautilus.model.events import OrderFilled, OrderRejected
from nautilus.model.queries import PERSON_ACCOUNT, OrderRequest, OrderResult, Reports
from nautilus.runtime.http.forms import (
    MOST,
    MOST_ID,
    expected_of,
    field_forms,
    form_of,
    is_whole,
    request_form,
    request_forms,
    request_struct,
    struct_of,
)

FILLED = OrderFilled(1, 2, 3, 4, 5, 6, Side.BUY, 7, 8, 2**80, match_id=10, maker=True)
REJECTED = OrderRejected(1, 2, 3, 4, 5, 6, None, 7, 8, 9, reason=Reason.TICK, violated=(Reason.TICK, Reason.LOT))


def values_of(annotation):
    """Values that a field of this type can have."""
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return st.deferred(lambda: messages_of(annotation))
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return st.sampled_from(annotation)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        kind, meta = arguments
        if kind is int:
            return st.integers(meta.ge, meta.le)
        if kind is float:
            least, most = (meta.gt if meta.ge is None else meta.ge), (meta.lt if meta.le is None else meta.le)
            return st.floats(
                least, most, exclude_min=meta.gt is not None, exclude_max=meta.lt is not None, allow_nan=False,
                allow_infinity=False,
            )  # fmt: skip
        if meta.pattern is not None:
            return st.from_regex(meta.pattern, fullmatch=True).filter(lambda text: len(text) <= (meta.max_length or 99))
        least, most = meta.min_length or 0, meta.max_length or 1_000
        return values_of(kind).filter(lambda value: least <= len(value) <= most)
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(values_of(arguments[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*map(values_of, arguments))
    if origin is dict:
        return st.dictionaries(*map(values_of, arguments), max_size=3)
    if arguments:
        return st.one_of(*map(values_of, arguments))
    plain = {
        int: st.integers(-(2**90), 2**90),
        str: st.text(st.characters(exclude_categories=("Cs",)), max_size=5),
        float: st.floats(allow_nan=False, allow_infinity=False),
        bool: st.booleans(),
        bytes: st.binary(max_size=5),
        type(None): st.none(),
    }
    return plain[annotation]


def messages_of(kind):
    fields = {field.name: values_of(field.type) for field in msgspec.structs.fields(kind)}
    return st.fixed_dictionaries(fields).map(lambda values: made(kind, values)).filter(bool)


def made(kind, values):
    try:
        return kind(**values)
    except ModelError:
        return None


CHECKED = ("Instrument", "Limits", "Account")  # refuse most values: chosen ones are below


@pytest.mark.parametrize("kind", [kind for kind in MESSAGES if kind.__name__ not in CHECKED], ids=lambda k: k.__name__)
@settings(max_examples=8)
@given(st.data())
def test_every_message_comes_back_as_it_went(kind, data):
    message = data.draw(messages_of(kind))
    assume(message is not None)
    form = form_of(kind)
    text = msgspec.json.encode(form.leave(message) if form.leave else message)
    assert form.enter(msgspec.json.decode(text, type=form.type)) == message


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
def test_every_message_has_a_form_and_a_schema(kind):
    (reference,), components = msgspec.json.schema_components([struct_of(kind)], ref_template="#/{name}")
    assert reference == {"$ref": f"#/{kind.__name__}"}
    schema = components[kind.__name__]
    assert list(schema["properties"]) == list(kind.__struct_fields__)
    assert schema["additionalProperties"] is False


def test_messages_are_objects_and_enumerations_are_names():
    assert form_of(OrderRejected).leave(REJECTED) == {
        "sequence": 1,
        "now_ns": 2,
        "account_id": 3,
        "strategy_id": 4,
        "instrument_id": 5,
        "order_id": 6,
        "side": None,
        "price_ticks": 7,
        "quantity": 8,
        "leaves_quantity": 9,
        "source_sequence": 0,
        "reason": "TICK",
        "violated": ["TICK", "LOT"],
        "request": "NEW",
    }


def test_one_of_several_types_names_itself_first():
    left = form_of(Reports).leave(Reports((FILLED, REJECTED), 9, True))
    assert [next(iter(report.items())) for report in left["reports"]] == [
        ("type", "OrderFilled"),
        ("type", "OrderRejected"),
    ]
    again = msgspec.json.decode(msgspec.json.encode(left), type=struct_of(Reports))
    assert form_of(Reports).enter(again) == Reports((FILLED, REJECTED), 9, True)


def test_defaults_are_described_as_they_are_written():
    _, components = msgspec.json.schema_components([struct_of(OrderRequest)])
    properties = components["OrderRequest"]["properties"]
    assert properties["order_type"]["default"] == "LIMIT"
    assert properties["account_id"]["default"] == PERSON_ACCOUNT
    assert components["OrderRequest"]["required"] == ["instrument", "side", "quantity"]
    decoded = msgspec.convert({"instrument": "X", "side": "SELL", "quantity": "2"}, struct_of(OrderRequest))
    assert form_of(OrderRequest).enter(decoded) == OrderRequest("X", Side.SELL, "2")


@pytest.mark.parametrize(
    "change",
    [
        {"side": 1},
        {"side": "buy"},
        {"side": None},
        {"extra": 1},
        {"quantity": 2},
        {"account_id": "1"},
        {"account_id": 1.5},
        {"post_only": 1},
    ],
)
def test_another_type_or_an_unknown_field_is_refused(change):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"instrument": "X", "side": "SELL", "quantity": "2"} | change, struct_of(OrderRequest))


def test_number_in_place_of_a_member_still_leaves_as_its_name():
    result = OrderResult(1, "rejected", 2.0, reason=int(Reason.TICK))
    assert form_of(OrderResult).leave(result)["reason"] == "TICK"


def test_expectations_are_told_in_words():
    fields = field_forms(OrderRequest)
    assert expected_of(fields["side"]) == "one of BUY, SELL"
    assert expected_of(fields["order_type"]).startswith("one of LIMIT, MARKET")
    assert expected_of(fields["account_id"]) == "a whole number"
    assert expected_of(fields["quantity"]) == "text"
    assert expected_of(request_forms(OrderRequest)["expire_ns"]) == "a whole number"
    assert expected_of(request_forms(Odd)["bounded"]) == "a whole number"
    assert expected_of(request_forms(Asked)["order_id"]) == f"a whole number from 0 to {MOST_ID}"
    assert expected_of(request_forms(Asked)["account_id"]) == "a whole number from 1 to 9"
    assert expected_of(request_forms(Asked)["accounts"]) == "whole numbers from 1 to 9"


class Odd(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """As a message might be some day. (A real one would have to be known to the codec.)"""

    bounded: Annotated[int, msgspec.Meta(ge=1)]
    urgent: Annotated[Priority, "of a sort"]
    by_name: dict[str, int]
    pairs: tuple[tuple[int, str], ...] = ()
    order_type: OrderType | None = None
    filled: OrderFilled | None = None
    more: list[Side] = []


class Asked(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """As a request might be."""

    order_id: int
    account_id: Annotated[int, msgspec.Meta(ge=1, le=9)] = 1
    limit: int = 0
    accounts: tuple[Annotated[int, msgspec.Meta(ge=1, le=9)], ...] = ()
    client_order_id: str = ""


def asked(**fields):
    form = request_form(Asked)
    return form.enter(msgspec.convert(fields, form.type))


def test_ids_of_a_request_may_be_text_and_keep_their_bounds():
    for number in (0, 9223372036854775807, MOST_ID):
        assert asked(order_id=number) == asked(order_id=str(number)) == Asked(number)
    assert asked(order_id="1", account_id="9") == Asked(1, 9)
    for wrong in ({"order_id": -1}, {"order_id": MOST_ID + 1},
        {"order_id": str(MOST_ID + 1)},
        {"order_id": 1, "account_id": "10"}, {"order_id": "-1"}, {"order_id": "01"}, {"order_id": "1.0"},
                  {"order_id": 1.0}, {"order_id": 1, "account_id": 10}, {"order_id": 1, "limit": "1"},
                  {"order_id": 1, "limit": MOST + 1}, {"order_id": 1, "client_order_id": 1}):  # fmt: skip
        with pytest.raises(msgspec.ValidationError):
            asked(**wrong)


def test_bounds_of_a_request_are_described():
    _, components = msgspec.json.schema_components([request_struct(Asked, frozenset(), "asked")])
    fields = components["asked"]["properties"]
    number, text = fields["order_id"]["anyOf"]
    assert (number["minimum"], number["maximum"], text["type"]) == (0, MOST_ID, "string")
    assert fields["order_id"]["description"] == "Also as text."
    assert (fields["limit"]["minimum"], fields["limit"]["maximum"]) == (-MOST - 1, MOST)
    assert fields["client_order_id"]["type"] == "string"


def test_types_that_hold_whole_numbers_are_known():
    for kind in (int, Annotated[int, msgspec.Meta(ge=1)], tuple[int, ...], int | None, list[Annotated[int, "x"]]):
        assert is_whole(kind)
    for kind in (str, bool, float, Side, tuple[str, ...], str | None, OrderFilled):
        assert not is_whole(kind)


def test_less_common_types_come_back_too():
    message = Odd(3, Priority.LOW, {"a": 1}, ((1, "x"), (2, "y")), OrderType.STOP, FILLED, [Side.BUY])
    left = form_of(Odd).leave(message)
    assert (left["urgent"], left["order_type"], left["more"]) == ("LOW", "STOP", ["BUY"])
    again = msgspec.json.decode(msgspec.json.encode(left), type=struct_of(Odd))
    assert form_of(Odd).enter(again) == message
    with pytest.raises(msgspec.ValidationError, match=">= 1"):
        msgspec.convert(left | {"bounded": 0}, struct_of(Odd))


@pytest.mark.parametrize(
    "annotation",
    [dict[str, Side], Union[OrderFilled, int], Union[Side, int], tuple[Side, int]],  # noqa: UP007
    ids=str,
)
def test_types_that_have_no_form_are_refused_when_they_are_declared(annotation):
    with pytest.raises(InternalError):
        form_of(annotation)
