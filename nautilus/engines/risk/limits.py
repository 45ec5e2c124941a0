"""Limits of the tree: what can be limited, where, and when a breach begins and ends."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from nautilus.model.errors import ConfigError, ModelError

FIRM, DESK, PORTFOLIO, STRATEGY, INSTRUMENT = LEVELS = ("firm", "desk", "portfolio", "strategy", "instrument")
_PARTS: Final = {FIRM: 0, DESK: 1, PORTFOLIO: 1, STRATEGY: 2, INSTRUMENT: 3}
ANY: Final = "*"

POSITION, NOTIONAL, GROSS, NET = "position", "notional", "gross", "net"
LOSS, DRAWDOWN, VAR, CONCENTRATION = "loss", "drawdown", "var", "concentration"
ORDER_RATE, LEVERAGE, MARGIN = "order_rate", "leverage", "margin"
CONTROLS: Final = {
    POSITION: LEVELS,
    NOTIONAL: LEVELS,
    GROSS: LEVELS,
    NET: LEVELS,
    LOSS: LEVELS,
    DRAWDOWN: LEVELS,
    VAR: LEVELS,
    CONCENTRATION: LEVELS[:-1],
    ORDER_RATE: LEVELS[:-1],
    LEVERAGE: (PORTFOLIO,),
    MARGIN: (PORTFOLIO,),
}
"""Control to the levels that it can be of."""
SECOND_NS: Final = 1_000_000_000
Scope = tuple[str, ...]


class LimitRule(NamedTuple):
    """A limit as it is set; None: not limited."""

    scope: Scope
    control: str
    soft: float | None
    hard: float | None
    window_ns: int = SECOND_NS

    @property
    def key(self) -> tuple[Scope, str]:
        """There is one of each."""
        return self.scope, self.control

    def covers(self, scope: Scope) -> int:
        """How closely the rule names a scope: 0: not at all; the highest number of rules for one control holds."""
        if len(scope) != len(self.scope) or scope[0] != self.scope[0]:
            return 0
        named = 1
        for own, other in zip(self.scope[1:], scope[1:], strict=True):
            if own == other:
                named += 1
            elif own != ANY:
                return 0
        return named


class Watch:
    """A limit of one scope, and whether it is breached.

    Attributes
    ----------
    value : last one that was looked at; None: it was not known.
    """

    __slots__ = ("hard", "hard_on", "release", "rule", "soft", "soft_on", "value")

    def __init__(self, rule: LimitRule, release: float) -> None:
        self.rule = rule
        self.soft, self.hard = rule.soft, rule.hard
        self.release = release
        self.soft_on = self.hard_on = False
        self.value: float | None = None

    def look(self, value: float) -> tuple[tuple[bool, bool], ...]:
        """Take a new value; (hard, active) of each breach that began or ended, the end of a worse one first."""
        self.value = value
        if (self.hard is None or (value > self.hard) == self.hard_on) and (
            self.soft is None or (value > self.soft) == self.soft_on
        ):
            return ()
        changes: list[tuple[bool, bool]] = []
        if self.hard is not None:
            now = value > self.hard or (self.hard_on and value > self.hard * self.release)
            if now != self.hard_on:
                self.hard_on = now
                changes.append((True, now))
        if self.soft is not None:
            now = value > self.soft or (self.soft_on and value > self.soft * self.release)
            if now != self.soft_on:
                self.soft_on = now
                changes.append((False, now))
        return tuple(changes)

    @property
    def state(self) -> str:
        """``ok``, ``soft``, ``hard`` or ``unknown``."""
        if self.hard_on:
            return "hard"
        if self.soft_on:
            return "soft"
        return "unknown" if self.value is None else "ok"

    @property
    def utilisation(self) -> float | None:
        """Of the hard limit, else of the soft one; None: not known, or a limit of 0."""
        limit = self.soft if self.hard is None else self.hard
        return None if self.value is None or not limit else self.value / limit


def parse_scope(text: str) -> Scope:
    """``portfolio/7`` as its parts.

    Raises
    ------
    ModelError
        It is none.
    """
    level, *rest = text.split("/", _PARTS.get(text.partition("/")[0], 0))
    if level not in _PARTS or len(rest) != _PARTS[level] or not all(rest):
        raise ModelError(
            f"scope {text!r}", where="limits", expected="firm, desk/NAME, portfolio/ID, strategy/ID/ID ..."
        )
    for part in rest[:2] if level in (STRATEGY, INSTRUMENT) else rest if level == PORTFOLIO else ():
        if part != ANY and not (part.isdecimal() and str(int(part)) == part):
            raise ModelError(f"{part!r} in scope {text!r}", where="limits", expected="a number, or *")
    return (level, *rest)


def text_of(scope: Scope) -> str:
    """The scope as it is written."""
    return "/".join(scope)


def make_rule(
    scope: str, control: str, soft: float | None, hard: float | None, window_ns: int = SECOND_NS
) -> LimitRule:
    """A checked rule.

    Raises
    ------
    ModelError
        What was given makes no limit.
    """
    found = parse_scope(scope)
    if control not in CONTROLS:
        raise ModelError(f"control {control!r}", where="limits", expected=", ".join(CONTROLS))
    if found[0] not in CONTROLS[control]:
        raise ModelError(f"{control} of {scope!r}", where="limits", expected=" or ".join(CONTROLS[control]))
    if soft is None and hard is None:
        raise ModelError(f"{scope} {control} without a limit", where="limits", expected="soft, hard or both")
    for limit in (soft, hard):
        if limit is not None and not (math.isfinite(limit) and limit >= 0.0):
            raise ModelError(f"a limit of {limit}", where="limits", expected="a number of 0 or more")
    if soft is not None and hard is not None and soft > hard:
        raise ModelError(f"soft {soft} above hard {hard}", where="limits", expected="a warning before the limit")
    if window_ns <= 0:
        raise ModelError(f"window_ns {window_ns}", where="limits", expected="more than 0")
    return LimitRule(found, control, soft, hard, window_ns)


def parse_rule(text: str) -> LimitRule:
    """``"portfolio/* gross soft 8e6 hard 1e7"``: scope, control, then names and numbers; ``window_ns`` too.

    Raises
    ------
    ConfigError
        It is not written so.
    """
    words = text.split()
    given = dict(zip(words[2::2], words[3::2], strict=False))
    if (
        len(words) < 4
        or len(words) % 2
        or len(given) * 2 + 2 != len(words)
        or given.keys()
        - {
            "soft",
            "hard",
            "window_ns",
        }
    ):
        raise ConfigError(f"limit {text!r}", where="risk", expected='"SCOPE CONTROL soft NUMBER hard NUMBER"')
    try:
        soft, hard = (float(given[name]) if name in given else None for name in ("soft", "hard"))
        return make_rule(words[0], words[1], soft, hard, int(given.get("window_ns", SECOND_NS)))
    except ModelError as error:
        raise ConfigError(f"limit {text!r}: {error.what}", where="risk", expected=error.expected) from None
    except ValueError:
        raise ConfigError(f"limit {text!r}", where="risk", expected="numbers behind soft, hard and window_ns") from None


__all__ = [
    "ANY",
    "CONCENTRATION",
    "CONTROLS",
    "DESK",
    "DRAWDOWN",
    "FIRM",
    "GROSS",
    "INSTRUMENT",
    "LEVELS",
    "LEVERAGE",
    "LOSS",
    "MARGIN",
    "NET",
    "NOTIONAL",
    "ORDER_RATE",
    "PORTFOLIO",
    "POSITION",
    "STRATEGY",
    "VAR",
    "LimitRule",
    "Scope",
    "Watch",
    "make_rule",
    "parse_rule",
    "parse_scope",
    "text_of",
]
