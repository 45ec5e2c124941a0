"""The bytes of every record and the value of every enumerator, held against the C compiler and against golden files.

A golden file is written once for a released version of the layout and never edited: what was recorded then must be
read now. Appending is allowed, changing is not.
"""

from __future__ import annotations

import ast
import json
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nautilus.core import types

RECORDS = ("COMMAND", "EVENT", "QUOTE", "TRADE", "BOOK_DELTA")
GOLDEN = Path(__file__).parents[2] / "golden"


def golden(name: str) -> dict[str, Any]:
    return json.loads((GOLDEN / name).read_text())


def stub_enumerations() -> dict[str, dict[str, int]]:
    """{class: {enumerator: value}} of types.pyi."""
    tree = ast.parse(Path(types.__file__).with_name("types.pyi").read_text())
    return {
        node.name: {
            line.targets[0].id: ast.literal_eval(line.value)
            for line in node.body
            if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name)
        }
        for node in tree.body
        if isinstance(node, ast.ClassDef)
    }


@pytest.mark.parametrize("name", RECORDS)
def test_dtype_has_the_size_and_offsets_of_the_c_struct(name: str) -> None:
    size, offsets = types.layout()[name]
    dtype = getattr(types, name)
    assert dtype.itemsize == size
    assert {field: dtype.fields[field][1] for field in dtype.names} == offsets


@pytest.mark.parametrize("name", RECORDS)
def test_record_is_aligned_little_endian_and_without_padding(name: str) -> None:
    dtype = getattr(types, name)
    assert dtype.isalignedstruct
    assert dtype.alignment == 8
    assert dtype.itemsize <= 128
    assert sum(dtype[field].itemsize for field in dtype.names) == dtype.itemsize
    for field in dtype.names:
        offset = dtype.fields[field][1]
        assert dtype[field] == dtype[field].newbyteorder("<")
        assert offset % dtype[field].itemsize == 0, f"{name}.{field} at {offset}"


def test_a_plain_order_needs_only_the_first_cache_line() -> None:
    first_line = {name for name in types.COMMAND.names if types.COMMAND.fields[name][1] < 64}
    plain = {"now_ns", "order_id", "price_ticks", "quantity", "instrument_id", "account_id", "kind", "side"}
    plain |= {"sequence", "order_type", "time_in_force", "flags", "source_id", "source_sequence"}
    assert first_line == plain


@pytest.mark.parametrize("name", RECORDS)
def test_records_of_version_1_are_still_read(name: str) -> None:
    record = golden("records_v1.json")["records"][name]
    dtype = getattr(types, name)
    read = np.frombuffer(bytes.fromhex(record["bytes"]), dtype)
    assert len(read) == 1
    assert {field: int(read[field][0]) for field in record["fields"]} == record["fields"]


def test_enumerators_of_version_1_keep_their_values() -> None:
    for name, members in golden("enumerations_v1.json")["enumerations"].items():
        found = {member: int(value) for member, value in getattr(types, name).__members__.items()}
        assert found.items() >= members.items(), name


def test_stub_declares_exactly_the_enumerators_that_exist() -> None:
    for name, members in stub_enumerations().items():
        assert {member: int(value) for member, value in getattr(types, name).__members__.items()} == members, name


def test_no_two_enumerators_share_a_value() -> None:
    for name in stub_enumerations():
        members = getattr(types, name).__members__.values()
        assert len({int(member) for member in members}) == len(members), name


def test_no_enumerator_but_reason_none_is_zero() -> None:
    for name in stub_enumerations():
        enumeration = getattr(types, name)
        zero = [member for member in enumeration.__members__.values() if member == 0]
        assert zero == ([types.Reason.NONE] if enumeration is types.Reason else [])


def test_enumerators_fit_their_fields() -> None:
    for enumeration in (
        types.CommandKind,
        types.EventKind,
        types.Side,
        types.OrderType,
        types.TimeInForce,
        types.Reason,
    ):
        assert issubclass(enumeration, IntEnum)
        assert max(enumeration) < 256
    controls = [reason for reason in types.Reason if reason < 32]
    assert 1 << max(controls) < 1 << 32, "each control is a bit of event_t.flags"


def test_bounds_are_those_of_the_kernel_rules() -> None:
    assert (types.MAX_PRICE_TICKS, types.MAX_QUANTITY_LOTS) == (1 << 40, 1 << 40)
    assert (types.MAX_MULTIPLIER, types.MAX_POSITION_LOTS) == (1 << 20, 1 << 50)
    assert (types.RULES_VERSION, types.LAYOUT_VERSION) == (2, 1)
