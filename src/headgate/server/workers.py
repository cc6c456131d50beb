"""The supervisor: several processes that serve on one socket, each of them watched.

Workers are started anew with the same command line, not forked: nothing that the
supervisor has in memory, threads or database connections, is in them by halves; each
is just what one process alone would be; and a rolling restart brings new code in. They
share one listening socket, which the supervisor holds: connections that wait in it are
nobody's, so none is lost with a worker. Each worker having one of its own, by
SO_REUSEPORT, would spread connections more evenly, and lose those.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from headgate.server.exits import EXIT_FAULTS, EXIT_USAGE, CannotStart
from headgate.server.worker import LISTENING, NOW, STOP, VARIABLE

__all__ = ["Supervisor", "command_line"]

logger = logging.getLogger("headgate.workers")

START_SECONDS = 60.0  # for a worker to take connections
OVERDUE_SECONDS = 10.0  # past its time to end, a worker is killed
STEADY_SECONDS = 10.0  # a worker that lived for so long is replaced at once
MIN_BACKOFF_SECONDS = 0.5
MAX_BACKOFF_SECONDS = 30.0
MAX_FAILED_STARTS = 5  # in a row, with no worker left that serves

# What starting a process raises where the system refuses one: no descriptors, memory or
# processes are left, or the interpreter is gone while a deploy puts another in its
# place. It is a RuntimeError where asyncio gets no thread to wait for the process.
REFUSED = (OSError, RuntimeError)


class _Process:
    """One worker process, as the supervisor sees it.

    Attributes:
        started_at: On the loop's clock, in seconds.
        listening: Whether it has said that it takes connections.
    """

    def __init__(
        self, process: asyncio.subprocess.Process, number: int, control: socket.socket
    ) -> None:
        loop = asyncio.get_running_loop()
        self.number = number
        self.pid = process.pid
        self.started_at = loop.time()
        self.listening = False
        self.told = False
        self._process = process
        self._control = control
        self._spoke = asyncio.Event()
        control.setblocking(False)
        loop.add_reader(control, self._hear)  # may be refused, and nothing is left then
        self._ended = loop.create_task(self._wait())

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs."""
        return self._process.returncode

    async def begun(self) -> bool:
        """Wait until it takes connections; False where it ended, or never does."""
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._spoke.wait()
        except TimeoutError:
            self.kill()
            await self.ended()
        return self.listening

    async def ended(self) -> int:
        """Wait for its end and return its exit code."""
        return await asyncio.shield(self._ended)

    def stop(self, drain_seconds: float) -> None:
        """Have it send everybody away and end; killed if it takes far too long."""
        self._tell(STOP)
        if not self.told:
            self.told = True
            loop = asyncio.get_running_loop()
            loop.call_later(drain_seconds + OVERDUE_SECONDS, self.kill)

    def hurry(self) -> None:
        """Have it end without waiting for anybody."""
        self._tell(NOW)

    def kill(self) -> None:
        """End it as it is."""
        if self.exit_code is None:
            self._process.kill()

    def _tell(self, what: bytes) -> None:
        if self.exit_code is not None:
            return
        if self.listening:
            try:
                self._control.send(what)
            except OSError:  # it is about to be seen that it ended
                return
        else:
            self._process.terminate()  # it serves nobody, and hears nothing yet

    def _hear(self) -> None:
        try:
            said = self._control.recv(16)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        if LISTENING in said:
            self.listening = True
            self._spoke.set()
        if not said:
            asyncio.get_running_loop().remove_reader(self._control)

    async def _wait(self) -> int:
        code = await self._process.wait()
        asyncio.get_running_loop().remove_reader(self._control)
        self._control.close()
        self._spoke.set()
        return code


class Supervisor:
    """Keeps so many workers running until it is told to stop.

    Args:
        listening: The socket that they share; it listens already.
        count: How many.
        drain_seconds: How long each may take to end.
        on_listening: Called once all of them take connections.
    """

    def __init__(
        self,
        listening: socket.socket,
        *,
        count: int,
        drain_seconds: float,
        on_listening: Callable[[], None],
    ) -> None:
        self._socket = listening
        self._numbers = range(1, count + 1)
        self._drain_seconds = drain_seconds
        self._on_listening = on_listening
        # The worker of each number that serves, or is to; and all that have not ended,
        # with those that are being replaced.
        self._current: dict[int, _Process] = {}
        self._running: set[_Process] = set()
        # By number: who changes its worker, and how long to wait before the next one.
        self._places = {number: asyncio.Lock() for number in self._numbers}
        self._backoff_seconds: dict[int, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._restart = asyncio.Event()
        self._failed_starts = 0
        self._exit_code = 0

    async def run(self) -> int:
        """Start the workers and watch them; return the exit code."""
        loop = asyncio.get_running_loop()
        heard = {
            signal.SIGTERM: self._stop,
            signal.SIGINT: self._stop,
            signal.SIGHUP: self._restart.set,
        }
        for each, handler in heard.items():
            loop.add_signal_handler(each, handler)
        try:
            if await self._begin():
                self._on_listening()
                for worker in self._current.values():
                    self._do(self._watch(worker))
                self._do(self._restarts())
                await self._stopping.wait()
        finally:
            await self._end()
            for each in heard:
                loop.remove_signal_handler(each)
        return self._exit_code

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- beginning ---

    async def _begin(self) -> bool:
        """Start all workers; False where that failed, or is not wanted any more."""
        for number in self._numbers:
            try:
                self._current[number] = await self._start(number)
            except REFUSED as exc:
                self._give_up(f"Worker {number} could not be started: {exc}.", None)
            if self._stopping.is_set():
                return False
        workers = list(self._current.values())
        begun = await asyncio.gather(*(each.begun() for each in workers))
        if self._stopping.is_set():
            return False
        for each, listens in zip(workers, begun, strict=True):
            if not listens:
                self._give_up(
                    f"Worker {each.number} ended with exit code {each.exit_code} "
                    "before it took connections. What it said stands above.",
                    each.exit_code,
                )
                return False
        return True

    async def _start(self, number: int) -> _Process:
        """Start a worker with this process's own command line.

        Raises:
            OSError: The system refuses the process, or what watches it.
            RuntimeError: It refuses the thread that waits for the process.
        """
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                inherited = (self._socket.fileno(), theirs.fileno())
                given = f"{number}:{inherited[0]}:{inherited[1]}"
                process = await asyncio.create_subprocess_exec(
                    *command_line(),
                    env=os.environ | {VARIABLE: given},
                    stdin=subprocess.DEVNULL,
                    pass_fds=inherited,
                    # What a terminal tells all of its processes is for the supervisor.
                    start_new_session=True,
                )
            started = _Process(process, number, ours)
        except BaseException:
            ours.close()  # which ends a process that is there and cannot be watched
            raise
        self._running.add(started)
        return started

    # --- watching ---

    async def _watch(self, worker: _Process) -> None:
        """Wait for the end of a worker, and put another in its place."""
        code = await worker.ended()
        self._running.discard(worker)
        number = worker.number
        if self._stopping.is_set() or self._current[number] is not worker:
            return  # it was to end
        logger.warning(
            "worker_ended worker=%d pid=%d exit_code=%d", number, worker.pid, code
        )
        self._count(code, listened=worker.listening)
        if asyncio.get_running_loop().time() - worker.started_at >= STEADY_SECONDS:
            self._backoff_seconds[number] = 0.0
        while self._current[number] is worker:
            wait_seconds = self._backoff_seconds.get(number, 0.0)
            wider = max(wait_seconds * 2, MIN_BACKOFF_SECONDS)
            self._backoff_seconds[number] = min(wider, MAX_BACKOFF_SECONDS)
            await asyncio.sleep(wait_seconds)
            async with self._places[number]:
                # A rolling restart may have put one there meanwhile.
                if self._current[number] is worker:
                    await self._fill(number)

    async def _fill(self, number: int) -> None:
        """Put a worker where one ended; leave it as it is where none can be started."""
        try:
            new = await self._start(number)
        except REFUSED as exc:
            logger.warning("worker_not_started worker=%d error=%s", number, exc)
            self._count(None, listened=False)
            return
        self._current[number] = new
        self._do(self._watch(new))
        await new.begun()

    def _count(self, code: int | None, *, listened: bool) -> None:
        """Note an end, or a start that was refused and has no exit code.

        Gives up where no start succeeds and nobody serves.
        """
        self._failed_starts = 0 if listened else self._failed_starts + 1
        serving = any(each.listening for each in self._running)
        if self._failed_starts >= MAX_FAILED_STARTS and not serving:
            self._give_up(
                f"No worker is left, and the last {self._failed_starts} starts failed "
                "before connections were taken. Why stands above.",
                code,
            )

    def _give_up(self, why: str, code: int | None) -> None:
        print(f"headgate: {why}", file=sys.stderr)
        self._exit_code = code if code is not None and code > 0 else EXIT_FAULTS
        self._stopping.set()

    # --- restarting ---

    async def _restarts(self) -> None:
        """Replace the workers one after the other whenever that is asked for."""
        while True:
            await self._restart.wait()
            self._restart.clear()
            for number in self._numbers:
                if not await self._replace(number):
                    break

    async def _replace(self, number: int) -> bool:
        """Replace one worker; the new one takes connections before the old one ends.

        Returns:
            False where no new one came up; the old one goes on.
        """
        async with self._places[number]:
            try:
                new = await self._start(number)
            except REFUSED as exc:
                logger.error(  # noqa: TRY400 - where from says nothing more
                    "rolling_restart_failed worker=%d error=%s", number, exc
                )
                return False
            if not await new.begun():
                self._running.discard(new)
                logger.error(
                    "rolling_restart_failed worker=%d pid=%d exit_code=%s",
                    number,
                    new.pid,
                    new.exit_code,
                )
                return False
            old, self._current[number] = self._current[number], new
            self._do(self._watch(new))
        old.stop(self._drain_seconds)
        await old.ended()
        logger.info("worker_replaced worker=%d pid=%d", number, new.pid)
        return True

    # --- ending ---

    def _stop(self) -> None:
        """Take a signal: the first to end orderly, a second to end at once."""
        if self._stopping.is_set():
            for each in self._running:
                each.hurry()
        self._stopping.set()
        for each in self._running:
            each.stop(self._drain_seconds)

    async def _end(self) -> None:
        """Take no more connections, and wait for all workers."""
        self._socket.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for each in self._running:
            each.stop(self._drain_seconds)
        for each in list(self._running):
            code = await each.ended()
            if code != 0 and each.listening:
                logger.error(
                    "worker_ended worker=%d pid=%d exit_code=%d",
                    each.number,
                    each.pid,
                    code,
                )
                self._exit_code = self._exit_code or EXIT_FAULTS


def command_line() -> Sequence[str]:
    """Return the command line that this process was started with.

    Raises:
        CannotStart: `headgate serve` was called by a program, not by a command line.
    """
    if "serve" not in sys.argv[1:]:
        raise CannotStart(
            "Workers are started with the command line of `headgate serve` or "
            "`manage.py headgate serve`, and this is none. Call it from there.",
            EXIT_USAGE,
        )
    return [sys.executable, *sys.orig_argv[1:]]
