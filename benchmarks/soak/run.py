"""The soak itself: users, restarts, samples, and the audit at the end."""

import argparse
import signal
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from random import Random

import trio

from benchmarks.soak import activities, hostile
from benchmarks.soak.activities import ItemUser, SessionUser
from benchmarks.soak.callers import Caller
from benchmarks.soak.client import Target
from benchmarks.soak.judge import LOST, Away, Judge, Wrong
from benchmarks.soak.server import Server
from benchmarks.soak.trend import Sample

CALLERS = 24  # one in three of them in sessions
SUBJECTS = 8
CALIBRATE_S = 6.0
SAMPLE_S = 10.0
LIMIT_S = 90.0  # for one activity, restarts included
AGAIN_S = 0.1  # after an interruption
Act = Callable[[Random], Awaitable[None]]


class Soak:
    """One run."""

    def __init__(self, folder: Path, arguments: argparse.Namespace) -> None:
        self.judge = Judge()
        self.server = Server(folder, self.judge, workers=arguments.workers, redis=arguments.redis)
        self.samples: list[Sample] = []
        self._arguments = arguments
        self._pause_s = 0.0  # between the calls of one caller
        self._ending = False
        self._began = 0.0
        self._checks: list[tuple[str, Callable[[], Awaitable[None]]]] = []

    def describe(self) -> str:
        """What ran, in a few words."""
        store = "Redis" if self._arguments.redis else "SQLite"
        count = self._arguments.workers
        return f"mcpd on {store}, {'one process' if count == 1 else f'{count} workers'}"

    def restarts(self) -> list[tuple[float, str]]:
        """When and how, in the seconds of the samples."""
        return [(at - self._began, name) for at, name in self.server.restarts]

    async def run(self) -> None:
        """All of it."""
        async with trio.open_nursery() as logs:
            tokens = [self.server.token(f"soak-{number}") for number in range(SUBJECTS)]
            await self.server.start(logs)
            self._began = trio.current_time()
            self.judge.back()
            async with trio.open_nursery() as users:
                self._start_users(users, tokens)
                await self._calibrate()
                async with trio.open_nursery() as watchers:
                    watchers.start_soon(self._sample)
                    watchers.start_soon(self._restart)
                    await trio.sleep(self._arguments.minutes * 60)
                    watchers.cancel_scope.cancel()
                self._ending = True
            await self._audit()
            await self.server.stop()

    def _start_users(self, nursery: trio.Nursery, tokens: list[str]) -> None:
        targets = [Target(self.server.port, token, self.judge) for token in tokens]
        for number in range(CALLERS):
            user = SessionUser(number) if number % 3 == 0 else None
            target = targets[number % SUBJECTS]
            caller = Caller(target, user)
            name = "session call" if user else "plain call"
            nursery.start_soon(self._repeat, name, caller.call, number, None)
            if user:
                self._checks.append((name, partial(user.check, target)))
        # how many users, seconds between two acts of one
        kinds: list[tuple[str, int, float, Callable[[Target], Act]]] = [
            ("stream", 4, 0.3, self._in_session(activities.stream)),
            ("resumed stream", 3, 0.3, self._in_session(activities.resumed_stream)),
            ("elicitation", 2, 0.3, self._in_session(activities.elicitation)),
            ("modern elicitation", 2, 0.3, _alone(activities.modern_elicitation)),
            ("task", 1, 3.0, _alone(activities.task)),  # they are kept for an hour, 1000 a user
            ("registration", 2, 0.5, _alone(activities.registration)),
            ("listener", 3, 0.1, _alone(activities.listener)),
            ("item", 2, 0.3, self._items),
            ("leaving", 2, 0.3, _alone(hostile.leave)),
            ("attack", 3, 0.2, _alone(hostile.attack)),
        ]
        seed = 1000
        for name, count, pause_s, make in kinds:
            for number in range(count):
                seed += 1
                act = make(targets[number % SUBJECTS])
                nursery.start_soon(self._repeat, name, act, seed, pause_s)

    def _in_session(
        self, activity: Callable[[SessionUser, Target, Random], Awaitable[None]]
    ) -> Callable[[Target], Act]:
        def make(target: Target) -> Act:
            user = SessionUser(len(self._checks))
            self._checks.append((activity.__name__, partial(user.check, target)))
            return partial(activity, user, target)

        return make

    def _items(self, target: Target) -> Act:
        user = ItemUser()
        self._checks.append(("item", partial(user.check, target)))
        return partial(user.act, target)

    async def _repeat(self, name: str, act: Act, seed: int, pause_s: float | None) -> None:
        """One user, until the end. Callers have the pause that the calibration finds."""
        rng = Random(self._arguments.seed * 10_000 + seed)
        while not self._ending:
            began = trio.current_time()
            await self._judged(name, partial(act, rng))
            mean = self._pause_s if pause_s is None else pause_s
            if mean:
                pause = rng.uniform(0.5, 1.5) * mean
                await trio.sleep(max(0.0, began + pause - trio.current_time()))

    async def _judged(self, name: str, act: Callable[[], Awaitable[None]]) -> None:
        began = trio.current_time()
        try:
            with trio.fail_after(LIMIT_S):
                await act()
            self.judge.count(name, "done")
        except Wrong as wrong:
            self.judge.violated(name, wrong)
        except trio.TooSlowError:
            self.judge.violated(name, f"not over after {LIMIT_S} s")
        except LOST as error:
            if self.judge.excuses(began):
                self.judge.count(name, excused(error))
            else:
                self.judge.violated(name, f"lost without an interruption: {error!r}")
            await trio.sleep(AGAIN_S)
        except Exception as error:
            self.judge.violated(name, f"unexpected: {error!r}")
            await trio.sleep(AGAIN_S)

    async def _calibrate(self) -> None:
        """Find the pause with which the server has its part of the load it can do."""
        await trio.sleep(CALIBRATE_S / 3)
        calls, cpu, at = self.judge.calls, self.server.sample()["cpu_s"], trio.current_time()
        await trio.sleep(CALIBRATE_S)
        took = trio.current_time() - at
        rate = (self.judge.calls - calls) / took
        busy = (self.server.sample()["cpu_s"] - cpu) / took / self._arguments.workers
        can_do = rate / min(busy, 1.0)
        wanted = min(self._arguments.load * can_do, rate)
        self._pause_s = CALLERS / wanted
        print(f"{self.describe()}: {rate:,.0f} calls/s at {busy:.0%} of a core for each process,"
              f" beside the rest; from now on {wanted:,.0f} calls/s", flush=True)  # fmt: skip

    async def _restart(self) -> None:
        minutes = self._arguments.minutes
        every = self._arguments.restart_every or min(5.0, minutes / 8)
        number = 0
        while True:
            await trio.sleep(every * 60)
            number += 1
            kill = self._arguments.kill_every and number % self._arguments.kill_every == 0
            with trio.CancelScope(shield=True):  # the bounds are those of starting and ending
                await self.server.restart(signal.SIGKILL if kill else signal.SIGTERM)

    async def _sample(self) -> None:
        self.judge.latencies_ms = []  # those of the calibration are no sample
        last, life = trio.current_time(), self.server.life
        last_cpu = self.server.sample()["cpu_s"]
        while True:
            await trio.sleep(SAMPLE_S)
            self.judge.latencies_ms, taken = [], sorted(self.judge.latencies_ms)
            now = trio.current_time()
            if self.judge.down:
                continue  # a process that starts or ends is no sample
            try:
                read = self.server.sample()
            except (OSError, ValueError):
                continue  # a worker that was just replaced
            same, life = life == self.server.life, self.server.life
            cpu = (read["cpu_s"] - last_cpu if same else read["cpu_s"]) / (now - last)
            self.samples.append(
                Sample(
                    at_s=now - self._began, life=life, rss_mib=read["rss_mib"],
                    descriptors=read["descriptors"], threads=read["threads"],
                    store_mib=read["store_mib"], calls_per_s=len(taken) / (now - last),
                    p50_ms=taken[len(taken) // 2] if taken else 0.0,
                    p99_ms=taken[len(taken) * 99 // 100] if taken else 0.0, server_cpu=cpu,
                )
            )  # fmt: skip
            last, last_cpu = now, read["cpu_s"]

    async def _audit(self) -> None:
        """Everything that was acknowledged is there."""
        for name, check in self._checks:
            await self._judged(f"audit: {name}", check)


def excused(error: Exception) -> str:
    """What an interruption did to a request."""
    if isinstance(error, ConnectionRefusedError):
        return "refused"  # it was not sent
    return "503" if isinstance(error, Away) else "cut"


def _alone(activity: Callable[[Target, Random], Awaitable[None]]) -> Callable[[Target], Act]:
    return lambda target: partial(activity, target)
