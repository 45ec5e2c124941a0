"""How long messages take between the venue and the engines, in virtual time."""

from __future__ import annotations

import re

import msgspec

from nautilus.model.errors import ConfigError

MILLISECOND = 1_000_000
MOST_NS = 86_400 * 1_000_000_000
"""A day: what is longer is a slip, and would carry virtual time beyond 64 bits."""
_UNITS = {"ns": 1, "us": 1_000, "ms": MILLISECOND, "s": 1_000_000_000}
_EXPECTED = 'a time such as "1ms" or "250us", two of them ("1ms/2ms": from the venue, to the venue), or "none"'


class LatencyModel(msgspec.Struct, frozen=True):
    """Delays of the lock-step host.

    Parameters
    ----------
    to_engine_ns
        From the venue to the engines: market data, replies and reports.
    to_venue_ns
        From the engines to the venue: orders.
    jitter_ns
        Each delay is longer by up to this much, drawn evenly from a seeded generator; messages of one way never
        overtake each other.
    """

    to_engine_ns: int = MILLISECOND
    to_venue_ns: int = MILLISECOND
    jitter_ns: int = 0

    def __post_init__(self) -> None:
        for name in ("to_engine_ns", "to_venue_ns", "jitter_ns"):
            if not 0 <= getattr(self, name) <= MOST_NS:
                raise ConfigError(f"{name} of {getattr(self, name)}", where="latency", expected="0 to a day")


NONE = LatencyModel(0, 0)


def parse_latency(text: str) -> LatencyModel:
    """Read a latency model: ``1ms``, ``1ms/2ms``, ``1ms/2ms+100us`` (with jitter), or by name ``none``.

    Raises
    ------
    ConfigError
        It is none of these, or asks for zero without saying so by name.
    """
    word = text.strip()
    if word == "none":
        return NONE
    delays, plus, jitter = word.partition("+")
    down, slash, up = delays.partition("/")
    model = LatencyModel(
        _nanoseconds(down, text),
        _nanoseconds(up if slash else down, text),
        _nanoseconds(jitter, text) if plus else 0,
    )
    if not (model.to_engine_ns and model.to_venue_ns):
        raise ConfigError(f"latency {text!r} is zero", where="latency", expected='zero to be asked for by name: "none"')
    return model


def _nanoseconds(word: str, text: str) -> int:
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ns|us|ms|s)\s*", word)
    if match is None:
        raise ConfigError(f"latency {text!r}", where="latency", expected=_EXPECTED)
    # Longer than any delay may be, so that a number beyond what a float holds is refused like any other.
    return round(min(float(match[1]) * _UNITS[match[2]], 2.0 * MOST_NS))
