"""Seeded stories of how an instance does over time: healthy ones, and ones that end in a failure."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from statistics import median
from typing import NamedTuple

from nautilus.policy.forecast import LIMITS, Forecaster

STEP_SECONDS = 30
STEPS = 240
SECOND_NS = 1_000_000_000


class Story(NamedTuple):
    """Samples of each measure, one every 30 seconds, and when it failed: the first sample at a limit."""

    kind: str
    samples: list[dict[str, float]]
    failed_at: int | None


def _noise(chance: random.Random, level: float, spread: float) -> float:
    return level * chance.lognormvariate(0, spread)


def _base(chance: random.Random) -> dict[str, float]:
    return {
        "latency_ms": chance.uniform(1, 60),
        "error_percent": chance.uniform(0, 2),
        "queue": chance.uniform(0, 40),
        "spread": chance.uniform(0.05, 0.5),
    }


def _healthy(chance: random.Random, shape: Callable[[int, random.Random], float]) -> list[dict[str, float]]:
    base = _base(chance)
    return [
        {
            "latency_ms": _noise(chance, base["latency_ms"], base["spread"]) * shape(step, chance),
            "error_percent": min(100.0, max(0.0, chance.gauss(base["error_percent"], base["error_percent"] / 2))),
            "queue": max(0.0, _noise(chance, base["queue"], base["spread"]) * shape(step, chance)),
        }
        for step in range(STEPS)
    ]


def _steady(step: int, chance: random.Random) -> float:
    return 1.0


def _spikes(step: int, chance: random.Random) -> float:
    return chance.uniform(3, 12) if chance.random() < 0.05 else 1.0


def healthy(seed: int) -> Story:
    """Steady, with spikes, a step to a new level, a harmless rise; waves and plateaus that come near a limit."""
    chance = random.Random(seed)
    kind = ("steady", "spikes", "wave", "step", "rise", "swell", "plateau")[seed % 7]
    period, at, height = chance.uniform(30, 200), chance.randrange(40, 200), chance.uniform(1.5, 4)
    if kind in ("swell", "plateau"):
        return _near(chance, kind, period, at)
    shape: Callable[[int, random.Random], float] = {
        "steady": _steady,
        "spikes": _spikes,
        "wave": lambda step, _: 1.5 + math.sin(2 * math.pi * step / period),
        "step": lambda step, _: height if step >= at else 1.0,
        "rise": lambda step, _: 1.0 + 2.0 * step / STEPS,
    }[kind]
    return Story(kind, _healthy(chance, shape), None)


def _near(chance: random.Random, kind: str, period: float, begin: int) -> Story:
    # Up to eight tenths of the limit: what a busy day looks like, and a cache that fills.
    samples = _healthy(chance, _steady)
    measure = chance.choice(sorted(LIMITS))
    top, length = LIMITS[measure].value * chance.uniform(0.2, 0.8), chance.randrange(20, 100)
    for step, values in enumerate(samples):
        if kind == "swell":
            share = 0.5 - 0.5 * math.cos(2 * math.pi * step / period)
        else:
            share = min(max((step - begin) / length, 0.0), 1.0)
        values[measure] += top * share * chance.uniform(0.9, 1.1)
    return Story(kind, samples, None)


def failing(seed: int) -> Story:
    """Ends at a limit: latency that grows evenly or ever faster, a queue that fills, errors that creep; or at once."""
    chance = random.Random(seed)
    kind = ("leak", "collapse", "queue", "errors", "sudden")[seed % 5]
    samples = _healthy(chance, _spikes if chance.random() < 0.3 else _steady)
    begin, length = chance.randrange(40, 120), chance.randrange(20, 100)
    measure = {"leak": "latency_ms", "collapse": "latency_ms", "queue": "queue", "errors": "error_percent"}.get(kind)
    failed_at = None
    for step, values in enumerate(samples):
        if kind == "sudden":
            if step == begin + length:
                values["error_percent"] = 100.0
        elif measure is not None and step >= begin:
            share = (step - begin) / length
            growth = share if kind != "collapse" else math.expm1(4 * share) / math.expm1(4)
            values[measure] += LIMITS[measure].value * growth * chance.uniform(0.9, 1.1)
        if any(values[name] >= LIMITS[name].value for name in LIMITS):
            failed_at = step
            break
    return Story(kind, samples[: (failed_at or STEPS) + 1], failed_at)


def foretold(story: Story) -> list[int]:
    """Steps at which a forecast began."""
    forecaster = Forecaster()
    begun = []
    before = False
    end = len(story.samples) if story.failed_at is None else story.failed_at
    for step, values in enumerate(story.samples[:end]):
        forecaster.add((step + 1) * STEP_SECONDS * SECOND_NS, values)
        now = forecaster.forecast is not None
        if now and not before:
            begun.append(step)
        before = now
    return begun


class Tally(NamedTuple):
    """What came of forecasts over many stories."""

    precision: float
    recall: float
    false_alarms: float
    warning_seconds: float
    missed: dict[str, int]


def measure(count: int) -> Tally:
    """`count` healthy stories and as many failing ones; a forecast is true where it fails within twice the horizon."""
    true = false = found = alarmed = announced = 0
    warnings = []
    missed: dict[str, int] = {}
    for seed in range(count):
        steps = foretold(healthy(seed))
        alarmed += bool(steps)
        false += len(steps)
        story = failing(1_000_000 + seed)
        steps = foretold(story)
        if story.failed_at is None:
            false += len(steps)
            continue
        close = [step for step in steps if (story.failed_at - step) * STEP_SECONDS <= 2 * 300]
        true += len(close)
        false += len(steps) - len(close)
        if story.kind != "sudden":
            announced += 1
            found += bool(close)
            if close:
                warnings.append((story.failed_at - close[0]) * STEP_SECONDS)
            else:
                missed[story.kind] = missed.get(story.kind, 0) + 1
    return Tally(
        true / max(true + false, 1),
        found / max(announced, 1),
        alarmed / count,
        median(warnings) if warnings else 0.0,
        missed,
    )
