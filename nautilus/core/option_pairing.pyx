"""Any thread. Strategies that options of one underlying are margined as: the pairing with the least requirement.

Per underlying one transportation problem over two-leg strategies (cover by a long option or by stock, straddle, naked,
stock protected by a long option), then one over pairs of spreads, one over collars; the rules are in
`nautilus.maths.strategies`, which calls this. Solved by successive shortest paths (Bellman and Ford), so exactly.
"""

import numpy as np

from libc.math cimport INFINITY, fabs, floor, fmax, fmin
from libc.stdint cimport int8_t, int64_t
from libc.stdlib cimport free, malloc

cdef enum:
    COLUMNS = 8
    NAKED_ROW = 1
    SPREAD_ROW = 2
    COVERED_ROW = 3
    STRADDLE_ROW = 4
    IRON_ROW = 5
    PROTECTED_ROW = 6
    MAX_LOSS_ROW = 7

cdef enum:
    MOST_LEGS = 2048            # options of one underlying: two square tables of them are in memory
    MOST_OPTIONS = 1 << 22
cdef double TINY = 1e-9

NAKED, SPREAD, COVERED, STRADDLE, IRON, PROTECTED, MAX_LOSS = range(1, 8)


cdef struct Table:
    const double* quantity
    const double* strike
    const int64_t* expiry
    const double* value
    const double* naked
    const int8_t* is_call


include "transport.pxi"


cdef double combined_loss(const Table* t, int a, int b, int c, int d, double multiplier) noexcept nogil:
    """Largest loss at expiry of a short a, long b of calls and a short c, long d of puts, at their strikes."""
    cdef double worst = 0.0, price, loss
    cdef int place
    cdef int[4] legs
    legs[0], legs[1], legs[2], legs[3] = a, b, c, d
    for place in range(4):
        price = t.strike[legs[place]]
        loss = fmax(price - t.strike[a], 0.0) - fmax(price - t.strike[b], 0.0)
        loss += fmax(t.strike[c] - price, 0.0) - fmax(t.strike[d] - price, 0.0)
        worst = fmax(worst, loss)
    return worst * multiplier


cdef class Rows:
    """Strategies found, as rows of (group, kind, leg, leg, leg, leg, quantity, requirement); -1: no leg, -2: stock."""

    def __cinit__(self, int capacity):
        self.table = np.empty((capacity, COLUMNS))
        self.view = self.table
        self.count = 0
        self.lost = False

    cdef void add(
        self, int group, int kind, int a, int b, int c, int d, double quantity, double requirement
    ) noexcept nogil:
        cdef int row = self.count
        if row >= self.view.shape[0]:
            self.lost = True
            return
        self.view[row, 0] = group
        self.view[row, 1] = kind
        self.view[row, 2] = a
        self.view[row, 3] = b
        self.view[row, 4] = c
        self.view[row, 5] = d
        self.view[row, 6] = quantity
        self.view[row, 7] = requirement
        self.count = self.count + 1


cdef double pair_group(
    const Table* t, int begin, int end, int group, int64_t without, double spot, double lots, double multiplier,
    double long_rate, double short_rate, Scratch* s, Rows rows, double* relief
) noexcept nogil:
    """Requirement of the shorts of one underlying, less what protection saves on its stock; `without`: expiries left out.

    Bit e of `without` leaves out the e-th distinct expiry, numbered by first appearance.
    """
    cdef int a_count = 0, d_count = 0, b_count = 0, c_count = 0, i, j, row, column, columns, k, units, put_units
    cdef double largest = 0.0, total = 0.0, amount, big, cost, used, bare
    cdef int stock_row = -1, stock_column = -1
    relief[0] = 0.0
    # left: short calls, then long puts and short stock; right: short puts, then long calls and long stock.
    for i in range(begin, end):
        s.remaining[i - begin] = 0.0
        if t.quantity[i] == 0.0 or without >> s.order[i - begin] & 1:
            continue
        s.remaining[i - begin] = fabs(t.quantity[i])
        largest = fmax(largest, fmax(t.naked[i] + t.value[i], t.strike[i] * multiplier))
        if t.quantity[i] < 0 and t.is_call[i]:
            s.left[a_count] = i
            a_count += 1
        elif t.quantity[i] < 0:
            s.right[b_count] = i
            b_count += 1
    largest = fmax(largest, spot * multiplier)
    big = 8.0 * largest + 8.0
    s.tolerance = 1e-12 * big
    s.lost = s.lost or big == INFINITY
    row, column = a_count, b_count
    for i in range(begin, end):
        if s.remaining[i - begin] == 0.0 or t.quantity[i] < 0:
            continue
        if t.is_call[i]:
            s.right[column] = i
            column += 1
        else:
            s.left[row] = i
            row += 1
    d_count, c_count = row - a_count, column - b_count
    if lots <= -1.0:
        s.left[row] = -2
        stock_row = row
        row += 1
    if lots >= 1.0:
        s.right[column] = -2
        stock_column = column
        column += 1
    columns = column + 1  # the last takes what is not matched
    for i in range(row + 1):
        s.reward[i] = -big if i < a_count else 0.0  # short calls have to go somewhere
    for i in range(row):
        s.supply[i] = s.remaining[s.left[i] - begin] if s.left[i] >= 0 else floor(-lots)
    for j in range(column):
        s.capacity[j] = s.remaining[s.right[j] - begin] if s.right[j] >= 0 else floor(lots)
    s.capacity[column] = INFINITY
    s.supply[row] = 0.0
    for j in range(b_count):
        s.supply[row] += s.capacity[j]  # naked puts
    for i in range(row + 1):
        for j in range(columns):
            s.cost[i * columns + j] = pair_cost(
                t, i, j, row, column, a_count, b_count, s, spot, multiplier, long_rate, short_rate, big
            )
    if a_count + b_count:
        ship(row + 1, columns, s)
    units = put_units = 0
    used = 0.0
    for i in range(row + 1):
        for j in range(columns):
            amount = s.flow[i * columns + j] if a_count + b_count else 0.0
            if amount <= TINY:
                continue
            cost = s.cost[i * columns + j]
            if j < b_count:
                cost += big
            if i < row and i >= a_count and j == column:
                continue  # a long put or short stock that covers nothing
            if i == row and j >= b_count:
                continue
            if i < row and s.left[i] >= 0:
                s.remaining[s.left[i] - begin] -= amount
            if j < column and s.right[j] >= 0:
                s.remaining[s.right[j] - begin] -= amount
            if a_count <= i < row and j >= b_count:
                relief[0] -= amount * cost
                used += amount
                rows.add(
                    group, PROTECTED_ROW, s.left[i] if s.left[i] >= 0 else s.right[j], -2, -1, -1, amount, cost
                )
                continue
            total += amount * cost
            if i < a_count and j < b_count:
                rows.add(group, STRADDLE_ROW, s.left[i], s.right[j], -1, -1, amount, cost)
            elif i < a_count and j == column:
                rows.add(group, NAKED_ROW, s.left[i], -1, -1, -1, amount, cost)
            elif i == row:
                rows.add(group, NAKED_ROW, s.right[j], -1, -1, -1, amount, cost)
            elif j == stock_column:
                rows.add(group, COVERED_ROW, s.left[i], -2, -1, -1, amount, cost)
                add_unit(s.units, &units, s.left[i], -2, amount, cost)
                used += amount
            elif i == stock_row:
                rows.add(group, COVERED_ROW, s.right[j], -2, -1, -1, amount, cost)
                add_unit(s.put_units, &put_units, s.right[j], -2, amount, cost)
                used += amount
            elif i < a_count:
                add_unit(s.units, &units, s.left[i], s.right[j], amount, cost)
            else:
                add_unit(s.put_units, &put_units, s.right[j], s.left[i], amount, cost)
    total += pair_spreads(t, group, multiplier, units, put_units, s, rows)
    if lots >= 1.0 or lots <= -1.0:
        bare = floor(fabs(lots)) - used
        relief[0] += protect(
            t, begin, end, group, spot, bare, multiplier, long_rate if lots > 0 else short_rate, lots > 0,
            units if lots > 0 else put_units, s.units if lots > 0 else s.put_units, s, rows
        )
    return total


cdef inline void add_unit(double* units, int* count, int a, int b, double amount, double cost) noexcept nogil:
    cdef double* unit = units + 4 * count[0]
    unit[0], unit[1], unit[2], unit[3] = a, b, amount, cost
    count[0] += 1


cdef double pair_cost(
    const Table* t, int i, int j, int row, int column, int a_count, int b_count, Scratch* s, double spot,
    double multiplier, double long_rate, double short_rate, double big
) noexcept nogil:
    """Requirement per contract of the left one with the right one; puts that are short have to be reached: - big."""
    cdef int a, b
    cdef double one, other
    if i < a_count:
        a = s.left[i]
        if j < b_count:
            b = s.right[j]
            one, other = t.naked[a] + t.value[b], t.naked[b] + t.value[a]
            return fmax(one, other) - big
        if j == column:
            return t.naked[a]
        b = s.right[j]
        if b == -2:
            return fmin(t.naked[a], fmax(spot - t.strike[a], 0.0) * multiplier * (1.0 - long_rate))
        if t.expiry[b] < t.expiry[a]:
            return big
        return fmin(t.naked[a], fmax(t.strike[b] - t.strike[a], 0.0) * multiplier)
    if i < row:
        if j == column:
            return 0.0
        a, b = s.left[i], s.right[j]
        if j >= b_count:  # a long option and stock of which it takes the risk
            if not s.protecting:
                return big
            if a == -2 and b >= 0:
                return -bare_relief(t.strike[b], spot, short_rate, False) * multiplier
            if a >= 0 and b == -2:
                return -bare_relief(t.strike[a], spot, long_rate, True) * multiplier
            return big
        if a == -2:
            return fmin(t.naked[b], fmax(t.strike[b] - spot, 0.0) * multiplier * (1.0 + short_rate)) - big
        if t.expiry[a] < t.expiry[b]:
            return big
        return fmin(t.naked[b], fmax(t.strike[b] - t.strike[a], 0.0) * multiplier) - big
    if j < b_count:
        return t.naked[s.right[j]] - big
    return 0.0 if j == column else big


cdef inline double bare_relief(double strike, double spot, double rate, bint long_stock) noexcept nogil:
    """What a long option saves on the maintenance of a unit of stock that nothing else is written against."""
    cdef double distance = fmax(spot - strike, 0.0) if long_stock else fmax(strike - spot, 0.0)
    return rate * spot - fmin(0.1 * strike + distance, rate * spot)


cdef double pair_spreads(
    const Table* t, int group, double multiplier, int units, int put_units, Scratch* s, Rows rows
) noexcept nogil:
    """What pairs of a call spread and a put spread of one expiry save (negative); writes the rows of spreads."""
    cdef int i, j, columns = put_units + 1
    cdef double* call
    cdef double* put
    cdef double amount, saved = 0.0
    cdef bint some = False
    for i in range(units):
        call = s.units + 4 * i
        s.supply[i] = call[2]
        s.reward[i] = 0.0
        s.cost[i * columns + put_units] = 0.0
        for j in range(put_units):
            put = s.put_units + 4 * j
            s.cost[i * columns + j] = 0.0
            if call[1] < 0 or put[1] < 0 or call[3] <= 0.0 or put[3] <= 0.0:
                continue
            if (
                t.expiry[<int>call[0]] == t.expiry[<int>call[1]]
                and t.expiry[<int>call[0]] == t.expiry[<int>put[0]]
                and t.expiry[<int>call[0]] == t.expiry[<int>put[1]]
            ):
                s.cost[i * columns + j] = fmin(0.0, combined_loss(
                    t, <int>call[0], <int>call[1], <int>put[0], <int>put[1], multiplier
                ) - call[3] - put[3])
                some = some or s.cost[i * columns + j] < 0.0
    if some:
        for j in range(put_units):
            s.capacity[j] = s.put_units[4 * j + 2]
        s.capacity[put_units] = INFINITY
        saved = ship(units, columns, s)
        for i in range(units):
            for j in range(put_units):
                amount = s.flow[i * columns + j]
                if amount > TINY and s.cost[i * columns + j] < 0.0:
                    call, put = s.units + 4 * i, s.put_units + 4 * j
                    rows.add(
                        group, IRON_ROW, <int>call[0], <int>call[1], <int>put[0], <int>put[1], amount,
                        call[3] + put[3] + s.cost[i * columns + j],
                    )
                    call[2] -= amount
                    put[2] -= amount
    for i in range(units):
        call = s.units + 4 * i
        if call[1] >= 0 and call[2] > TINY:
            rows.add(group, SPREAD_ROW, <int>call[0], <int>call[1], -1, -1, call[2], call[3])
    for j in range(put_units):
        put = s.put_units + 4 * j
        if put[1] >= 0 and put[2] > TINY:
            rows.add(group, SPREAD_ROW, <int>put[0], <int>put[1], -1, -1, put[2], put[3])
    return saved


cdef double protect(
    const Table* t, int begin, int end, int group, double spot, double bare, double multiplier, double rate,
    bint long_stock, int units, double* covering, Scratch* s, Rows rows
) noexcept nogil:
    """What long options that cover nothing else save on the maintenance of stock: protective options, collars, conversions."""
    cdef int i, j, count = 0, columns = units + 2
    cdef double distance, rule, base, struck, saved
    cdef double* unit
    for i in range(begin, end):
        if s.remaining[i - begin] <= TINY or t.quantity[i] <= 0 or t.is_call[i] == long_stock:
            continue
        s.left[count] = i
        s.supply[count] = s.remaining[i - begin]
        s.reward[count] = 0.0
        distance = fmax(spot - t.strike[i], 0.0) if long_stock else fmax(t.strike[i] - spot, 0.0)
        s.cost[count * columns + units] = -bare_relief(t.strike[i], spot, rate, long_stock) * multiplier
        s.cost[count * columns + units + 1] = 0.0
        for j in range(units):
            unit = covering + 4 * j
            s.cost[count * columns + j] = 0.0
            if unit[1] != -2 or t.expiry[<int>unit[0]] != t.expiry[i]:
                continue
            struck = t.strike[<int>unit[0]]
            if long_stock and t.strike[i] <= struck:
                base = rate * fmin(spot, struck)
            elif not long_stock and t.strike[i] >= struck:
                base = rate * fmax(spot, struck)
            else:
                continue
            if t.strike[i] == struck:
                rule = 0.1 * struck
            else:
                rule = fmin(0.1 * t.strike[i] + distance, rate * struck)
            s.cost[count * columns + j] = -fmax(0.0, base - rule) * multiplier
        count += 1
    if count == 0:
        return 0.0
    for j in range(units):
        s.capacity[j] = covering[4 * j + 2] if covering[4 * j + 1] == -2 else 0.0
    s.capacity[units] = bare
    s.capacity[units + 1] = INFINITY
    saved = ship(count, columns, s)
    for i in range(count):
        for j in range(units + 1):
            if s.flow[i * columns + j] > TINY and s.cost[i * columns + j] < 0.0:
                rows.add(
                    group, PROTECTED_ROW, s.left[i], -2, <int>covering[4 * j] if j < units else -1, -1,
                    s.flow[i * columns + j], s.cost[i * columns + j],
                )
    return -saved


cdef double maximum_loss(const Table* t, int begin, int end, int64_t expiry, double multiplier) noexcept nogil:
    """Largest loss at expiry of all options of one expiry, at their strikes and at 0; infinite where it has no end."""
    cdef double worst = 0.0, price, payoff, slope = 0.0
    cdef int i, j
    for i in range(begin, end):
        if t.expiry[i] == expiry and t.is_call[i]:
            slope += t.quantity[i]
    if slope < -TINY:
        return INFINITY
    for j in range(begin - 1, end):
        if j >= begin and t.expiry[j] != expiry:
            continue
        price = t.strike[j] if j >= begin else 0.0
        payoff = 0.0
        for i in range(begin, end):
            if t.expiry[i] == expiry:
                if t.is_call[i]:
                    payoff += t.quantity[i] * fmax(price - t.strike[i], 0.0)
                else:
                    payoff += t.quantity[i] * fmax(t.strike[i] - price, 0.0)
        worst = fmax(worst, -payoff)
    return worst * multiplier


cdef double pair_best(
    const Table* t, int begin, int end, int group, int64_t without, double spot, double lots, double multiplier,
    double long_rate, double short_rate, Scratch* s, Rows rows, double* relief
) noexcept nogil:
    """`pair_group` with stock protected first, or with what is left protected and collared: the lesser."""
    cdef int first = rows.count, kept
    cdef double one, other, saved
    s.protecting = False
    one = pair_group(
        t, begin, end, group, without, spot, lots, multiplier, long_rate, short_rate, s, rows, relief
    )
    if fabs(lots) < 1.0:
        return one
    kept = rows.count
    s.protecting = True
    other = pair_group(
        t, begin, end, group, without, spot, lots, multiplier, long_rate, short_rate, s, rows, &saved
    )
    if other - saved < one - relief[0] - TINY:
        drop(rows, first, kept)
        relief[0] = saved
        return other
    rows.count = kept
    return one


cdef double group_requirement(
    const Table* t, int begin, int end, int group, double spot, double lots, double multiplier, double long_rate,
    double short_rate, Scratch* s, Rows rows, double* relief
) noexcept nogil:
    cdef double best, found, loss, sum_of_losses = 0.0, tried
    cdef int first = rows.count, i, place, legs, shorts = 0, kept
    cdef int64_t without = 0, bit
    relief[0] = 0.0
    for i in range(begin, end):
        shorts += t.quantity[i] < 0
    if shorts == 0 and fabs(lots) < 1.0:
        return 0.0
    number(t, begin, end, s)
    best = pair_best(t, begin, end, group, 0, spot, lots, multiplier, long_rate, short_rate, s, rows, relief)
    for place in range(min(s.expiries, 62)):
        if best <= TINY and fabs(lots) < 1.0:
            break  # there is nothing left to lower
        i = s.heads[place]
        bit = <int64_t>1 << place
        legs, shorts = 0, 0
        for kept in range(begin, end):
            if t.expiry[kept] == t.expiry[i] and t.quantity[kept] != 0:
                legs += 1
                shorts += t.quantity[kept] < 0
        if legs < 3 or shorts == 0:
            continue
        loss = maximum_loss(t, begin, end, t.expiry[i], multiplier)
        if loss == INFINITY:
            continue
        kept = rows.count
        found = pair_best(
            t, begin, end, group, without | bit, spot, lots, multiplier, long_rate, short_rate, s, rows, &tried
        )
        if found - tried + sum_of_losses + loss < best - relief[0] - TINY:
            best = found + sum_of_losses + loss
            relief[0] = tried
            sum_of_losses += loss
            without |= bit
            drop(rows, first, kept)
            rows.add(group, MAX_LOSS_ROW, i, -1, -1, -1, 1.0, loss)
            # The rows of the losses found before stand among those that were dropped.
            for kept in range(place):
                if without >> kept & 1:
                    i = s.heads[kept]
                    rows.add(
                        group, MAX_LOSS_ROW, i, -1, -1, -1, 1.0, maximum_loss(t, begin, end, t.expiry[i], multiplier)
                    )
        else:
            rows.count = kept
    return best


cdef void number(const Table* t, int begin, int end, Scratch* s) noexcept nogil:
    """Number the distinct expiries by first appearance; from the 63rd on they share a number."""
    cdef int i, j
    s.expiries = 0
    for i in range(begin, end):
        for j in range(s.expiries):
            if t.expiry[s.heads[j]] == t.expiry[i]:
                break
        else:
            j = s.expiries
            if j < 63:
                s.heads[j] = i
                s.expiries += 1
            else:
                j = 62
        s.order[i - begin] = j


cdef void drop(Rows rows, int first, int kept) noexcept nogil:
    """Remove the rows from `first` to before `kept`."""
    cdef int i, j
    for i in range(kept, rows.count):
        for j in range(COLUMNS):
            rows.view[first + i - kept, j] = rows.view[i, j]
    rows.count = rows.count - (kept - first)


def pair_options(
    const double[::1] quantity not None,
    const double[::1] strike not None,
    const int64_t[::1] expiry not None,
    const double[::1] value not None,
    const double[::1] naked not None,
    const int8_t[::1] is_call not None,
    const int64_t[::1] starts not None,
    const double[::1] spot not None,
    const double[::1] lots not None,
    const double[::1] multiplier not None,
    const double[::1] long_rate not None,
    const double[::1] short_rate not None,
):
    """Requirement of the short options of each underlying, and what long options save on its stock.

    Parameters
    ----------
    quantity, strike, expiry, value, naked, is_call
        Of the options, those of one underlying together: contracts (negative: short), strike, day or time of expiry,
        market value and naked requirement (with the premium) of one contract, 1 for a call.
    starts
        First option of each underlying, and at the end the number of options.
    spot, lots, multiplier, long_rate, short_rate
        Of each underlying: price, stock held in contracts' worth (negative: short), units per contract, maintenance of
        long and of short stock as a part of its value.

    Returns
    -------
    tuple
        Requirements and savings of each underlying, and the strategies: rows of (underlying, kind, leg, leg, leg, leg,
        quantity, requirement of one); leg -1: none, -2: stock.

    Raises
    ------
    ValueError
        Lengths that do not go together; more than 2048 options of one underlying; a number that is none, or that is
        below zero where there is no such thing.
    ArithmeticError
        Amounts so far apart that their differences are lost.
    """
    cdef int groups = starts.shape[0] - 1, group, most = 0, size, options = quantity.shape[0]
    cdef Table t
    cdef Scratch s
    cdef double* memory
    cdef int* whole
    cdef double relief = 0.0
    if not 0 <= groups <= MOST_OPTIONS or options > MOST_OPTIONS or starts[0] != 0 or starts[groups] != options:
        raise ValueError(f"starts of {options} options, expected the first at 0 and at the end their number")
    for length in (strike.shape[0], expiry.shape[0], value.shape[0], naked.shape[0], is_call.shape[0]):
        if length != options:
            raise ValueError(f"columns of {length} and {options} options, expected as many of each")
    for length in (spot.shape[0], lots.shape[0], multiplier.shape[0], long_rate.shape[0], short_rate.shape[0]):
        if length != groups:
            raise ValueError(f"columns of {length} underlyings and starts of {groups}, expected as many of each")
    for group in range(groups):
        if not 0 <= starts[group + 1] - starts[group] <= MOST_LEGS:
            raise ValueError(f"starts that descend or leave more than {<int>MOST_LEGS} options to one underlying")
        most = max(most, <int>(starts[group + 1] - starts[group]))
    for name, column in (
        ("quantity", np.abs(quantity)), ("strike", strike), ("value", value), ("naked", naked), ("spot", spot),
        ("lots", np.abs(lots)), ("multiplier", multiplier), ("long rate", long_rate), ("short rate", short_rate),
    ):
        numbers = np.asarray(column)
        if not ((numbers >= 0.0) & (numbers < np.inf)).all():
            raise ValueError(f"{name} {numbers[:9]}, expected finite numbers, 0 or more but of what is held")
    requirement, savings = np.zeros(groups), np.zeros(groups)
    cdef double[::1] required = requirement, saved = savings
    rows = Rows(8 * options + 4 * groups + 16 * most + 64)
    cdef Rows found = rows
    if options == 0:
        return requirement, savings, rows.table[:0]
    t.quantity, t.strike, t.expiry = &quantity[0], &strike[0], &expiry[0]
    t.value, t.naked, t.is_call = &value[0], &naked[0], &is_call[0]
    size = most + 8
    memory = <double*>malloc(sizeof(double) * (2 * <size_t>size * size + 15 * size))
    whole = <int*>malloc(sizeof(int) * (10 * <size_t>size + 64))
    if memory == NULL or whole == NULL:
        free(memory)
        free(whole)
        raise MemoryError
    s.cost, s.flow = memory, memory + size * size
    s.units = s.flow + size * size
    s.put_units = s.units + 4 * size
    s.supply = s.put_units + 4 * size
    s.capacity, s.distance, s.remaining = s.supply + size, s.supply + 2 * size, s.supply + 4 * size
    s.reward = s.supply + 5 * size
    s.parent, s.left, s.right = whole, whole + 2 * size, whole + 3 * size
    s.order, s.stack, s.heads = whole + 4 * size, whole + 5 * size, whole + 10 * size
    s.lost = False
    with nogil:
        for group in range(groups):
            if starts[group + 1] > starts[group]:
                required[group] = group_requirement(
                    &t, starts[group], starts[group + 1], group, spot[group], lots[group], multiplier[group],
                    long_rate[group], short_rate[group], &s, found, &relief
                )
                saved[group] = relief
    free(memory)
    free(whole)
    if found.lost:
        raise MemoryError("more strategies than there is room for")
    if s.lost or not (np.isfinite(requirement).all() and np.isfinite(savings).all()):
        raise ArithmeticError("amounts so far apart that their differences are lost, expected those of one market")
    return requirement, savings, rows.table[: found.count].copy()
