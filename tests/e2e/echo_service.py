"""A service that tells whatever it should not: every secret, in every place of a reply.

It is the watched service, every provider's account and the dead-man's switch at once.
"""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count


class _Door(BaseHTTPRequestHandler):
    secrets: Sequence[str]
    answers: Iterator[int]
    readings: Iterator[int]

    def do_POST(self) -> None:
        """An answer, an error, a refusal, a page, a redirection, a broken stream: in turn."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        notified = self._everything()
        match next(self.answers) % 7:
            case 0 | 3:
                self._stream(
                    {
                        "id": f"gen-{self.secrets[0]}",
                        "model": f"meta-llama/llama-4-scout {notified}",
                    },
                    {"choices": [{"delta": {"content": f"Hello! I'm Claude. I know: {notified}"}}]},
                    {"model_used": f"anthropic/{notified}", "choices": []},
                )
            case 1:
                self._stream({"error": {"message": f"bad key: {notified}", "code": 401}})
            case 2:
                self._reply(401, json.dumps({"error": {"message": f"wrong: {notified}"}}))
            case 4:
                self._reply(200, f"<html>{notified}</html>", media="text/html")
            case 5:
                self._reply(307, notified, ("Location", f"/{self.secrets[0]}"))
            case 6:
                self._stream(
                    {"choices": [{"delta": {"content": notified}}]}, end=f"data: {{{notified}"
                )

    def do_GET(self) -> None:
        """Whatever is asked for: refused, in turns, with every secret named."""
        notified = self._everything()
        if next(self.readings) % 2:
            self._reply(401, json.dumps({"error": {"message": notified}}))
        else:
            reported = {
                "label": notified,
                "limit": notified,
                "model": notified,
                "expires_at": notified,
                "detail": notified,
            }
            self._reply(200, json.dumps({"data": reported, "has_more": notified}))

    def _everything(self) -> str:
        sent = " ".join(f"{name}={value}" for name, value in self.headers.items())
        return f"{' '.join(self.secrets)} {self.path} {sent}"

    def _stream(self, *chunks: object, end: str = "data: [DONE]") -> None:
        lines = [f"data: {json.dumps(chunk)}" for chunk in chunks]
        notified = (("X-Generation-Id", f"gen-{self.secrets[-1]}"),
                ("X-LiteLLM-Model-Name", f"anthropic/claude {self.secrets[0]}"))  # fmt: skip
        self._reply(200, "\n\n".join([*lines, end, ""]), *notified, media="text/event-stream")

    def _reply(
        self, status: int, body: str, *headers: tuple[str, str], media: str = "application/json"
    ) -> None:
        self.send_response(status, f"No {self.secrets[0]}")
        for name, value in (("Content-Type", media), ("X-Echo", self._everything()), *headers):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing on standard error."""


@contextmanager
def echo(secrets: Sequence[str]) -> Iterator[str]:
    """Serve on loopback; yields the address."""
    door = type("Door", (_Door,), {"secrets": secrets, "answers": count(), "readings": count()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), door)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
