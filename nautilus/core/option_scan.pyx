"""What each position gains or loses per unit as its underlying and its volatility move: the risk arrays of a scan.

One thread. Options are valued by Black, Scholes and Merton, where they may be exercised early never below what that
pays; everything else moves with its underlying.
"""

from libc.math cimport M_SQRT1_2, erfc, exp, fmax, log, sqrt
from libc.stdint cimport int8_t

LINEAR, CALL, PUT = range(3)


cdef enum:
    LINEAR_KIND = 0
    CALL_KIND = 1


cdef double option_value(
    double sign, double spot, double strike, double present, double carry, double sigma, double root, bint early
) noexcept nogil:
    cdef double spread = sigma * root, forward = spot * carry, first, value
    if spot <= 0.0:
        value = fmax(sign * (forward - present), 0.0)
    elif spread <= 1e-12:
        value = fmax(sign * (forward - present), 0.0)
    else:
        first = log(forward / present) / spread + 0.5 * spread
        value = 0.5 * sign * (
            forward * erfc(-sign * first * M_SQRT1_2) - present * erfc(-sign * (first - spread) * M_SQRT1_2)
        )
        if value < 0.0:
            value = 0.0
    return fmax(value, sign * (spot - strike)) if early else value


def scan(
    const int8_t[::1] kind not None,
    const double[::1] spot not None,
    const double[::1] strike not None,
    const double[::1] years not None,
    const double[::1] rate not None,
    const double[::1] yield_rate not None,
    const double[::1] sigma not None,
    const int8_t[::1] early not None,
    const double[::1] up not None,
    const double[::1] down not None,
    const double[::1] vol_range not None,
    const double[::1] price_moves not None,
    const double[::1] vol_moves not None,
    double[:, ::1] out not None,
):
    """Write into `out` (positions, scenarios) the change of value of one unit of each position.

    Parameters
    ----------
    kind
        LINEAR, CALL or PUT.
    spot, strike, years, rate, yield_rate, sigma, early
        Terms and market of each position; of linear ones `spot` alone is read.
    up, down, vol_range
        Of each position: the full move of the underlying's price up and down, and of the volatility, all positive.
    price_moves, vol_moves
        Of each scenario, as parts of the full move, signed.

    Raises
    ------
    ValueError
        Lengths that do not go together.
    """
    cdef Py_ssize_t count = kind.shape[0], scenarios = price_moves.shape[0], i, j
    cdef double move, base, root, present, carry, sign, price
    for length in (
        spot.shape[0], strike.shape[0], years.shape[0], rate.shape[0], yield_rate.shape[0], sigma.shape[0],
        early.shape[0], up.shape[0], down.shape[0], vol_range.shape[0], out.shape[0],
    ):
        if length != count:
            raise ValueError("columns of different lengths")
    if vol_moves.shape[0] != scenarios or out.shape[1] != scenarios:
        raise ValueError("scenarios of different lengths")
    with nogil:
        for i in range(count):
            if kind[i] == LINEAR_KIND:
                for j in range(scenarios):
                    move = price_moves[j]
                    out[i, j] = move * (up[i] if move > 0 else down[i])
                continue
            sign = 1.0 if kind[i] == CALL_KIND else -1.0
            root = sqrt(fmax(years[i], 0.0))
            present = strike[i] * exp(-rate[i] * years[i])
            carry = exp(-yield_rate[i] * years[i])
            base = option_value(sign, spot[i], strike[i], present, carry, sigma[i], root, early[i])
            for j in range(scenarios):
                move = price_moves[j]
                price = spot[i] + move * (up[i] if move > 0 else down[i])
                out[i, j] = option_value(
                    sign, fmax(price, 0.0), strike[i], present, carry, fmax(sigma[i] + vol_moves[j] * vol_range[i], 0.0),
                    root, early[i],
                ) - base
