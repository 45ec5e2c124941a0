"""Ehlers' cycles: the Hilbert transform of the smoothed close, its period and phase, and what follows the trend."""

from __future__ import annotations

from collections.abc import Mapping

from nautilus.maths.indicators.definition import Build, Definition
from nautilus.maths.indicators.graph import Graph, Ref

_LONGEST = 50
# TA-Lib lets the smoother run for so many rows before the transform begins.
_SHORT, _LONG = 9, 34


def _smooth(g: Graph) -> Ref:
    return g.wma(g.input("close"), 4)


def _hilbert(g: Graph, skip: int) -> tuple[Ref, Ref, Ref]:
    period, inphase, quadrature = g.node("hilbert", _smooth(g), skip=skip, reach=6, outputs=3)
    return period, inphase, quadrature


def _phase(g: Graph) -> Ref:
    return g.node("phase", _smooth(g), _hilbert(g, _LONG)[0], reach=_LONGEST)[0]


def _line(g: Graph) -> Ref:
    return g.node("trend_line", g.input("close"), _hilbert(g, _LONG)[0], reach=_LONGEST)[0]


def _from(row: int, *refs: Ref) -> tuple[Ref, ...]:
    return tuple(ref._replace(start=row) for ref in refs)


def mesa(g: Graph, most: float, least: float) -> tuple[Ref, ...]:
    """MESA adaptive average and its follower."""
    _, inphase, quadrature = _hilbert(g, _SHORT)
    return _from(32, *g.node("mesa", g.input("close"), inphase, quadrature, a=most, b=least, outputs=2))


def sines(g: Graph) -> tuple[Ref, ...]:
    """Sine of the phase, and of it 45 degrees on."""
    phase = _phase(g)
    return _from(63, g.node("sine", phase)[0], g.node("sine", phase, a=45.0)[0])


def mode(g: Graph) -> tuple[Ref, ...]:
    """1 in a trend, 0 in a cycle."""
    return _from(63, *g.node("trend_mode", _phase(g), _hilbert(g, _LONG)[0], _line(g), _smooth(g)))


def _of(
    name: str, outputs: tuple[str, ...], parameters: Mapping[str, float], build: Build, summary: str, follows: str
) -> Definition:
    return Definition(name, "cycle", "bar", outputs, parameters, build, summary, f"TA-Lib {follows}")


DEFINITIONS = (
    _of(
        "ht_dcperiod",
        ("ht_dcperiod",),
        {},
        lambda g: _from(32, _hilbert(g, _SHORT)[0]),
        "period of the dominant cycle, bars",
        "HT_DCPERIOD",
    ),
    _of(
        "ht_phasor",
        ("ht_inphase", "ht_quadrature"),
        {},
        lambda g: _from(32, *_hilbert(g, _SHORT)[1:]),
        "parts of the analytic signal",
        "HT_PHASOR",
    ),
    _of(
        "ht_dcphase",
        ("ht_dcphase",),
        {},
        lambda g: _from(63, _phase(g)),
        "phase of the dominant cycle, degrees; undefined where there is none",
        "HT_DCPHASE",
    ),
    _of(
        "ht_sine",
        ("ht_sine", "ht_leadsine"),
        {},
        sines,
        "sine of the phase, and 45 degrees on; undefined where there is none",
        "HT_SINE",
    ),
    _of(
        "ht_trendline",
        ("ht_trendline",),
        {},
        lambda g: _from(63, _line(g)),
        "mean over the dominant cycle, smoothed",
        "HT_TRENDLINE",
    ),
    _of(
        "ht_trendmode",
        ("ht_trendmode",),
        {},
        mode,
        "1 in a trend, 0 in a cycle; undefined without a phase",
        "HT_TRENDMODE",
    ),
    _of(
        "mama",
        ("mama", "fama"),
        {"most": 0.5, "least": 0.05},
        lambda g: mesa(g, 0.5, 0.05),
        "MESA adaptive average and its follower",
        "MAMA",
    ),
)

__all__ = ["DEFINITIONS"]
