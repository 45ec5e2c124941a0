"""A data provider: a question in, facts with their provenance out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar, NamedTuple

from nautilus.adapters.sources.config import SourceConfig
from nautilus.adapters.sources.errors import MalformedError, SourceError, UnconfiguredError, UnsupportedError
from nautilus.adapters.sources.ordering import time_of, within
from nautilus.adapters.sources.session import Asking, Reply, Session
from nautilus.model.datasets import DataKind, Fact, GetData, Provenance, ProviderState


class Fetched(NamedTuple):
    """What a provider answered.

    Attributes
    ----------
    facts : in order of time.
    provenance : of the answer as a whole.
    not_modified : it said that nothing has changed since the last time; the facts are the same again.
    etag : of its answer; "": none.
    calls : requests that it took.
    """

    facts: tuple[Fact, ...]
    provenance: Provenance
    not_modified: bool = False
    etag: str = ""
    calls: int = 1


class Source(ABC):
    """One provider. Used in one event loop; the limits are those of all processes.

    Parameters
    ----------
    config
        Its settings.
    session
        Its connection, its limits and its counts.
    """

    name: ClassVar[str]
    kinds: ClassVar[tuple[DataKind, ...]]
    needs_key: ClassVar[bool] = False

    def __init__(self, config: SourceConfig, session: Session) -> None:
        self.config = config
        self.session = session
        session.judge = self.judge

    @property
    def configured(self) -> bool:
        """Whether it has what it needs to be asked."""
        return bool(self.config.key) or not self.needs_key

    async def fetch(self, question: GetData) -> Fetched:
        """Ask the provider.

        Raises
        ------
        SourceError
            It cannot, may not or did not answer; see `errors`.
        """
        if question.kind not in self.kinds:
            raise UnsupportedError(
                f"{self.name} has no {question.kind} data",
                where=f"{question.kind} {question.symbol}",
                expected=f"one of {', '.join(self.kinds)}",
                source=self.name,
            )
        if not self.configured:
            raise UnconfiguredError(
                f"{self.name} wants a key and none is set", where=self.name, expected="its key", source=self.name
            )
        asking = self.session.question()
        try:
            facts = within(await self._ask(question, asking), question)
        except SourceError as error:
            self.session.settle(asking.replies, right=not isinstance(error, MalformedError))
            # What a quote is made of has to be of now.
            self.session.settle_pages(asking.pages, None if question.kind is DataKind.QUOTE else error)
            self.session.note_error(error)
            raise
        self.session.settle(asking.replies, right=True)
        self.session.settle_pages(asking.pages, None)
        return Fetched(facts, asking.provenance, asking.not_modified and asking.calls > 0, asking.etag, asking.calls)

    @abstractmethod
    async def _ask(self, question: GetData, asking: Asking) -> Iterable[Fact]:
        """The facts, in any order."""

    def judge(self, reply: Reply) -> SourceError | None:
        """What an answer says is wrong, where the provider says it in ways of its own; None: look at its status."""
        return None

    def state(self) -> ProviderState:
        """How it stands, now."""
        counts = self.session.counts
        now_ns = self.session.now_ns()
        state = "ready"
        if not self.configured:
            state = "unconfigured"
        elif self.session.limits.wait_ns(now_ns) > self.config.wait_seconds * 1e9:
            state = "limited"
        elif self.session.failing:
            state = "failing"
        return ProviderState(
            name=self.name,
            state=state,
            kinds=self.kinds,
            calls=counts.calls,
            errors=counts.errors,
            not_modified=counts.not_modified,
            day_left=self.session.limits.day_left(now_ns),
            day_limit=self.config.per_day or -1,
            cost=counts.calls * self.config.cost,
            currency=self.config.currency,
            connections=self.session.connections,
            last_error=counts.last_error,
            last_code=counts.last_code,
            p50_ms=self.session.median_ms(),
        )

    async def close(self) -> None:
        """Give back its connection."""
        await self.session.close()


__all__ = ["Fetched", "Source", "time_of", "within"]
