"""A local mail server that receives messages and responds as a test configures it."""

import email
import email.policy
import socketserver
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.contract.channel_services import ChannelFailure

REPLIES = {
    ChannelFailure.RATE_LIMIT: "450 4.7.1 too many messages, come back later",
    ChannelFailure.SERVER_ERROR: "451 4.3.0 local error",
    ChannelFailure.REFUSAL: "550 5.1.1 no such mailbox",
}


@dataclass
class SmtpSink:
    """The text of each mail that was taken, oldest first; `script`: how the next are met."""

    port: int = 0
    taken: list[str] = field(default_factory=list)
    subjects: list[str] = field(default_factory=list)
    script: deque[ChannelFailure] = field(default_factory=deque)


@contextmanager
def smtp_sink() -> Iterator[SmtpSink]:
    sink = SmtpSink()

    class Handler(socketserver.StreamRequestHandler):
        timeout = 60

        def handle(self) -> None:
            self._say("220 sink")
            while line := self.rfile.readline():
                match line.split()[0].upper().decode() if line.split() else "":
                    case "DATA":
                        self._say("354 go on")
                        if not self._taken():
                            return
                    case "QUIT":
                        self._say("221 bye")
                        return
                    case _:
                        self._say("250 sink")

        def _taken(self) -> bool:
            lines = []
            while (line := self.rfile.readline()) not in (b".\r\n", b""):
                lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
            step = sink.script.popleft() if sink.script else None
            if step in REPLIES:
                self._say(REPLIES[step])
                return True
            mail = email.message_from_bytes(b"".join(lines), policy=email.policy.default)
            body = mail.get_body(("plain",))
            assert body is not None
            sink.subjects.append(str(mail["Subject"]))
            sink.taken.append(body.get_content())
            if step is ChannelFailure.LOST_REPLY:
                return False
            if step is ChannelFailure.SLOW:
                time.sleep(0.3)
            self._say("250 taken")
            return True

        def _say(self, line: str) -> None:
            self.wfile.write(f"{line}\r\n".encode())

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that went away is no error of the sink."""

    with Server(("127.0.0.1", 0), Handler) as server:
        sink.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield sink
        finally:
            server.shutdown()
            thread.join()
