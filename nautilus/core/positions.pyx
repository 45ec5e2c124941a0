"""Positions: a face for the tests of the arithmetic."""

from libc.stdint cimport int64_t
from libc.string cimport memset

from nautilus.core.money cimport money_int


cdef class Position:
    """One thread. A position alone: quantity in lots, cost and realised P&L in units of the currency."""

    cdef position_t state
    cdef int64_t multiplier

    def __cinit__(self, int64_t multiplier=1):
        memset(&self.state, 0, sizeof(position_t))
        self.multiplier = multiplier

    def fill(self, bint buy, int64_t price_ticks, int64_t quantity):
        """Books a fill of `quantity` > 0 lots at `price_ticks`."""
        position_fill(&self.state, buy, price_ticks, quantity, self.multiplier)

    @property
    def quantity(self):
        """Lots held, negative when short."""
        return self.state.quantity

    @property
    def cost(self):
        """Cash flow that opened what is held."""
        return money_int(self.state.cost)

    @property
    def realised(self):
        """Realised P&L."""
        return money_int(self.state.realised)
