"""Bytes of TICK, QUARANTINE, BAR and FLOW, and their structs."""

import numpy as np
import pytest

from nautilus.bus.base import BY_NAME, LAYOUTS
from nautilus.bus.snapshots import BY_KIND_FOLD, Fold
from nautilus.core import ticks
from nautilus.core.types import RecordFlag
from nautilus.model import codec
from nautilus.model.marketdata import Bar, Flow, bar_records, bars, flow_records, flows
from nautilus.model.topics import BARS, FLOWS, topic_of

SIZES = {"TICK": 64, "QUARANTINE": 80, "BAR": 104, "FLOW": 56}
BAR = Bar(9, 1, 5, 100, 110, 90, 105, 12, 7, 1234.5, 10, 3, 2, ticks.BarKind.VOLUME, 1)
FLOW = Flow(9, 1, -40, 1000, 900, 4, 2, 5, 1)


@pytest.mark.parametrize("name", SIZES)
def test_dtype_has_the_size_and_offsets_of_the_c_struct(name):
    size, offsets = ticks.layout()[name]
    dtype = getattr(ticks, name)
    assert dtype.itemsize == size == SIZES[name]
    assert {field: dtype.fields[field][1] for field in dtype.names} == offsets
    assert dtype.isalignedstruct
    assert sum(dtype[field].itemsize for field in dtype.names) == size


def test_a_quarantined_record_begins_with_its_tick():
    assert ticks.QUARANTINE.names[: len(ticks.TICK.names)] == ticks.TICK.names


def test_the_gap_flag_is_none_of_the_others():
    assert not ticks.GAP_FLAG & sum(RecordFlag)


@pytest.mark.parametrize(
    ("message", "write", "read", "topic"),
    [(BAR, bar_records, bars, BARS), (FLOW, flow_records, flows, FLOWS)],
)
def test_records_and_structs_say_the_same(message, write, read, topic):
    records = write([message, message])
    assert records.dtype == topic.record
    assert read(records) == [message, message]
    assert topic_of(records) is topic
    assert codec.from_json(codec.to_json(message)) == message
    assert codec.from_msgpack(codec.to_msgpack(message)) == message


def test_every_field_of_a_record_has_its_place_in_the_struct():
    for dtype, kind in ((ticks.BAR, Bar), (ticks.FLOW, Flow)):
        named = [name for name in dtype.names if name not in ("reserved", "padding")]
        assert named == list(kind.__struct_fields__)


def test_the_star_carries_each_bar_and_flow_for_itself():
    numbers = [BY_NAME[topic.name].kind for topic in (BARS, FLOWS)]
    assert numbers == [5, 6]
    assert [BY_KIND_FOLD[number] for number in numbers] == [Fold.EVENTS, Fold.EVENTS]
    assert len({layout.record_size for layout in LAYOUTS if layout.topic in (BARS, FLOWS)}) == 2


def test_empty_arrays_have_no_structs():
    assert bars(np.empty(0, ticks.BAR)) == flows(np.empty(0, ticks.FLOW)) == []
