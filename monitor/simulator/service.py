"""A simulated streaming RAG service whose situation can be changed while it runs.

To a client it is the real service, byte for byte, in every way it was seen to answer or fail. A
second port has the control API (`GET` and `POST /control`) and, like the service's own port, a
stand-in for the provider's account API. Not simulated: embedding calls that block the whole
process.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, Self

from monitor.simulator import provider_account, service_pages
from monitor.simulator.answer_plan import REAL_TIME, AnswerRequest, PlaybackPace, play_stream
from monitor.simulator.http_server import (
    HttpReply,
    HttpRequest,
    SimulatorServer,
    head,
    json_reply,
    whole,
)
from monitor.simulator.service_state import ServiceCaches, ServiceState
from monitor.simulator.situations import AnswerCourse, ServiceSituation

_STREAM_HEAD = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
    "transfer-encoding": "chunked",
    "access-control-allow-origin": "*",
}


class SimulatedService:
    """The service on a loopback port, as an asynchronous context manager.

    `seed` determines every answer and pause, in order of the requests. `situation` and `play` may
    be changed at any time from the service's own loop; other threads use the control API.
    """

    def __init__(
        self,
        situation: ServiceSituation = ServiceSituation.HEALTHY,
        *,
        seed: int = 0,
        pace: PlaybackPace = REAL_TIME,
        play: ServiceState | None = None,
        rate_limited: bool = True,
        port: int = 0,
        control_port: int = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.play = play or ServiceState()
        self._situation = situation
        self._seed, self._requests = seed, 0
        self._pace, self._clock = pace, clock
        self._caches = ServiceCaches()
        self._limit = service_pages.RateLimit(rate_limited)
        self._unblocked = asyncio.Event()
        self._front, self._desk = (
            SimulatorServer(self._answer, port),
            SimulatorServer(self._control, control_port),
        )

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
        """Base URL of the provider's stand-in, which answers even while the service is down."""
        return f"http://127.0.0.1:{self._desk.port}{provider_account.BASE}"

    @property
    def situation(self) -> ServiceSituation:
        return self._situation

    @situation.setter
    def situation(self, situation: ServiceSituation) -> None:
        self._situation = situation
        if situation is ServiceSituation.COLD_START:
            self._caches.restart()
        if situation is ServiceSituation.BLOCKED:
            self._unblocked.clear()
        else:
            self._unblocked.set()
        if situation in (ServiceSituation.DEPLOY, ServiceSituation.DOWN):
            self._front.shut()
        else:
            self._front.open()
        if situation is ServiceSituation.DOWN:
            self._front.close_connections()

    async def _answer(self, request: HttpRequest, writer: asyncio.StreamWriter) -> bool:
        await self._unblocked.wait()
        if request.path == provider_account.KEY:
            return _send(writer, request, self.play.account.reply(request, self._situation))
        refusal, extra = self._limit.admit(request, self._clock())
        reply = refusal or service_pages.page(request, self._situation)
        if reply is None and request.path == service_pages.CHAT:
            reply = service_pages.body_fault(request.body)
        if reply is not None:
            return _send(writer, request, reply, extra)
        self._requests += 1
        draw = Random(f"{self._seed}/{self._requests}")  # noqa: S311 - a play, not a secret
        course = self.play.course(self._situation, draw)
        if request.path == service_pages.STREAM:
            requested = self._asked(request, request.parameters, draw)
            return await self._stream(writer, course, requested=requested, extra=extra)
        reported = json.loads(request.body)
        requested = self._asked(request, reported, draw)
        reply, took_s = service_pages.chat(reported, course, requested)
        await asyncio.sleep(took_s * (1.0 if course.silent_s else self._pace.calls))
        self.play.answered(course, len(reply.body))
        return not course.dies and _send(writer, request, reply, extra)

    async def _stream(
        self,
        writer: asyncio.StreamWriter,
        course: AnswerCourse,
        *,
        requested: AnswerRequest,
        extra: Mapping[str, str],
    ) -> bool:
        writer.write(head(200, {**_STREAM_HEAD, **extra}))
        spoken = await play_stream(
            writer, course, requested=requested, pace=self._pace, clock=self._clock
        )
        self.play.answered(course, spoken)
        return not course.dies

    def _asked(
        self, request: HttpRequest, reported: Mapping[str, Any], draw: Random
    ) -> AnswerRequest:
        query = reported.get("query")
        again = request.headers.get("x-reconnection") == "true"
        return AnswerRequest(
            query=query,
            draw=draw,
            candour=self.play.candour,
            cold_s=0.0 if query is None else self._caches.lost_s(query),
            known_user=bool(reported.get("user_email")),
            continuity=request.headers.get("x-continuity-id") if again else None,
        )

    async def _control(self, request: HttpRequest, writer: asyncio.StreamWriter) -> bool:
        if request.path == provider_account.KEY:
            return _send(writer, request, self.play.account.reply(request, self._situation))
        if request.path != "/control" or request.method not in ("GET", "POST"):
            return _send(writer, request, json_reply(404, {"detail": "GET or POST /control"}))
        try:
            if request.method == "POST":
                wanted = dict(json.loads(request.body))
                situation = ServiceSituation(wanted.pop("situation", self._situation))
                self.play.change(wanted)
                self.situation = situation
        except (ValueError, ArithmeticError, AttributeError, TypeError) as fault:
            return _send(writer, request, json_reply(400, {"detail": str(fault)}))
        notified = {
            "share": self.play.share,
            "candour": self.play.candour,
            "served": self.play.served,
        }
        return _send(writer, request, json_reply(200, {"situation": self._situation, **notified}))


def _send(
    writer: asyncio.StreamWriter,
    request: HttpRequest,
    reply: HttpReply,
    extra: Mapping[str, str] | None = None,
) -> bool:
    writer.write(whole(reply, extra or {}, bodiless=request.method == "HEAD"))
    return True


async def _serve(options: argparse.Namespace) -> None:
    pace = PlaybackPace(
        options.pace, options.pace if options.chunk_pace is None else options.chunk_pace
    )
    async with SimulatedService(
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
    parser = argparse.ArgumentParser(
        prog="python -m monitor.simulator.service", description=__doc__
    )
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--control-port", type=int, default=0)
    parser.add_argument("--situation", type=ServiceSituation, default=ServiceSituation.HEALTHY)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--pace", type=float, default=1.0, help="0: immediately; 1: as the real service"
    )
    parser.add_argument("--chunk-pace", type=float, help="pace between chunks; default: --pace")
    parser.add_argument("--no-rate-limit", action="store_true")
    try:
        asyncio.run(_serve(parser.parse_args()))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
