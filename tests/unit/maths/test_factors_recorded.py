"""The factor model on real prices of twenty stocks, some of which came later, beside toraniko."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from nautilus.maths import factors, styles
from tests.kit.data import recording

LAST = 1_100
"""Rows from the end: some of the stocks were not listed before."""
GROUPS = {
    "consumer": ("WMT", "UAA", "SHLD", "BBY", "SBUX", "GM", "AMZN", "BABA"),
    "finance": ("BAC", "MA", "JPM"),
    "industry": ("GE", "XOM", "RRC", "PFE", "T"),
    "technology": ("GOOG", "AAPL", "FB", "AMD"),
}


@pytest.mark.filterwarnings("ignore:All-NaN slice")
def test_real_returns_give_toranikos_factors() -> None:
    model = pytest.importorskip("toraniko.model")
    theirs = pytest.importorskip("toraniko.styles")
    from tests.kit.toraniko_frames import days_of, matrix, table

    with recording("panel_close/ppo_stock_prices.csv").open() as file:
        header, *rows = csv.reader(file)
    symbols = tuple(header[1:])
    prices = np.array([[float(cell) if cell else np.nan for cell in row[1:]] for row in rows[-LAST:]])
    returns = prices[1:] / prices[:-1] - 1.0
    # Shares are not recorded: a price of 100 million of them stands for the capitalisation.
    caps = 1e8 * prices[1:]
    present = np.isfinite(returns)
    assert not present.all()  # some came later
    codes = np.array([next(n for n, group in enumerate(GROUPS.values()) if symbol in group) for symbol in symbols])
    scores = {"mom_score": styles.momentum(returns, 126, 42, 20), "sze_score": styles.size(caps)}
    expected = theirs.factor_mom(table(present, symbols, asset_returns=returns), 126, 42, 20).collect()
    found = matrix(expected, "mom_score", returns.shape, symbols)
    np.testing.assert_allclose(scores["mom_score"], found, rtol=1e-9, atol=1e-9)
    dummies = {name: (codes == place).astype(np.float64) for place, name in enumerate(GROUPS)}
    whole = np.isfinite(np.stack(list(scores.values()))).all(axis=0)
    their_returns, their_residuals = model.estimate_factor_returns(
        table(present, symbols, asset_returns=returns),
        table(present, symbols, market_cap=caps),
        table(present, symbols, **dummies),
        table(whole, symbols, **scores),
    )
    their_returns, their_residuals = their_returns.sort("date"), their_residuals.sort("date")
    ours = factors.estimate(returns, caps, factors.Sectors(tuple(GROUPS), codes), scores)
    np.testing.assert_array_equal(ours.days, days_of(their_returns))
    np.testing.assert_allclose(
        ours.returns, their_returns.select(["market", *sorted(GROUPS), *scores]).to_numpy(), rtol=1e-9, atol=1e-9
    )
    # Its table of residuals has no column for a stock that first takes part after a hundred days.
    places = [place for place, symbol in enumerate(symbols) if symbol in their_residuals.columns]
    assert len(places) >= 18
    left = their_residuals.select([symbols[place] for place in places]).to_numpy().astype(np.float64)
    np.testing.assert_allclose(ours.residuals[:, places], left, rtol=1e-9, atol=1e-9)
    assert len(ours.days) > 900
