"""Effects of an attribution, of each period and segment and over all periods."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nautilus.maths.linking import Floats, compounded


@dataclass(frozen=True, slots=True)
class Brinson:
    """Effects of each period and segment, and linked over all periods.

    Attributes
    ----------
    method, linking : as asked for.
    allocation, selection, interaction : shape (periods, segments), as fractions of that period's beginning value.
    portfolio_returns, benchmark_returns : shape (periods,).
    coefficients : shape (periods,), what an effect of that period counts in the whole.
    portfolio_return, benchmark_return : compounded over all periods.
    """

    method: str
    linking: str
    allocation: Floats
    selection: Floats
    interaction: Floats
    portfolio_returns: Floats
    benchmark_returns: Floats
    coefficients: Floats
    portfolio_return: float
    benchmark_return: float

    @property
    def active_return(self) -> float:
        """Compounded return of the portfolio less that of the benchmark; the linked effects add up to it."""
        return self.portfolio_return - self.benchmark_return

    @property
    def linked_allocation(self) -> Floats:
        """Shape (segments,): allocation over all periods."""
        return np.asarray(self.coefficients @ self.allocation)

    @property
    def linked_selection(self) -> Floats:
        """Shape (segments,): selection over all periods."""
        return np.asarray(self.coefficients @ self.selection)

    @property
    def linked_interaction(self) -> Floats:
        """Shape (segments,): interaction over all periods."""
        return np.asarray(self.coefficients @ self.interaction)

    @property
    def totals(self) -> tuple[float, float, float]:
        """Allocation, selection and interaction over all periods and segments."""
        return (
            float(self.linked_allocation.sum()),
            float(self.linked_selection.sum()),
            float(self.linked_interaction.sum()),
        )

    @property
    def residual(self) -> float:
        """What of the active return no effect explains: rounding only."""
        return self.active_return - sum(self.totals)


@dataclass(frozen=True, slots=True)
class GeometricBrinson:
    """Geometric effects: (1 + allocation) (1 + selection) = (1 + R_p) / (1 + R_b), in each period and over all.

    Attributes
    ----------
    allocation, selection : shape (periods, segments); selection includes interaction.
    portfolio_returns, benchmark_returns : shape (periods,).
    semi_notional_returns : shape (periods,), of the portfolio's weights at the benchmark's returns.
    portfolio_return, benchmark_return : compounded over all periods.
    """

    allocation: Floats
    selection: Floats
    portfolio_returns: Floats
    benchmark_returns: Floats
    semi_notional_returns: Floats
    portfolio_return: float
    benchmark_return: float

    @property
    def total_allocation(self) -> float:
        """Compounded allocation over all periods."""
        return compounded(self.allocation.sum(axis=1))

    @property
    def total_selection(self) -> float:
        """Compounded selection over all periods."""
        return compounded(self.selection.sum(axis=1))

    @property
    def excess_return(self) -> float:
        """Geometric excess return over all periods."""
        return (1.0 + self.portfolio_return) / (1.0 + self.benchmark_return) - 1.0

    @property
    def residual(self) -> float:
        """What of the excess return the two effects do not explain: rounding only."""
        return self.excess_return - ((1.0 + self.total_allocation) * (1.0 + self.total_selection) - 1.0)
