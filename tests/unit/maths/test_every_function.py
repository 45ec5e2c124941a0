"""Every public function of `nautilus.maths` on sound and on bad arguments: a number that is one, or a stated reason.

The functions are found, not listed: one that is new fails here until its arguments have kinds
(`tests.kit.maths_arguments`). Sizes are bounded, so is the time. Warnings are errors throughout the tests.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from tests.kit.maths_arguments import OF_ALL, OTHERS, is_record, kinds_of, public
from tests.kit.maths_inputs import Case, Sound, every_array, fortran, spoil, strided
from tests.kit.maths_outcome import Outcome, outcome_of, same

SOAK = int(os.environ.get("NAUTILUS_SEEDS", "0"))
APART = {
    "errors.Undefined": "the error itself",
    "hidden_markov.": "kernels: `regime` gives them what it has checked",
    "indicators.averages.": "parts of formulas: they take a graph, not numbers",
    "indicators.bands.": "parts of formulas",
    "indicators.definition.": "makes programs of formulas",
    "indicators.graph.": "makes programs of formulas",
    "quadratic.Program": "a protocol",
    "vpin_state.": "takes a table of the core: tests/unit/engines",
}
"""What is not called here, and why."""
SLOW = {"volatility.garch", "volatility.gjr_garch", "american.price", "american.exercise_boundary"}
REFUSALS = {"indicators.catalogue.": KeyError}
"""Errors of names that are not there, as their docstrings say."""
MEMBERS = {
    name: OF_ALL.get(name, member)
    for name, member in public()
    if not is_record(member) and not name.startswith(tuple(APART))
}


@st.composite
def calls(draw: st.DrawFn, names: list[str]) -> tuple[Case, tuple[str, ...], int]:
    """A case, which arguments are spoilt (half of the time none, else up to two), and the seed of how."""
    case = Case(
        draw(st.integers(0, 1 << 31)),
        draw(st.sampled_from((1, 2, 5, 12, 40, 110))),
        draw(st.sampled_from((1, 2, 3, 5))),
    )
    chosen = st.lists(st.sampled_from(names), min_size=1, max_size=2) if names else st.just([])
    return case, tuple(draw(st.just([]) | chosen)), draw(st.integers(0, 1 << 31))


@pytest.mark.parametrize("name", sorted(MEMBERS))
def test_a_function_gives_numbers_or_says_why_not(name: str) -> None:
    function, kinds = MEMBERS[name], kinds_of(name, dict(public())[name])
    spoilable = [each for each, kind in kinds.items() if not isinstance(kind, Sound)]
    few = 3 if name in SLOW else 9

    @seed(20)
    @settings(max_examples=max(few, few * SOAK))
    @given(calls(spoilable))
    def run(call: tuple[Case, tuple[str, ...], int]) -> None:
        case, spoilt, how = call
        arguments = {each: kind(case) for each, kind in kinds.items()}
        chance = np.random.default_rng(how)
        for each in spoilt:
            arguments[each] = spoil(arguments[each], chance)
        found = _called(name, function, arguments)
        for layout in (fortran, strided):
            other = _called(name, function, _changed(arguments, spoilable, layout))
            assert same(found, other), f"{layout.__name__}: {found} {other}"
        if not spoilt:
            narrow = _changed(arguments, spoilable, _narrow)
            wide = _changed(narrow, spoilable, _wide)
            assert same(_called(name, function, narrow), _called(name, function, wide)), "single precision"

    run()


def _called(name: str, function: Callable[..., Any], arguments: dict[str, Any]) -> Outcome:
    refused = tuple(error for begin, error in REFUSALS.items() if name.startswith(begin))
    try:
        return outcome_of(name, function, arguments)
    except refused as error:
        return Outcome(type(error).__name__)


def _changed(arguments: dict[str, Any], names: list[str], change: Callable[[np.ndarray], np.ndarray]) -> dict[str, Any]:
    return {key: every_array(each, change) if key in names else each for key, each in arguments.items()}


def _narrow(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32) if array.dtype == np.float64 else array


def _wide(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float64) if array.dtype == np.float32 else array


def test_each_kind_is_of_a_function_that_is_there() -> None:
    names = {name for name, _ in public()}
    assert set(OTHERS) <= names
    assert set(OF_ALL) <= names
    assert all(any(name.startswith(begin) for name in names) for begin in (*APART, *REFUSALS))


def test_each_function_has_a_number_for_sound_arguments() -> None:
    """Kinds that a function always refuses would prove nothing."""
    refusing = []
    for name, function in MEMBERS.items():
        kinds = kinds_of(name, dict(public())[name])
        for number in range(12):
            case = Case(number, 110, 3)
            if not _called(name, function, {each: kind(case) for each, kind in kinds.items()}).code:
                break
        else:
            refusing.append(name)
    assert refusing == []
