"""A simulated service for thousands of targets, which logs the true time to first token.

    python -m benchmarks.fleets.service --log truth.csv --fails target-1

It prints its port, answers `/TARGET/v1/chat/completions` as an OpenAI-compatible stream, and
answers the target of `--fails` with HTTP 500 after SIGUSR1. It writes the log when SIGTERM ends it.
Times in the log are CLOCK_MONOTONIC in ns: the last byte of the request was read, and just before
the first answer text was written.
"""

import argparse
import asyncio
import csv
import os
import random
import re
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import cast

import uvloop

MODEL = "meta-llama/llama-4-scout"
TTFT_S = (0.2, 0.8)
WORDS, PAUSE_S = 6, 0.03  # of answer text; between two words
USAGE = '"usage":{"prompt_tokens":690,"completion_tokens":6,"total_tokens":696}'
HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
FAILURE = (
    b"HTTP/1.1 500 Internal Server Error\r\ncontent-type: text/plain\r\nconnection: close\r\n"
    b"content-length: 7\r\n\r\nbroken\n"
)
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
ID = re.compile(rb"\r\nx-request-id: *([^\r]+)\r\n", re.IGNORECASE)
BACKLOG = 4096

Record = tuple[str, str, int, int]  # request id, target, read, first token or 0


def _event(fields: str) -> bytes:
    body = f'data: {{"id":"1","object":"chat.completion.chunk","model":"{MODEL}",{fields}}}\n\n'
    return b"%x\r\n%b\r\n" % (len(body), body.encode())


ROLE = HEAD + _event('"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]')
WORD = _event('"choices":[{"index":0,"delta":{"content":"word "}}]')
END = (
    _event('"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]')
    + _event(f'"choices":[],{USAGE}')
    + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
)


class SimulatedFleet:
    """What the connections share: the log, and whether the target of `--fails` fails now."""

    def __init__(self, fails: str) -> None:
        self.log: list[Record] = []
        self.fails = fails
        self.failing = False
        self.delays = random.Random(1)

    def break_down(self) -> None:
        self.failing = True


class AnswerConnection(asyncio.Protocol):
    """One connection, which is closed after its answer."""

    def __init__(self, fleet: SimulatedFleet) -> None:
        self._fleet = fleet
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = LENGTH.search(head + b"\r\n")
        if not end or self._transport is None or len(body) < int(length[1] if length else 0):
            return
        read_ns = time.monotonic_ns()
        found = ID.search(head + b"\r\n")
        request = found[1].decode() if found else ""
        target = head.split(b" ", 2)[1].decode().split("/")[1]
        self._received = b""
        if self._fleet.failing and target == self._fleet.fails:
            self._fleet.log.append((request, target, read_ns, 0))
            self._transport.write(FAILURE)
            self._transport.close()
            return
        self._transport.write(ROLE)
        delay = self._fleet.delays.uniform(*TTFT_S)
        call = asyncio.get_running_loop().call_later
        call(delay, self._begin, request, target, read_ns)

    def _begin(self, request: str, target: str, read_ns: int) -> None:
        self._fleet.log.append((request, target, read_ns, time.monotonic_ns()))
        self._word(WORDS)

    def _word(self, left: int) -> None:
        if self._transport is None:
            return
        if left:
            self._transport.write(WORD)
            asyncio.get_running_loop().call_later(PAUSE_S, self._word, left - 1)
        else:
            self._transport.write(END)
            self._transport.close()


async def _serve(fleet: SimulatedFleet) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    loop.add_signal_handler(signal.SIGUSR1, fleet.break_down)
    server = await loop.create_server(
        lambda: AnswerConnection(fleet), "127.0.0.1", 0, backlog=BACKLOG
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await ended.wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleets.service")
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--fails", default="", metavar="TARGET")
    given = parser.parse_args()
    with suppress(OSError):  # as in benchmarks.ttft: no client can delay a real-time server
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    fleet = SimulatedFleet(given.fails)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(fleet))
    with given.log.open("w", newline="") as file:
        csv.writer(file).writerows(fleet.log)


if __name__ == "__main__":
    main()
