"""Routing rules: what they mean, and what is wrong with those that mean nothing."""

from __future__ import annotations

import contextlib
import operator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.policy.rules import MOST_DEPTH, NAMES, RuleError, Value, parse_rule

STRATEGIES = frozenset({"direct_only", "gateway_only"})
FACTS: dict[str, Value] = {
    **{name: "" if kind == "text" else 0.0 for name, kind in NAMES.items()},
    "engine": "risk",
    "method": "GET",
    "p95_ms": 21.5,
    "priority": "high",
}


def holds(condition: str, **facts: Value) -> bool:
    return parse_rule(f"{condition} -> direct_only", STRATEGIES).holds({**FACTS, **facts})


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ('engine == "risk" and method == "GET" and p95_ms > 20', True),
        ('engine == "risk" and method == "GET" and p95_ms > 21.5', False),
        ("p95_ms >= 21.5", True),
        ("p95_ms<=21.4", False),
        ("20 < p95_ms", True),
        ("p50_ms == gateway_p50_ms", True),
        ("p95_ms != gateway_p95_ms", True),
        ("p50_ms > -1", True),
        ('engine != "ml"', True),
        ('engine in ["ml", "risk"]', True),
        ('not engine in ["ml", "risk"]', False),
        ("p95_ms in [21.5, 3]", True),
        ('not not engine == "risk"', True),
        ('engine == "ml" or engine == "risk" and method == "GET"', True),
        ('(engine == "ml" or engine == "risk") and method == "POST"', False),
        ('not (engine == "ml") and priority == "high"', True),
        ('engine == "ml" or not method == "POST"', True),
    ],
)
def test_a_condition_means_what_it_says(condition: str, expected: bool) -> None:
    assert holds(condition) is expected


def test_a_rule_knows_what_it_asks_for() -> None:
    rule = parse_rule('  engine == "risk" and gateway_p99_ms > 5 -> gateway_only ', STRATEGIES)
    assert rule.strategy == "gateway_only"
    assert rule.uses == {"engine", "gateway_p99_ms"}
    assert rule.text == 'engine == "risk" and gateway_p99_ms > 5 -> gateway_only'


@pytest.mark.parametrize(
    ("text", "column", "expected"),
    [
        ("", 1, "a name, a number or text"),
        ("engine", 7, "a comparison"),
        ('engine == "risk"', 17, "`->` and a strategy"),
        ('engine == "risk" ->', 20, "a strategy: direct_only, gateway_only"),
        ('engine == "risk" -> fly', 21, "a strategy"),
        ('engine == "risk" -> "direct_only"', 21, "a strategy"),
        ('engine == "risk" -> direct_only now', 33, "the end of the rule"),
        ("engine == risk -> direct_only", 11, "text stands in double quotes"),
        ('engin == "risk" -> direct_only', 1, "one of engine"),
        ("engine == 5 -> direct_only", 8, "text on both sides"),
        ('p95_ms > "5" -> direct_only', 8, "a number on both sides"),
        ('engine > "risk" -> direct_only', 8, "== or != between texts"),
        ("1 == 1 -> direct_only", 1, "a name on one side"),
        ('engine == "risk -> direct_only', 11, "text that ends"),
        ('engine == "ri\\sk" -> direct_only', 11, "text that ends"),
        ("engine == 'risk' -> direct_only", 11, "a name, number, text or operator"),
        ("p95_ms > 5 && p50_ms > 1 -> direct_only", 12, "a name, number, text or operator"),
        ("p95_ms > 1e5 -> direct_only", 11, "`->`"),
        ('engine in "risk" -> direct_only', 11, "`[`"),
        ("engine in [] -> direct_only", 12, "a name, a number or text"),
        ('engine in ["a" "b"] -> direct_only', 16, "`,` or `]`"),
        ("engine in [5] -> direct_only", 12, "text, as engine is"),
        ("engine in [method] -> direct_only", 12, "text, as engine is"),
        ('"a" in ["a"] -> direct_only', 5, "a name before `in`"),
        ('(engine == "risk" -> direct_only', 19, "`)`"),
        ("not -> direct_only", 5, "a name, a number or text"),
        ('__import__("os") -> direct_only', 1, "one of engine"),
        ("engine.__class__ == engine -> direct_only", 7, "a name, number, text or operator"),
    ],
)
def test_what_is_wrong_is_said_with_its_column(text: str, column: int, expected: str) -> None:
    with pytest.raises(RuleError) as caught:
        parse_rule(text, STRATEGIES, where="rules[0]")
    assert caught.value.where == f"rules[0], column {column}"
    assert expected in caught.value.expected


def test_a_rule_is_bounded_in_length_depth_and_lists() -> None:
    deep = "(" * MOST_DEPTH + "p95_ms > 1" + ")" * MOST_DEPTH
    assert holds(deep)
    with pytest.raises(RuleError, match="brackets inside one another"):
        holds(f"({deep})")
    with pytest.raises(RuleError, match="1012 characters"):
        parse_rule(" " * 1000 + "p95_ms > 1 -", STRATEGIES)
    assert not holds(f"p95_ms in [{', '.join(map(str, range(64)))}]")
    with pytest.raises(RuleError, match="at most 64 in a list"):
        holds(f"p95_ms in [{', '.join(map(str, range(65)))}]")
    assert holds("not " * 200 + "p95_ms > 1")


NUMBERS = st.integers(-99, 99)
OPERATORS = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _trees(inner: st.SearchStrategy) -> st.SearchStrategy:
    """(text, what it gives for 21.5 and "risk") of conditions in brackets."""
    return st.one_of(
        st.tuples(inner, inner).map(lambda two: (f"({two[0][0]}) and ({two[1][0]})", two[0][1] and two[1][1])),
        st.tuples(inner, inner).map(lambda two: (f"({two[0][0]}) or ({two[1][0]})", two[0][1] or two[1][1])),
        inner.map(lambda one: (f"not ({one[0]})", not one[1])),
    )


leaves = st.one_of(
    st.tuples(st.sampled_from(sorted(OPERATORS)), NUMBERS).map(
        lambda pair: (f"p95_ms {pair[0]} {pair[1]}", OPERATORS[pair[0]](21.5, pair[1]))
    ),
    st.sampled_from(["risk", "ml"]).map(lambda name: (f'engine == "{name}"', name == "risk")),
    st.lists(st.sampled_from(["risk", "ml"]), min_size=1).map(
        lambda names: ("engine in [" + ", ".join(f'"{name}"' for name in names) + "]", "risk" in names)
    ),
)


@given(st.recursive(leaves, _trees, max_leaves=8))
def test_conditions_are_worked_out_as_python_would(tree: tuple[str, bool]) -> None:
    text, expected = tree
    assert holds(text) == expected


@given(st.text(alphabet='engip95_ms<>=!()[],"- \tandornot1.\\\u00e9', max_size=60))
def test_any_text_is_a_rule_or_refused(text: str) -> None:
    with contextlib.suppress(RuleError):  # any other error fails the test
        assert parse_rule(text, STRATEGIES).holds(FACTS) in (True, False)
