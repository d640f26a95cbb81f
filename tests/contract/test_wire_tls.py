"""TLS: certificates are always checked, and stamps stay those of the socket."""

from pathlib import Path

import pytest

from monitor.domain import Ending, Outcome, StampSource
from monitor.probing.client import ProbeClient
from tests.certificates import Authority
from tests.scripted import HANG, LAST, RESET, chunk, head, scripted
from tests.wired import DONE, HI, data, judged, probed, says, watched

ANSWER = (head(), chunk(says(HI)), chunk(says(DONE)), LAST)


async def test_stamps_over_tls_are_those_of_the_socket(wire: ProbeClient, ours: Authority) -> None:
    async with scripted(*ANSWER, tls=ours.server("good")) as server:
        transcript = await probed(wire, watched(server.url, ca_file=ours.ca_file))
    assert transcript.ending is Ending.END
    assert transcript.stamp is not StampSource.USER
    assert data(transcript) == [HI, DONE]
    stamps = [transcript.connected_ns, transcript.tls_ns, transcript.sent_ns, transcript.head_ns]
    assert None not in stamps
    assert stamps == sorted(stamps)  # type: ignore[type-var]


async def test_a_stream_of_megabytes_over_tls_is_whole(wire: ProbeClient, ours: Authority) -> None:
    long = {"text": "x" * 100_000}
    script = (head(), *[chunk(says(long))] * 30, chunk(says(DONE)), LAST)
    async with scripted(*script, tls=ours.server("good")) as server:
        transcript = await probed(wire, watched(server.url, ca_file=ours.ca_file))
    assert transcript.ending is Ending.END
    assert data(transcript) == [long] * 30 + [DONE]


@pytest.mark.parametrize(
    ("certificate", "reason"),
    [
        ({"days": -1}, "certificate has expired"),
        ({"hosts": "DNS:elsewhere.example"}, "IP address mismatch"),
    ],
)
async def test_a_bad_certificate_is_no_connection(
    wire: ProbeClient, ours: Authority, certificate: dict[str, object], reason: str
) -> None:
    async with scripted(*ANSWER, tls=ours.server("bad", **certificate)) as server:  # type: ignore[arg-type]
        target = watched(server.url, ca_file=ours.ca_file)
        transcript = await probed(wire, target)
    assert judged(transcript, target)[0] is Outcome.TLS
    assert transcript.detail is not None
    assert reason in transcript.detail
    assert (transcript.tls_ns, transcript.sent_ns) == (None, None)
    assert server.requests == []


async def test_an_authority_no_one_named_is_not_trusted(wire: ProbeClient, ours: Authority) -> None:
    async with scripted(*ANSWER, tls=ours.server("good")) as server:
        transcript = await probed(wire, watched(server.url))
    assert transcript.ending is Ending.TLS
    assert transcript.detail is not None
    assert "certificate verify failed" in transcript.detail


async def test_a_ca_file_that_is_none(wire: ProbeClient, tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    for path in (str(empty), str(tmp_path / "missing.pem")):
        transcript = await probed(wire, watched("https://127.0.0.1", ca_file=path))
        assert transcript.ending is Ending.TLS
        assert transcript.detail is not None
        assert path in transcript.detail


@pytest.mark.parametrize("script", [(b"HTTP/1.1 400 Speak plainly\r\n\r\n",), (RESET,), ()])
async def test_a_peer_that_does_not_speak_tls(wire: ProbeClient, script: tuple[bytes, ...]) -> None:
    async with scripted(*script, deaf=True) as server:
        transcript = await probed(wire, watched(server.url.replace("http", "https")))
    assert transcript.ending is Ending.TLS


async def test_a_silent_handshake_ends_with_the_connect_deadline(wire: ProbeClient) -> None:
    async with scripted(HANG, deaf=True) as server:
        url = server.url.replace("http", "https")
        for deadline in ("connect_deadline", "deadline"):
            target = watched(url, **{deadline: 0.1})
            transcript = await probed(wire, target)
            assert judged(transcript, target)[0] is Outcome.TLS
            assert transcript.detail == "tls: the handshake was not finished within 0.1 s"
            assert transcript.connected_ns is not None


async def test_a_tls_stream_cut_short_is_truncated(wire: ProbeClient, ours: Authority) -> None:
    async with scripted(head(), chunk(says(HI)), RESET, tls=ours.server("good")) as server:
        target = watched(server.url, ca_file=ours.ca_file)
        transcript = await probed(wire, target)
    assert judged(transcript, target)[0] is Outcome.TRUNCATED
