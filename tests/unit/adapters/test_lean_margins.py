"""The exchange's history of futures margin as Lean keeps it."""

import pytest

from nautilus.adapters.formats.lean_margins import read_margins
from nautilus.adapters.formats.recording import FormatError
from nautilus.maths.errors import Undefined
from nautilus.maths.futures_margin import RateHistory
from tests.kit.data import recording


def test_every_recorded_history_is_read_and_holds_by_day():
    files = sorted(recording("margins_cme_lean").glob("*.csv"))
    assert len(files) == 51
    for path in files:
        found = read_margins(path)
        history = RateHistory(list(zip(found.days, found.initial, found.maintenance, strict=True)))
        assert history.on(found.days[-1]).initial == found.initial[-1]
        with pytest.raises(Undefined):
            history.on(found.days[0] - 1)


def test_a_rate_holds_from_its_day_until_the_next():
    found = read_margins(recording("margins_cme_lean/E7.csv"))
    history = RateHistory(list(zip(found.days, found.initial, found.maintenance, strict=True)))
    assert found.product == "E7"
    assert history.on(20120628)[1:] == (2363.0, 1750.0)
    assert history.on(20120629)[1:] == (2025.0, 1500.0)
    assert history.on(20120906)[1:] == (2025.0, 1500.0)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "head"),
        ("day,initial\n", "head"),
        ("date,initial,maintenance\n# nothing\n", "no rows"),
        ("date,initial,maintenance\n2020010,1,1\n", "row"),
        ("date,initial,maintenance\n20200102,-1,1\n", "row"),
        ("date,initial,maintenance\n20200102,2,1\n20200102,2,1\n", "ascending"),
        ("date,initial,maintenance\n20200102,1,2\n", "below"),
    ],
)
def test_a_file_that_is_none_is_refused_with_its_line(tmp_path, text, what):
    path = tmp_path / "ES.csv"
    path.write_text(text)
    with pytest.raises(FormatError, match=what):
        read_margins(path)
