"""A simulated streaming RAG service whose situation can be changed while it runs.

To a client it is the real one, byte for byte, in every way it was seen to answer or fail.
A second port holds the control desk (`GET` and `POST /control`) and, as the service's own
port does, a stand-in for the provider's account page. Not simulated: embedding calls that
block the whole process.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, Self

from monitor.demo import account, blocking, pages
from monitor.demo.door import Door
from monitor.demo.http1 import Reply, Request, head, json_reply, whole
from monitor.demo.performance import REAL_TIME, Pace, perform
from monitor.demo.play import Caches, Play
from monitor.demo.script import Asked
from monitor.demo.situations import Course, Situation

_STREAM_HEAD = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
    "transfer-encoding": "chunked",
    "access-control-allow-origin": "*",
}


class Service:
    """The service on a loopback port, as an asynchronous context.

    `seed` decides every answer and pause, in order of the requests. `situation` and `play`
    may be changed at any time from the service's own loop; others use the control desk.
    """

    def __init__(
        self,
        situation: Situation = Situation.HEALTHY,
        *,
        seed: int = 0,
        pace: Pace = REAL_TIME,
        play: Play | None = None,
        rate_limited: bool = True,
        port: int = 0,
        control_port: int = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.play = play or Play()
        self._situation = situation
        self._seed, self._requests = seed, 0
        self._pace, self._clock = pace, clock
        self._caches = Caches()
        self._limit = pages.RateLimit(rate_limited)
        self._unblocked = asyncio.Event()
        self._front, self._desk = Door(self._answer, port), Door(self._control, control_port)

    async def __aenter__(self) -> Self:
        self._desk.open()
        self.situation = self._situation
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._front.aclose()
        await self._desk.aclose()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._front.port}"

    @property
    def control_url(self) -> str:
        return f"http://127.0.0.1:{self._desk.port}/control"

    @property
    def openrouter_url(self) -> str:
        """Base of the provider's stand-in, which answers also while the service is down."""
        return f"http://127.0.0.1:{self._desk.port}{account.BASE}"

    @property
    def situation(self) -> Situation:
        return self._situation

    @situation.setter
    def situation(self, situation: Situation) -> None:
        self._situation = situation
        if situation is Situation.COLD_START:
            self._caches.restart()
        if situation is Situation.BLOCKED:
            self._unblocked.clear()
        else:
            self._unblocked.set()
        if situation in (Situation.DEPLOY, Situation.DOWN):
            self._front.shut()
        else:
            self._front.open()
        if situation is Situation.DOWN:
            self._front.hang_up()

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        await self._unblocked.wait()
        if request.path == account.KEY:
            return _send(writer, request, self.play.account.reply(request, self._situation))
        refusal, extra = self._limit.admit(request, self._clock())
        reply = refusal or pages.page(request, self._situation)
        if reply is None and request.path == pages.CHAT:
            reply = blocking.body_fault(request.body)
        if reply is not None:
            return _send(writer, request, reply, extra)
        self._requests += 1
        draw = Random(f"{self._seed}/{self._requests}")  # noqa: S311 - a play, not a secret
        course = self.play.course(self._situation, draw)
        if request.path == pages.STREAM:
            asked = self._asked(request, request.parameters, draw)
            return await self._stream(writer, course, asked=asked, extra=extra)
        said = json.loads(request.body)
        asked = self._asked(request, said, draw)
        reply, took_s = blocking.chat(said, course, asked)
        await asyncio.sleep(took_s * (1.0 if course.silent_s else self._pace.calls))
        self.play.answered(course, len(reply.body))
        return not course.dies and _send(writer, request, reply, extra)

    async def _stream(
        self,
        writer: asyncio.StreamWriter,
        course: Course,
        *,
        asked: Asked,
        extra: Mapping[str, str],
    ) -> bool:
        writer.write(head(200, {**_STREAM_HEAD, **extra}))
        spoken = await perform(writer, course, asked=asked, pace=self._pace, clock=self._clock)
        self.play.answered(course, spoken)
        return not course.dies

    def _asked(self, request: Request, said: Mapping[str, Any], draw: Random) -> Asked:
        query = said.get("query")
        again = request.headers.get("x-reconnection") == "true"
        return Asked(
            query=query,
            draw=draw,
            candour=self.play.candour,
            cold_s=0.0 if query is None else self._caches.lost_s(query),
            known_user=bool(said.get("user_email")),
            continuity=request.headers.get("x-continuity-id") if again else None,
        )

    async def _control(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        if request.path == account.KEY:
            return _send(writer, request, self.play.account.reply(request, self._situation))
        if request.path != "/control" or request.method not in ("GET", "POST"):
            return _send(writer, request, json_reply(404, {"detail": "GET or POST /control"}))
        try:
            if request.method == "POST":
                wanted = dict(json.loads(request.body))
                situation = Situation(wanted.pop("situation", self._situation))
                self.play.change(wanted)
                self.situation = situation
        except (ValueError, ArithmeticError, AttributeError, TypeError) as fault:
            return _send(writer, request, json_reply(400, {"detail": str(fault)}))
        told = {"share": self.play.share, "candour": self.play.candour, "served": self.play.served}
        return _send(writer, request, json_reply(200, {"situation": self._situation, **told}))


def _send(
    writer: asyncio.StreamWriter,
    request: Request,
    reply: Reply,
    extra: Mapping[str, str] | None = None,
) -> bool:
    writer.write(whole(reply, extra or {}, bodiless=request.method == "HEAD"))
    return True


async def _serve(options: argparse.Namespace) -> None:
    pace = Pace(options.pace, options.pace if options.chunk_pace is None else options.chunk_pace)
    async with Service(
        options.situation,
        seed=options.seed,
        pace=pace,
        rate_limited=not options.no_rate_limit,
        port=options.port,
        control_port=options.control_port,
    ) as service:
        sys.stdout.write(f"service {service.url}\ncontrol {service.control_url}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


def main() -> None:
    """Serve until interrupted; the two URLs are the first two lines of output."""
    parser = argparse.ArgumentParser(prog="python -m monitor.demo.service", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--control-port", type=int, default=0)
    parser.add_argument("--situation", type=Situation, default=Situation.HEALTHY)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pace", type=float, default=1.0, help="0: at once; 1: as the real one")
    parser.add_argument("--chunk-pace", type=float, help="between chunks, if it is to differ")
    parser.add_argument("--no-rate-limit", action="store_true")
    try:
        asyncio.run(_serve(parser.parse_args()))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
