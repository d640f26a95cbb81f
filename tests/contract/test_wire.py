"""One exchange over real sockets: what is sent, what is kept, how it is stopped."""

import pytest

from monitor.domain import Ending, ProbeRequest, StampSource
from monitor.probing.client import ProbeClient
from tests.scripted_server import (
    HALF_CLOSE,
    HANG,
    LAST,
    Pause,
    chunk,
    full_reply,
    head,
    scripted_server,
)
from tests.single_probe import (
    DONE,
    HI,
    THERE,
    event_data,
    outcome_and_timing,
    probe_once,
    sse,
    target_at,
)

ANSWER = (head(), chunk(sse(HI)), chunk(sse(THERE)), chunk(sse(DONE)), LAST)


async def test_every_probe_says_who_asks_and_under_which_id(wire: ProbeClient) -> None:
    async with scripted_server(*ANSWER) as server:
        transcript = await probe_once(wire, target_at(server.url))
    headers = server.requests[0].headers
    assert headers["x-request-id"] == str(transcript.id)
    assert headers["user-agent"] == "rag-monitor/test"
    assert headers["accept-encoding"] == "identity"
    assert headers["accept"] == "text/event-stream"
    assert headers["connection"] == "close"


async def test_the_targets_headers_win_but_not_over_who_asks(wire: ProbeClient) -> None:
    given = {"X-User-ID": "mine", "accept": "*/*", "user-agent": "curl", "ACCEPT-ENCODING": "gzip"}
    async with scripted_server(*ANSWER) as server:
        await probe_once(wire, target_at(server.url, headers=given))
    headers = server.requests[0].headers
    assert (headers["x-user-id"], headers["accept"]) == ("mine", "*/*")
    assert (headers["user-agent"], headers["accept-encoding"]) == ("rag-monitor/test", "identity")


async def test_a_body_goes_out_with_its_length(wire: ProbeClient) -> None:
    async with scripted_server(*ANSWER) as server:
        await probe_once(wire, target_at(server.url, "openai_chat", model="m"))
    (requested,) = server.requests
    assert (requested.method, requested.target) == ("POST", "/v1/chat/completions")
    assert int(requested.headers["content-length"]) == len(requested.body) > 0


async def test_a_request_larger_than_any_buffer_is_sent_whole(wire: ProbeClient) -> None:
    async with scripted_server(*ANSWER) as server:
        request = ProbeRequest("POST", server.url, body=b"x" * 20_000_000)
        transcript = await probe_once(wire, target_at(server.url), request=request)
    assert transcript.ending is Ending.END
    assert len(server.requests[0].body) == 20_000_000


async def test_an_answer_given_before_the_request_was_taken_is_received(wire: ProbeClient) -> None:
    async with scripted_server(full_reply(413, b"too long"), Pause(0.2), deaf=True) as server:
        request = ProbeRequest("POST", server.url, body=b"x" * 20_000_000)
        target = target_at(server.url, first_token_deadline=2)
        transcript = await probe_once(wire, target, request=request)
    assert (transcript.ending, transcript.status) == (Ending.STATUS, 413)


async def test_no_cookie_of_one_answer_rides_on_the_next_request(wire: ProbeClient) -> None:
    cookie = head(200, ("Set-Cookie", "session=1; Path=/"))
    async with scripted_server(cookie, *ANSWER[1:]) as server:
        await probe_once(wire, target_at(server.url))
        await probe_once(wire, target_at(server.url))
    assert [("cookie" in requested.headers) for requested in server.requests] == [False, False]
    assert server.connections == 2, "no connection is used twice"


async def test_redirects_are_not_followed(wire: ProbeClient) -> None:
    async with scripted_server(*ANSWER) as elsewhere:
        moved = full_reply(307, b"moved", ("Location", elsewhere.url))
        async with scripted_server(moved) as server:
            transcript = await probe_once(wire, target_at(server.url, headers={"X-API-Key": "k"}))
    assert (transcript.ending, transcript.status) == (Ending.STATUS, 307)
    assert dict(transcript.headers)["location"] == elsewhere.url
    assert elsewhere.connections == 0


@pytest.mark.parametrize("location", ["http://[::1", "http://a:b/", "//:0", "http://\xff", "\t"])
async def test_a_redirect_to_nowhere_is_not_followed_either(
    wire: ProbeClient, location: str
) -> None:
    async with scripted_server(full_reply(302, b"", ("Location", location))) as server:
        transcript = await probe_once(wire, target_at(server.url))
    assert (transcript.ending, transcript.status) == (Ending.STATUS, 302)


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "sécrèt-☃", "a\x00b"])
async def test_a_header_http_cannot_carry_is_refused_and_not_quoted(
    wire: ProbeClient, value: str
) -> None:
    async with scripted_server(*ANSWER) as server:
        transcript = await probe_once(wire, target_at(server.url, headers={"X-API-Key": value}))
    assert transcript.ending is Ending.PROTOCOL
    assert transcript.sent_ns is None
    assert transcript.detail is not None
    assert value not in transcript.detail
    assert server.requests == []


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "http:///x", "127.0.0.1:80", "http://[::1"])
async def test_an_address_that_is_no_url_is_an_ending(wire: ProbeClient, url: str) -> None:
    transcript = await probe_once(wire, target_at("http://x"), request=ProbeRequest("GET", url))
    assert transcript.ending is Ending.PROTOCOL


async def test_stamps_are_in_the_order_things_happen(wire: ProbeClient) -> None:
    async with scripted_server(*ANSWER) as server:
        transcript = await probe_once(wire, target_at(server.url))
    assert transcript.dns_ns is None, "there was no name to resolve"
    assert transcript.tls_ns is None
    stamps = [
        transcript.started_ns,
        transcript.connected_ns,
        transcript.sent_ns,
        transcript.head_ns,
        *(event.arrived_ns for event in transcript.events),
        transcript.ended_ns,
    ]
    assert None not in stamps
    assert stamps == sorted(stamps)  # type: ignore[type-var]
    assert event_data(transcript) == [HI, THERE, DONE]
    assert transcript.stamp is not StampSource.USER
    assert transcript.lag_ms is not None


async def test_events_of_one_segment_share_a_read_and_others_do_not(wire: ProbeClient) -> None:
    script = (head(), chunk(sse(HI) + sse(THERE)), Pause(0.05), chunk(sse(THERE)), *ANSWER[3:])
    async with scripted_server(*script) as server:
        transcript = await probe_once(wire, target_at(server.url))
    first, second, third, *_ = (event.read for event in transcript.events)
    assert first == second < third


async def test_an_event_arrives_with_the_bytes_that_complete_it(wire: ProbeClient) -> None:
    event = sse(HI)
    script = (head(), chunk(event[:9]), Pause(0.05), chunk(event[9:]), Pause(0.05), *ANSWER[3:])
    async with scripted_server(*script) as server:
        transcript = await probe_once(wire, target_at(server.url))
    hi, done = transcript.events
    assert transcript.head_ns is not None
    assert hi.arrived_ns - transcript.head_ns > 20e6
    assert done.arrived_ns - hi.arrived_ns > 20e6


async def test_times_a_server_claims_do_not_matter(wire: ProbeClient) -> None:
    liar = {"text": "Hi", "timestamp": -1e18, "sequenceNumber": 10**30}
    async with scripted_server(head(), chunk(sse(liar)), *ANSWER[3:]) as server:
        target = target_at(server.url)
        transcript = await probe_once(wire, target)
    ttft_ms = outcome_and_timing(transcript, target)[1].ttft_ms
    assert ttft_ms is not None
    assert 0 < ttft_ms < 5000


async def test_what_came_with_the_end_is_kept_and_what_comes_later_is_not(
    wire: ProbeClient,
) -> None:
    together = chunk(sse(HI, DONE, THERE, DONE))
    async with scripted_server(head(), together, Pause(0.05), chunk(sse(THERE)), HANG) as server:
        transcript = await probe_once(wire, target_at(server.url))
    assert transcript.ending is Ending.END
    assert event_data(transcript) == [HI, DONE, THERE, DONE]


async def test_enough_is_enough(wire: ProbeClient) -> None:
    async with scripted_server(
        head(), chunk(sse(HI)), Pause(0.05), chunk(sse(THERE)), HANG
    ) as server:
        transcript = await probe_once(wire, target_at(server.url), stop_after_chars=3)
    assert transcript.ending is Ending.CUT
    assert event_data(transcript) == [HI, THERE]


async def test_an_end_outranks_having_received_enough(wire: ProbeClient) -> None:
    both = chunk(sse({"text": "Hi", "done": True}))
    async with scripted_server(head(), both) as server:
        transcript = await probe_once(wire, target_at(server.url), stop_after_chars=1)
    assert transcript.ending is Ending.END


async def test_a_peer_that_stopped_sending_without_closing_is_at_its_end(wire: ProbeClient) -> None:
    async with scripted_server(head(), chunk(sse(HI)), HALF_CLOSE, HANG) as server:
        transcript = await probe_once(wire, target_at(server.url))
    assert transcript.ending is Ending.EOF


async def test_lines_of_json_end_with_the_stream_if_not_before(wire: ProbeClient) -> None:
    lines = b'{"message":{"content":"Hi"},"done":false}\n{"message":{"content":""},"done":true}'
    media = "application/x-ndjson"
    async with scripted_server(head(media=media), chunk(lines), LAST) as server:
        target = target_at(server.url, "ollama", model="m")
        transcript = await probe_once(wire, target)
    assert transcript.ending is Ending.END
    assert len(transcript.events) == 2
