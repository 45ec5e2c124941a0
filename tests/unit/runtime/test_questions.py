"""Questions of other threads: one waking for many, and none forgotten at the end."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest

from nautilus.model.queries import GetStrategies
from nautilus.runtime.protection import MOST_WAITING, FullError
from nautilus.runtime.questions import AT_ONCE, Questions, StoppingError


class Answering:
    """In the place of a host's messages: answers with what it was asked."""

    def __init__(self):
        self.asked = []

    def serve(self, engine, message, told):
        self.asked.append(engine)
        if engine == "broken":
            raise ZeroDivisionError
        told(message)

    def between(self):
        pass

    def drain(self):
        pass


def woken(questions):
    """How often it was woken since the last look."""
    try:
        return os.eventfd_read(questions.fileno())
    except BlockingIOError:
        return 0


def test_host_is_woken_once_for_all_that_a_loop_asks_together():
    questions, answering, answers = Questions("p"), Answering(), []

    async def ask(count):
        for number in range(count):
            questions.put(f"e{number}", GetStrategies(), 0, answers.append)
        assert woken(questions) == 0
        passed = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(passed.set_result, None)
        await passed

    asyncio.run(ask(AT_ONCE + 4))
    assert woken(questions) == 1
    questions.take(answering)
    assert len(answers) == AT_ONCE  # other work comes between; for the rest it has woken itself
    assert woken(questions) == 1
    questions.take(answering)
    assert answering.asked == [f"e{number}" for number in range(AT_ONCE + 4)]
    asyncio.run(ask(1))
    assert woken(questions) == 1
    questions.close()
    assert isinstance(answers[-1], StoppingError)


def in_loop(function):
    """Call something in the thread of a loop."""

    async def run():
        return function()

    return asyncio.run(run())


def test_what_waits_is_taken_by_priority_and_in_its_order_within_one():
    questions, answering, answers = Questions("p"), Answering(), []

    def ask():
        for number in range(3):
            for priority in (3, 2, 0, 1):
                questions.put(f"{priority}{number}", GetStrategies(), 0, answers.append, priority)

    in_loop(ask)
    questions.take(answering)
    assert answering.asked == sorted(answering.asked)
    assert len(answers) == 12
    questions.close()


def test_traced_question_waits_in_the_same_line():
    class Tracing(Answering):
        def __init__(self):
            super().__init__()
            self.line = []

        def ask(self, engine, message, told, within_ns, trace):
            self.line.append((engine, message, told))

        def settle(self):
            for each in self.line:
                self.serve(*each)
            self.line.clear()

    questions, answering, answers = Questions("p"), Tracing(), []

    def ask():
        for number, priority in enumerate((3, 3, 0)):
            questions.put(f"{priority}", GetStrategies(), number % 2, answers.append, priority)

    in_loop(ask)
    questions.take(answering)
    assert answering.asked == ["0", "3", "3"]
    questions.close()


def test_question_is_taken_back_only_where_others_had_their_turn_and_it_had_none():
    questions, answering, answers = Questions("p"), Answering(), []
    low, lower = in_loop(lambda: [questions.put("e", GetStrategies(), 0, answers.append, 3) for _ in range(2)])
    assert not low.withdraw()  # the engine hangs, as far as is known
    first = in_loop(lambda: questions.put("first", GetStrategies(), 0, answers.append, 0))
    questions._waiting.take()
    assert lower.withdraw()
    assert not lower.withdraw()
    questions.take(answering)
    assert (answering.asked, len(answers)) == (["e"], 1)
    assert low.begun_ns > 0 == lower.begun_ns
    assert not first.withdraw()
    questions.close()


def test_so_many_may_wait_and_the_rest_is_shed():
    refused = []
    questions = Questions("p", lambda: refused.append(1))
    in_loop(lambda: [questions.put("e", GetStrategies(), 0, lambda answer: None, 3) for _ in range(MOST_WAITING)])
    assert MOST_WAITING == 10_000
    with pytest.raises(FullError) as caught:
        in_loop(lambda: questions.put("e", GetStrategies(), 0, lambda answer: None, 3))
    assert (caught.value.as_dict()["code"], refused) == ("limit.queue", [1])
    in_loop(lambda: questions.put("e", GetStrategies(), 0, lambda answer: None, 0))
    questions.close()


def test_question_whose_handler_cannot_be_called_is_answered_too():
    questions, answers = Questions("p"), []

    async def ask():
        questions.put("broken", GetStrategies(), 0, answers.append)

    asyncio.run(ask())
    questions.take(Answering())
    assert isinstance(answers[0], ZeroDivisionError)
    questions.close()


def test_nothing_that_is_asked_while_it_closes_waits_forever():
    for _ in range(20):
        questions, answers, begun = Questions("p"), [], threading.Event()

        async def ask(questions=questions, answers=answers, begun=begun):
            for _ in range(200):
                questions.put("e", GetStrategies(), 0, answers.append)
                begun.set()

        asking = threading.Thread(target=lambda ask=ask: asyncio.run(ask()))
        asking.start()
        begun.wait(60)
        questions.close()
        asking.join(60)
        questions.refuse()
        assert len(answers) == 200
        assert all(isinstance(answer, StoppingError) for answer in answers)
