"""An event loop without a clock and without I/O: it runs what is ready, and stops where everything waits for an answer."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from dataclasses import dataclass
from typing import Any


@dataclass
class Question:
    """A request that somebody awaits. `request` is a hashable value."""

    number: int
    request: tuple[Any, ...]
    future: asyncio.Future[Any]


class SteppedLoop(asyncio.AbstractEventLoop):
    """`drain` runs until every task waits; then `open` has the questions, and `answer` or `fail` lets one go on.

    Time stands still: `time()` is 0. Whoever wants it to pass changes what was noted, not the clock.
    """

    def __init__(self) -> None:
        self._ready: deque[asyncio.Handle] = deque()
        self._asked = 0
        self.open: dict[int, Question] = {}

    # -- for the code under test

    def time(self) -> float:
        return 0.0

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Coroutine[Any, Any, Any], **options: Any) -> asyncio.Task[Any]:
        task = asyncio.Task(coro, loop=self, **options)
        # A branch that is not followed any further is dropped with its tasks, and says nothing.
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        return task

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Only told of tasks whose branch was dropped before anybody asked how they ended."""

    # -- for the explorer

    async def ask(self, request: tuple[Any, ...]) -> Any:
        """A scheduling point: the caller goes on when somebody answers."""
        question = Question(self._asked, request, self.create_future())
        self._asked += 1
        self.open[question.number] = question
        return await question.future

    def answer(self, number: int, value: Any) -> None:
        self.open.pop(number).future.set_result(value)

    def fail(self, number: int, error: BaseException) -> None:
        self.open.pop(number).future.set_exception(error)

    def drain(self) -> None:
        asyncio._set_running_loop(self)
        try:
            while self._ready:
                self._ready.popleft()._run()
        finally:
            asyncio._set_running_loop(None)
