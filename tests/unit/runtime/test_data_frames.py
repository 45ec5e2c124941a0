"""What the door and its process say: joined from pieces it is what the codec and the form for HTTP make of it whole."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.model.codec import from_msgpack
from nautilus.model.datasets import (
    DataAnswer,
    DataKind,
    EconomicFact,
    GetBarFacts,
    GetData,
    Provenance,
)
from nautilus.model.errors import ModelError
from nautilus.model.moments import moment_ns
from nautilus.runtime.data_frames import (
    Ask,
    Failed,
    FrameError,
    Frames,
    body_head,
    packed,
    to_child,
    wire_head,
)
from nautilus.runtime.http.forms import form_of
from nautilus.runtime.wire import Encoded, to_wire

WHERE = Provenance("fred", "https://fred", 5)
ANSWER = DataAnswer(
    DataKind.ECONOMIC, "GDP", "fred", (EconomicFact("GDP", 1, 2, 3.5, "USD", "Q", 4, WHERE),) * 3, WHERE
)


def whole(answer: DataAnswer) -> bytes:
    leave = form_of(DataAnswer).leave
    assert leave is not None
    return msgspec.json.encode(leave(answer))


@given(st.floats(0, 1e6), st.booleans(), st.booleans(), st.text(max_size=200))
def test_an_answer_of_pieces_is_the_answer(age, stale, cached, reason):
    encoded = Encoded(wire_head(ANSWER), body_head(whole(ANSWER)), age, stale, cached, reason)
    expected = msgspec.structs.replace(ANSWER, age_seconds=age, stale=stale, cached=cached, reason=reason)
    assert encoded.message() == from_msgpack(to_wire(encoded)) == expected
    shown = msgspec.json.decode(encoded.body)
    assert shown.pop("age_seconds") == pytest.approx(age, abs=1e-6)
    assert shown == {key: value for key, value in msgspec.json.decode(whole(expected)).items() if key != "age_seconds"}


@given(st.lists(st.integers(1, 40), max_size=20))
def test_frames_come_whole_however_they_are_cut(cuts):
    said = [Failed(number, "source.timeout", "x" * number, "", "") for number in range(5)]
    content = b"".join(map(packed, said))
    frames, found, at = Frames(1 << 20), [], 0
    for cut in [*cuts, len(content)]:
        found += frames.take(content[at : at + cut])
        at += cut
    assert found == said


def test_what_is_no_frame_is_refused():
    with pytest.raises(FrameError, match="at most 16"):
        list(Frames(16).take(packed(Failed(1, "a long code that does not fit", "", "", ""))))
    with pytest.raises(FrameError):
        list(Frames(1 << 20).take(b"\x03\x00\x00\x00abc"))


def test_a_question_reaches_the_child():
    ask = Ask(3, GetBarFacts("AAPL", begin="2024-01-31", end="2024-01-31T12:00:00+01:00", limit=2).question())
    assert to_child(packed(ask)[4:]) == ask
    day_ns = 1_706_659_200_000_000_000
    assert ask.question == GetData(DataKind.BAR, "AAPL", "", "1d", day_ns, day_ns + 11 * 3_600_000_000_000, 2)


@pytest.mark.parametrize(("text", "found"), [("", 0), ("1706659200000000000", 1_706_659_200_000_000_000)])
def test_times_as_people_write_them(text, found):
    assert moment_ns(text, "begin") == found


def test_a_time_that_is_none_is_refused():
    with pytest.raises(ModelError, match="begin: time 'soon'"):
        moment_ns("soon", "begin")
