"""Any thread. What each position gains or loses per unit as its underlying and volatility move: the risk arrays of a scan.

Options are valued by Black, Scholes and Merton, where they may be exercised early never below what that
pays; everything else moves with its underlying.
"""

from libc.math cimport M_PI, M_SQRT1_2, exp, fabs, fmax, log, sqrt
from libc.stdint cimport int8_t

LINEAR, CALL, PUT = range(3)


cdef enum:
    LINEAR_KIND = 0
    CALL_KIND = 1


cdef double ONE_OVER_SQRT_PI = 1.0 / sqrt(M_PI)


cdef inline double cumulative(double d, double decay) noexcept nogil:
    """The normal distribution at `d`, where `decay` is exp(-d^2/2): Cody's rational approximations, as `maths.normal`.

    The two of an option share one exponential, as forward x decay of the first is present x decay of the second.
    """
    cdef double y = fabs(d) * M_SQRT1_2, z, top, bottom, tail
    if y <= 0.46875:
        z = y * y
        top = (((1.85777706184603153e-1 * z + 3.16112374387056560e00) * z + 1.13864154151050156e02) * z
               + 3.77485237685302021e02) * z + 3.20937758913846947e03
        bottom = (((z + 2.36012909523441209e01) * z + 2.44024637934444173e02) * z
                  + 1.28261652607737228e03) * z + 2.84423683343917062e03
        tail = 0.5 * y * top / bottom
        return 0.5 + tail if d >= 0.0 else 0.5 - tail
    if y <= 4.0:
        top = (((((((2.15311535474403846e-8 * y + 5.64188496988670089e-1) * y + 8.88314979438837594e0) * y
                   + 6.61191906371416295e01) * y + 2.98635138197400131e02) * y + 8.81952221241769090e02) * y
                + 1.71204761263407058e03) * y + 2.05107837782607147e03) * y + 1.23033935479799725e03
        bottom = (((((((y + 1.57449261107098347e01) * y + 1.17693950891312499e02) * y + 5.37181101862009858e02) * y
                      + 1.62138957456669019e03) * y + 3.29079923573345963e03) * y + 4.36261909014324716e03) * y
                  + 3.43936767414372164e03) * y + 1.23033935480374942e03
        tail = 0.5 * decay * top / bottom
    else:
        z = 1.0 / (y * y)
        top = ((((1.63153871373020978e-2 * z + 3.05326634961232344e-1) * z + 3.60344899949804439e-1) * z
                + 1.25781726111229246e-1) * z + 1.60837851487422766e-2) * z + 6.58749161529837803e-4
        bottom = ((((z + 2.56852019228982242e00) * z + 1.87295284992346047e00) * z + 5.27905102951428412e-1) * z
                  + 6.05183413124413191e-2) * z + 2.33520497626869185e-3
        tail = 0.5 * decay * (ONE_OVER_SQRT_PI - z * top / bottom) / y
    return 1.0 - tail if d >= 0.0 else tail


cdef inline double option_value(
    double sign, double spot, double strike, double present, double carry, double spread, double moneyness, bint early
) noexcept nogil:
    """Value at `spot`; `spread` is volatility times the root of time, `moneyness` the log of forward by present."""
    cdef double forward = spot * carry, first, second, decay, value
    if spot <= 0.0 or spread <= 1e-12:
        value = fmax(sign * (forward - present), 0.0)
    else:
        first = moneyness / spread + 0.5 * spread
        second = first - spread
        decay = exp(-0.5 * second * second)
        value = sign * (
            forward * cumulative(sign * first, decay * present / forward) - present * cumulative(sign * second, decay)
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
    cdef double move, base, root, present, carry, sign, price, last, known
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
            last = -1.0
            known = log(spot[i] * carry / present) if spot[i] > 0.0 else 0.0
            base = option_value(sign, spot[i], strike[i], present, carry, sigma[i] * root, known, early[i])
            for j in range(scenarios):
                move = price_moves[j]
                price = fmax(spot[i] + move * (up[i] if move > 0 else down[i]), 0.0)
                if price != last:
                    last = price
                    known = log(price * carry / present) if price > 0.0 else 0.0
                out[i, j] = option_value(
                    sign, price, strike[i], present, carry, fmax(sigma[i] + vol_moves[j] * vol_range[i], 0.0) * root,
                    known, early[i],
                ) - base
