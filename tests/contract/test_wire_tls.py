"""TLS: certificates are always checked, and stamps stay those of the socket."""

from pathlib import Path

import pytest

from monitor.domain import Ending, Outcome, StampSource
from monitor.probing.client import ProbeClient
from tests.certificates import Authority
from tests.scripted_server import HANG, LAST, RESET, chunk, head, scripted_server
from tests.single_probe import DONE, HI, event_data, outcome_and_timing, probe_once, sse, target_at

ANSWER = (head(), chunk(sse(HI)), chunk(sse(DONE)), LAST)


async def test_stamps_over_tls_are_those_of_the_socket(wire: ProbeClient, ours: Authority) -> None:
    async with scripted_server(*ANSWER, tls=ours.server("good")) as server:
        transcript = await probe_once(wire, target_at(server.url, ca_file=ours.ca_file))
    assert transcript.ending is Ending.END
    assert transcript.stamp is not StampSource.USER
    assert event_data(transcript) == [HI, DONE]
    stamps = [transcript.connected_ns, transcript.tls_ns, transcript.sent_ns, transcript.head_ns]
    assert None not in stamps
    assert stamps == sorted(stamps)  # type: ignore[type-var]


async def test_a_stream_of_megabytes_over_tls_is_whole(wire: ProbeClient, ours: Authority) -> None:
    long = {"text": "x" * 100_000}
    script = (head(), *[chunk(sse(long))] * 30, chunk(sse(DONE)), LAST)
    async with scripted_server(*script, tls=ours.server("good")) as server:
        transcript = await probe_once(wire, target_at(server.url, ca_file=ours.ca_file))
    assert transcript.ending is Ending.END
    assert event_data(transcript) == [long] * 30 + [DONE]


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
    async with scripted_server(*ANSWER, tls=ours.server("bad", **certificate)) as server:  # type: ignore[arg-type]
        target = target_at(server.url, ca_file=ours.ca_file)
        transcript = await probe_once(wire, target)
    assert outcome_and_timing(transcript, target)[0] is Outcome.TLS
    assert transcript.detail is not None
    assert reason in transcript.detail
    assert (transcript.tls_ns, transcript.sent_ns) == (None, None)
    assert server.requests == []


async def test_an_authority_no_one_named_is_not_trusted(wire: ProbeClient, ours: Authority) -> None:
    async with scripted_server(*ANSWER, tls=ours.server("good")) as server:
        transcript = await probe_once(wire, target_at(server.url))
    assert transcript.ending is Ending.TLS
    assert transcript.detail is not None
    assert "certificate verify failed" in transcript.detail


async def test_a_ca_file_that_is_none(wire: ProbeClient, tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    for path in (str(empty), str(tmp_path / "missing.pem")):
        transcript = await probe_once(wire, target_at("https://127.0.0.1", ca_file=path))
        assert transcript.ending is Ending.TLS
        assert transcript.detail is not None
        assert path in transcript.detail


@pytest.mark.parametrize("script", [(b"HTTP/1.1 400 Speak plainly\r\n\r\n",), (RESET,), ()])
async def test_a_peer_that_does_not_speak_tls(wire: ProbeClient, script: tuple[bytes, ...]) -> None:
    async with scripted_server(*script, deaf=True) as server:
        transcript = await probe_once(wire, target_at(server.url.replace("http", "https")))
    assert transcript.ending is Ending.TLS


async def test_a_silent_handshake_ends_with_the_connect_deadline(wire: ProbeClient) -> None:
    async with scripted_server(HANG, deaf=True) as server:
        url = server.url.replace("http", "https")
        for deadline in ("connect_deadline", "deadline"):
            target = target_at(url, **{deadline: 0.1})
            transcript = await probe_once(wire, target)
            assert outcome_and_timing(transcript, target)[0] is Outcome.TLS
            assert transcript.detail == "tls: the handshake was not finished within 0.1 s"
            assert transcript.connected_ns is not None


async def test_a_tls_stream_cut_short_is_truncated(wire: ProbeClient, ours: Authority) -> None:
    async with scripted_server(head(), chunk(sse(HI)), RESET, tls=ours.server("good")) as server:
        target = target_at(server.url, ca_file=ours.ca_file)
        transcript = await probe_once(wire, target)
    assert outcome_and_timing(transcript, target)[0] is Outcome.TRUNCATED
