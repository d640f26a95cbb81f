"""A local HTTP service that receives messages and responds as a test configures it."""

import json
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.contract.channel_services import ChannelFailure

SECRET = "canaryC4f1b9e7"


@dataclass(frozen=True)
class SinkRequest:
    """A message that was taken."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class HttpSink:
    """What was taken, oldest first; `script`: how the next requests are met, else with 200."""

    url: str = ""
    taken: list[SinkRequest] = field(default_factory=list)
    script: deque[ChannelFailure | int] = field(default_factory=deque)
    headers: Mapping[str, str] = field(default_factory=dict)  # of every scripted answer
    body: bytes = f'{{"echo": "{SECRET}"}}'.encode()
    endless: int = 0  # bytes of answers that have no end, at most so many
    written: int = 0  # of these
    arrived: threading.Condition = field(default_factory=threading.Condition)

    def wait_for(self, count: int, timeout_s: float = 60) -> None:
        """Wait until so many messages were taken."""
        with self.arrived:
            if not self.arrived.wait_for(lambda: len(self.taken) >= count, timeout_s):
                raise TimeoutError(f"{len(self.taken)} of {count} messages within {timeout_s:g} s")


@contextmanager
def http_sink() -> Iterator[HttpSink]:
    """A sink on loopback. Its path is secret."""
    sink = HttpSink()

    class Handler(BaseHTTPRequestHandler):
        def setup(self) -> None:
            super().setup()
            self.request.settimeout(60)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            step = sink.script.popleft() if sink.script else 200
            status = {
                ChannelFailure.RATE_LIMIT: 429,
                ChannelFailure.SERVER_ERROR: 500,
                ChannelFailure.REFUSAL: 404,
            }.get(step, 200) if isinstance(step, ChannelFailure) else step  # fmt: skip
            if status == 200:
                with sink.arrived:
                    sink.taken.append(SinkRequest(self.path, dict(self.headers.items()), body))
                    sink.arrived.notify_all()
            if step is ChannelFailure.SLOW:
                time.sleep(0.3)
            if step is ChannelFailure.LOST_REPLY:
                self.close_connection = True
                return
            self.send_response(status)
            if status == 429:
                self.send_header("Retry-After", "7")
            for name, value in sink.headers.items():
                self.send_header(name, value)
            if sink.endless:
                self._endless()
                return
            self.send_header("Content-Length", str(len(sink.body)))
            self.end_headers()
            self.wfile.write(sink.body)

        def _endless(self) -> None:
            self.end_headers()
            self.close_connection = True
            with suppress(OSError):  # the client went away
                while sink.written < sink.endless:
                    self.wfile.write(b"x" * 65_536)
                    sink.written += 65_536

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    sink.url = f"http://127.0.0.1:{server.server_port}/hook/{SECRET}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield sink
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
