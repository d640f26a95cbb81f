"""A target whose answers are made to stop the worker, beside a good one."""

import json
import socket
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.e2e.worker_process import configuration, eventually, rows, service, worker

HOSTILE = "also " * 40 + "zzz I'm Claude, made by Anthropic."
MORE = """
[metrics]
host = "127.0.0.1"
port = {port}
[targets.evil]
url = "{url}"
dialect = "bali_zero"
every = "1s"
expected_models = ["meta-llama/llama-4-scout"]
[[targets.evil.queries]]
id = "hi"
text = "Hi"
"""


class Evil(BaseHTTPRequestHandler):
    """Answers every request with the same stream."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for reported in (
            {"text": HOSTILE, "sequenceNumber": 1},
            {"done": True, "sequenceNumber": 1},
        ):
            self.wfile.write(f"data: {json.dumps(reported)}\n\n".encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def evil() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Evil) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_an_answer_made_to_be_slow_holds_no_one_up(tmp_path: Path, database_url: str) -> None:
    port = free_port()
    with evil() as hostile, service() as good:
        configuration(tmp_path, good.url, more=MORE.format(port=port, url=hostile))
        with worker(tmp_path, DATABASE_URL=database_url) as process:
            seen = "SELECT target FROM observations WHERE outcome = 'answered'"
            eventually(
                lambda: Counter(rows(database_url, seen)) >= Counter({("evil",): 3, ("rag",): 3}),
                60, "answers of both targets",
            )  # fmt: skip
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=60) as page:
                assert page.status == 200
            assert process.stop() == 0
