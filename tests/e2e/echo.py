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
        told = self._everything()
        match next(self.answers) % 7:
            case 0 | 3:
                self._stream(
                    {"id": f"gen-{self.secrets[0]}", "model": f"meta-llama/llama-4-scout {told}"},
                    {"choices": [{"delta": {"content": f"Hello! I'm Claude. I know: {told}"}}]},
                    {"model_used": f"anthropic/{told}", "choices": []},
                )
            case 1:
                self._stream({"error": {"message": f"bad key: {told}", "code": 401}})
            case 2:
                self._reply(401, json.dumps({"error": {"message": f"wrong: {told}"}}))
            case 4:
                self._reply(200, f"<html>{told}</html>", media="text/html")
            case 5:
                self._reply(307, told, ("Location", f"/{self.secrets[0]}"))
            case 6:
                self._stream({"choices": [{"delta": {"content": told}}]}, end=f"data: {{{told}")

    def do_GET(self) -> None:
        """Whatever is asked for: refused, in turns, with every secret named."""
        told = self._everything()
        if next(self.readings) % 2:
            self._reply(401, json.dumps({"error": {"message": told}}))
        else:
            said = {"label": told, "limit": told, "model": told, "expires_at": told, "detail": told}
            self._reply(200, json.dumps({"data": said, "has_more": told}))

    def _everything(self) -> str:
        sent = " ".join(f"{name}={value}" for name, value in self.headers.items())
        return f"{' '.join(self.secrets)} {self.path} {sent}"

    def _stream(self, *chunks: object, end: str = "data: [DONE]") -> None:
        lines = [f"data: {json.dumps(chunk)}" for chunk in chunks]
        told = (("X-Generation-Id", f"gen-{self.secrets[-1]}"),
                ("X-LiteLLM-Model-Name", f"anthropic/claude {self.secrets[0]}"))  # fmt: skip
        self._reply(200, "\n\n".join([*lines, end, ""]), *told, media="text/event-stream")

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
