"""Routing rules of users: a condition and the strategy that then applies, one line each.

::

    engine == "risk" and method == "GET" and p95_ms > 20 -> gateway_only
    engine in ["factor", "features"] and not (priority == "critical") -> hybrid_performance

A condition compares names with text in double quotes and numbers (``== != < <= > >=``, ``in [...]``) and joins
comparisons with ``and``, ``or``, ``not`` and brackets. `NAMES` has the names. Nothing is evaluated but this grammar; a
rule is at most 1,000 characters and 16 brackets deep, and a rule that makes no sense is refused with the column.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, NoReturn

__all__ = ["NAMES", "Rule", "RuleError", "parse_rule"]

Value = str | float | bool
Condition = Callable[[Mapping[str, Value]], bool]

TEXT: Final = "text"
NUMBER: Final = "a number"

NAMES: Final[dict[str, str]] = {
    "engine": TEXT,
    "endpoint": TEXT,
    "endpoint_class": TEXT,
    "method": TEXT,
    "priority": TEXT,
    "category": TEXT,
    "client": TEXT,
    "p50_ms": NUMBER,
    "p95_ms": NUMBER,
    "p99_ms": NUMBER,
    "gateway_p50_ms": NUMBER,
    "gateway_p95_ms": NUMBER,
    "gateway_p99_ms": NUMBER,
    "in_flight": NUMBER,
    "failure_percent": NUMBER,
}
"""What a condition may ask of a request. Milliseconds, requests in flight and failures are those of the direct route,
or as the name says of the gateway's; 0 where nothing is known yet."""

MOST_CHARACTERS = 1000
MOST_DEPTH = 16
MOST_LIST = 64

_TOKEN = re.compile(
    r"""\s*(?:(?P<arrow>->)|(?P<operator>==|!=|<=|>=|<|>)|(?P<mark>[()\[\],])"""
    r"""|(?P<number>-?\d{1,15}(?:\.\d{1,9})?)|"(?P<text>[^"\\]*)"|(?P<word>[A-Za-z_][A-Za-z0-9_]*))"""
)
_WORDS = frozenset({"and", "or", "not", "in"})


class RuleError(ValueError):
    """A routing rule makes no sense: what was found in it, where, and what was expected there."""

    def __init__(self, what: str, *, where: str, expected: str) -> None:
        self.what = what
        self.where = where
        self.expected = expected
        super().__init__(f"{where}: {what}; expected {expected}")


class Rule(NamedTuple):
    """One rule.

    Parameters
    ----------
    text
        As it was written.
    strategy
        Name of the strategy behind the arrow.
    holds
        Whether the condition holds for {name: value}, which has at least `uses`.
    uses
        Names in the condition.
    """

    text: str
    strategy: str
    holds: Condition
    uses: frozenset[str]


class _Token(NamedTuple):
    kind: str  # arrow, operator, mark, number, text, word, end
    value: str
    column: int


class _Operand(NamedTuple):
    kind: str  # TEXT or NUMBER
    name: str  # "": a constant
    constant: Value


def parse_rule(text: str, strategies: frozenset[str], *, where: str = "rule") -> Rule:
    """A rule from its text; RuleError with the column of what is wrong in it.

    Parameters
    ----------
    text
        ``CONDITION -> STRATEGY``.
    strategies
        Names that may stand behind the arrow.
    where
        Names the rule in errors, such as ``gateway.routing.rules[2]``.
    """
    return _Parser(text, strategies, where).rule()


class _Parser:
    """Recursive descent over tokens; each condition becomes a closure."""

    def __init__(self, text: str, strategies: frozenset[str], where: str) -> None:
        self._where = where
        self._strategies = strategies
        self._text = text
        if len(text) > MOST_CHARACTERS:
            raise RuleError(f"{len(text)} characters", where=where, expected=f"at most {MOST_CHARACTERS}")
        self._tokens = self._split(text)
        self._at = 0
        self._uses: set[str] = set()

    def rule(self) -> Rule:
        """The whole of it."""
        holds = self._any(0)
        self._expect("arrow", "->", "`->` and a strategy, or `and`, `or`")
        name = self._next()
        if name.kind != "word" or name.value not in self._strategies:
            self._refuse(name, f"a strategy: {', '.join(sorted(self._strategies))}")
        end = self._next()
        if end.kind != "end":
            self._refuse(end, "the end of the rule")
        return Rule(self._text.strip(), name.value, holds, frozenset(self._uses))

    def _any(self, depth: int) -> Condition:
        parts = [self._all(depth)]
        while self._is_word("or"):
            parts.append(self._all(depth))
        if len(parts) == 1:
            return parts[0]
        every = tuple(parts)
        return lambda values: any(part(values) for part in every)

    def _all(self, depth: int) -> Condition:
        parts = [self._one(depth)]
        while self._is_word("and"):
            parts.append(self._one(depth))
        if len(parts) == 1:
            return parts[0]
        every = tuple(parts)
        return lambda values: all(part(values) for part in every)

    def _one(self, depth: int) -> Condition:
        negated = False
        while self._is_word("not"):
            negated = not negated
        here = self._tokens[self._at]
        if here.kind == "mark" and here.value == "(":
            if depth == MOST_DEPTH:
                self._refuse(here, f"at most {MOST_DEPTH} brackets inside one another")
            self._at += 1
            inner = self._any(depth + 1)
            self._expect("mark", ")", "`)`")
        else:
            inner = self._comparison()
        return (lambda values: not inner(values)) if negated else inner

    def _comparison(self) -> Condition:
        start = self._tokens[self._at]
        left = self._operand()
        if self._is_word("in"):
            return self._membership(left)
        operator = self._next()
        if operator.kind != "operator":
            self._refuse(operator, "a comparison: == != < <= > >= in")
        right = self._operand()
        if not left.name and not right.name:
            self._refuse(start, "a name on one side of the comparison")
        if left.kind != right.kind:
            self._refuse(operator, f"{left.kind} on both sides, as {left.name or 'the left one'} is")
        if left.kind == TEXT and operator.value not in ("==", "!="):
            self._refuse(operator, "== or != between texts")
        return _compare(operator.value, _getter(left), _getter(right))

    def _membership(self, left: _Operand) -> Condition:
        if not left.name:
            self._refuse(self._tokens[self._at - 1], "a name before `in`")
        self._expect("mark", "[", "`[` and a list")
        items: set[Value] = set()
        while True:
            token = self._tokens[self._at]
            item = self._operand()
            if item.name or item.kind != left.kind:
                self._refuse(token, f"{left.kind}, as {left.name} is")
            items.add(item.constant)
            if len(items) > MOST_LIST:
                self._refuse(token, f"at most {MOST_LIST} in a list")
            mark = self._next()
            if mark.kind == "mark" and mark.value == "]":
                break
            if mark.kind != "mark" or mark.value != ",":
                self._refuse(mark, "`,` or `]`")
        name, members = left.name, frozenset(items)
        return lambda values: values[name] in members

    def _operand(self) -> _Operand:
        token = self._next()
        if token.kind == "number":
            return _Operand(NUMBER, "", float(token.value))
        if token.kind == "text":
            return _Operand(TEXT, "", token.value)
        if token.kind == "word" and token.value in NAMES:
            self._uses.add(token.value)
            return _Operand(NAMES[token.value], token.value, "")
        if token.kind == "word" and token.value not in _WORDS:
            expected = f"one of {', '.join(NAMES)}; text stands in double quotes"
        else:
            expected = "a name, a number or text in double quotes"
        return self._refuse(token, expected)

    def _is_word(self, word: str) -> bool:
        token = self._tokens[self._at]
        if token.kind == "word" and token.value == word:
            self._at += 1
            return True
        return False

    def _next(self) -> _Token:
        token = self._tokens[self._at]
        if token.kind != "end":
            self._at += 1
        return token

    def _expect(self, kind: str, value: str, expected: str) -> None:
        token = self._next()
        if token.kind != kind or token.value != value:
            self._refuse(token, expected)

    def _split(self, text: str) -> list[_Token]:
        tokens = []
        at = 0
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                rest = text[at:]
                if not rest.strip():
                    break
                at += len(rest) - len(rest.lstrip())
                wrong = _Token("character", text[at], at + 1)
                self._refuse(
                    wrong, 'text that ends with `"`' if text[at] == '"' else "a name, number, text or operator"
                )
            kind = str(match.lastgroup)
            quotes = kind == "text"
            tokens.append(_Token(kind, match[kind], match.start(kind) + 1 - quotes))
            at = match.end()
        tokens.append(_Token("end", "the end", len(text) + 1))
        return tokens

    def _refuse(self, token: _Token, expected: str) -> NoReturn:
        found = token.value if token.kind == "end" else repr(token.value)
        raise RuleError(f"found {found}", where=f"{self._where}, column {token.column}", expected=expected)


def _getter(operand: _Operand) -> Callable[[Mapping[str, Value]], Value]:
    name, constant = operand.name, operand.constant
    if name:
        return lambda values: values[name]
    return lambda values: constant


def _compare(
    operator: str, left: Callable[[Mapping[str, Value]], Value], right: Callable[[Mapping[str, Value]], Value]
) -> Condition:
    # Both sides are of one kind, and only numbers are ordered: the parser has seen to it.
    match operator:
        case "==":
            return lambda values: left(values) == right(values)
        case "!=":
            return lambda values: left(values) != right(values)
        case "<":
            return lambda values: left(values) < right(values)  # type: ignore[operator]
        case "<=":
            return lambda values: left(values) <= right(values)  # type: ignore[operator]
        case ">":
            return lambda values: left(values) > right(values)  # type: ignore[operator]
        case _:
            return lambda values: left(values) >= right(values)  # type: ignore[operator]
