"""Threads that run one at a time, in an order that a seed decides, in virtual time.

Each task is a real thread, but only the one that has the baton runs. It passes the baton on where it
would block, where it ends, and where a trace function says so (see `races`). Where nobody can run,
the clock jumps to the first deadline; without one, everything hangs, and what hangs is named.
"""

from __future__ import annotations

import sys
import traceback
from _thread import allocate_lock, start_new_thread
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from chaos.clock import Clock

MOST_STEPS: Final = 50_000
"""How many switches without any time passing are taken for a loop without an end."""


class Abandoned(BaseException):
    """Ends a thread of a history that is over."""


class Hang(Exception):  # noqa: N818  # says what happened
    """All threads wait for what never comes, or one runs for ever."""


@dataclass(eq=False)
class Task:
    """One thread of a history.

    Attributes:
        name: For people.
        baton: Held while the thread may not run.
        ready: Whether what it waits for is there; `None` if it waits for nothing.
        deadline: When it goes on at the latest.
        what: What it waits for, in words.
        is_done: Whether it ended.
        is_traced: Whether the scheduler's trace function looks on while it runs.
    """

    name: str
    baton: Any = field(default_factory=allocate_lock)
    ready: Callable[[], bool] | None = None
    deadline: float | None = None
    what: str = ""
    is_done: bool = False
    is_traced: bool = False

    def can_run(self, now: float) -> bool:
        if self.ready is None:
            return True
        return self.ready() or (self.deadline is not None and now >= self.deadline)


class Scheduler:
    """Says which thread runs.

    Args:
        clock: Tells the time.
        random: Decides.

    Attributes:
        clock: As given.
        current: The thread that runs.
        tasks: All that live.
        trace: What looks on while traced threads run.
    """

    def __init__(self, clock: Clock, random: Random) -> None:
        self.clock = clock
        self.random = random
        self.main = Task("main")
        self.main.baton.acquire()
        self.current = self.main
        self.tasks = [self.main]
        self.is_over = False
        self.hang: str | None = None
        self.trace: Any = None
        self._steps = 0
        self._moved_at = clock.now

    # What tasks do.

    def spawn(
        self, name: str, run: Callable[[], object], *, at_once: bool = False, traced: bool = False
    ) -> Task:
        """Start a thread that runs *run*; *at_once* hands the baton to it."""
        task = Task(name, is_traced=traced)
        task.baton.acquire()
        self.tasks.append(task)
        start_new_thread(self._live, (task, run))
        if at_once:
            self.switch(task)
        return task

    def _live(self, task: Task, run: Callable[[], object]) -> None:
        task.baton.acquire()
        try:
            if not self.is_over:
                if task.is_traced:
                    sys.settrace(self.trace)
                run()
        except (Abandoned, SystemExit):
            pass
        except BaseException:  # noqa: BLE001  # as a thread of the real world: told, and ended
            self.hang = self.hang or f"thread {task.name} raised {traceback.format_exc()}"
        finally:
            sys.settrace(None)
            task.is_done = True
            if not self.is_over:
                self.tasks.remove(task)
                self._pass_on()

    def switch(self, to: Task | None = None) -> None:
        """Let another thread run: *to*, or any."""
        me = self.current
        if self.is_over or (to is None and len(self.tasks) == 1):
            return
        self._hand(me, to or self._next())

    def block(
        self, ready: Callable[[], bool], timeout: float | None = None, what: str = "something"
    ) -> bool:
        """Wait until *ready* is true, but not longer than *timeout*; return whether it is."""
        if self.is_over:
            raise Abandoned
        me = self.current
        me.ready, me.what = ready, what
        me.deadline = None if timeout is None else self.clock.now + max(0.0, timeout)
        try:
            following = self._next_or_main()
            self._hand(me, following)
            return ready()
        finally:
            me.ready, me.deadline = None, None

    def sleep(self, seconds: float) -> None:
        self.block(lambda: False, seconds, "time to pass")

    # Who runs.

    def _hand(self, me: Task, to: Task) -> None:
        if to is not me:
            self.current = to
            to.baton.release()
            me.baton.acquire()
            if me.is_traced:
                sys.settrace(self.trace)
        if self.is_over and me is not self.main:
            raise Abandoned
        if self.hang is not None and me is self.main:
            what, self.hang = self.hang, None
            raise Hang(what)

    def _pass_on(self) -> None:
        following = self._next_or_main()
        self.current = following
        following.baton.release()

    def _next_or_main(self) -> Task:
        try:
            return self.main if self.hang is not None else self._next()
        except Hang as hang:
            self.hang = str(hang)
            return self.main

    def _next(self) -> Task:
        self._count()
        while True:
            able = [task for task in self.tasks if task.can_run(self.clock.now)]
            if able:
                return able[0] if len(able) == 1 else self.random.choice(able)
            deadlines = [task.deadline for task in self.tasks if task.deadline is not None]
            if not deadlines:
                raise Hang(f"all threads wait for ever: {self.stacks()}")
            self.clock.now = max(self.clock.now, min(deadlines))

    def _count(self) -> None:
        if self.clock.now != self._moved_at:
            self._moved_at, self._steps = self.clock.now, 0
        self._steps += 1
        if self._steps > MOST_STEPS:
            raise Hang(f"the threads run, and no time passes: {self.stacks()}")

    def stacks(self) -> str:
        """Return what each thread waits for, and where."""
        names = ", ".join(f"{task.name} for {task.what}" for task in self.tasks)
        frames = sys._current_frames()
        places = [
            "".join(traceback.format_stack(frame)[-4:])
            for ident, frame in frames.items()
            if "/heksher/" in "".join(traceback.format_stack(frame)[-8:])
        ]
        return f"{names}\n{chr(10).join(places)}"

    # The end.

    def others(self) -> list[str]:
        """Return the names of all threads that live, but for the history's own."""
        return [task.name for task in self.tasks if task is not self.main]

    def in_child(self) -> None:
        """Forget the threads that only the parent process has."""
        self.tasks = [self.main]

    def end(self) -> None:
        """End all threads, wherever they are."""
        self.is_over = True
        for task in list(self.tasks):
            if task is not self.main:
                task.baton.release()
