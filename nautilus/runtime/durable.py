"""Answers of operations that are durable: each waits until a state that has what it says is on disk.

That is saved right after the handlers that are to be called now, once for all of an engine's answers that wait.
"""

from __future__ import annotations

from collections.abc import Callable

from nautilus.model.errors import BusError
from nautilus.model.message import Message
from nautilus.runtime.calls import Calls
from nautilus.runtime.live_context import LiveContext

Answer = Callable[["Message | Exception"], None]


class NotSavedError(BusError):
    """What was asked for is done, and would be lost with this process."""

    code = "bus.not_saved"


class DurableAnswers:
    """Of one host.

    Parameters
    ----------
    calls
        Is told of an engine whose state cannot be saved.
    again
        Has `settle` called soon.
    """

    def __init__(self, calls: Calls, again: Callable[[], object]) -> None:
        self._calls = calls
        self._again = again
        self._held: dict[LiveContext, list[tuple[Answer, Message]]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._held.values()))

    def hold(self, context: LiveContext, answer: Answer, result: Message | Exception) -> None:
        """Keep an answer until the engine's state is on disk; a refusal changed nothing, and is given at once."""
        if isinstance(result, Exception):
            answer(result)
        else:
            self._held.setdefault(context, []).append((answer, result))

    def settle(self) -> None:
        """Save what answers wait for, and give them."""
        held, self._held = self._held, {}
        for context, waiting in held.items():
            refusal = None
            try:
                assert context.recovery is not None
                if not context.recovery.save(synced=True):  # large parts take more than one turn
                    self._held[context] = [*waiting, *self._held.get(context, ())]
                    continue
            except Exception as error:
                self._calls.failed(context, context.engine.state, error)
                refusal = NotSavedError(f"the state cannot be saved: {error}", where=context.name, expected="a disk")
            for answer, result in waiting:
                answer(refusal or result)
        if self._held:
            self._again()


__all__ = ["Answer", "DurableAnswers", "NotSavedError"]
