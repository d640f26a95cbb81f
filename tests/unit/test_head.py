"""What a response's head says: media types, encodings, and when to come back."""

from datetime import UTC, datetime

import pytest

from monitor.probing.http_message import encoded, excess, fields, media_type, retry_after_s
from monitor.probing.limits import HEAD_BYTES, HEAD_FIELDS
from tests.case_tables import each

NOON = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


@each(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("60", 60.0),
        (" 60 ", 60.0),
        ("3600", 3600.0),
        ("3601", 3600.0),  # nobody makes us wait longer than an hour
        ("9" * 5000, 3600.0),
        ("Mon, 23 Nov 2026 12:01:00 GMT", 60.0),
        ("Mon, 23 Nov 2026 12:01:00 -0000", 60.0),
        ("Mon, 23 Nov 2026 13:01:00 +0100", 60.0),
        ("Mon, 23 Nov 2026 11:59:00 GMT", 0.0),  # already over
        ("Wed, 23 Nov 2126 12:00:00 GMT", 3600.0),
        ("-5", None),
        ("1.5", None),
        ("٦٠", None),
        ("soon", None),
        ("", None),
        ("Mon, 99 Nov 2026 12:01:00 GMT", None),
        ("Mon, 23 Nov 99999999999 12:01:00 GMT", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert retry_after_s((("retry-after", value),), NOON) == seconds


def test_not_being_asked_to_wait() -> None:
    assert retry_after_s((), NOON) is None


@pytest.mark.parametrize(
    ("value", "media"),
    [
        ("text/event-stream", "text/event-stream"),
        ("Text/Event-Stream; charset=UTF-8", "text/event-stream"),
        (" text/event-stream ;", "text/event-stream"),
        ("", ""),
    ],
)
def test_the_media_type_is_bare_and_in_lower_case(value: str, media: str) -> None:
    assert media_type((("content-type", value),)) == media


@pytest.mark.parametrize(
    ("values", "encoding"),
    [
        ([], None),
        (["identity"], None),
        (["Identity"], None),
        ([""], None),
        (["gzip"], "gzip"),
        (["identity", "br"], "br"),
        (["identity, gzip"], "identity, gzip"),
    ],
)
def test_any_encoding_but_identity_is_one(values: list[str], encoding: str | None) -> None:
    assert encoded(tuple(("content-encoding", value) for value in values)) == encoding


def test_names_are_in_lower_case_and_values_as_they_stood() -> None:
    raw = [(b"X-Model", b"A"), (b"x-model", b"\xe9")]
    assert fields(raw) == (("x-model", "A"), ("x-model", "é"))


@pytest.mark.parametrize(
    ("raw", "over"),
    [
        ([(b"a", b"b")] * HEAD_FIELDS, False),
        ([(b"a", b"b")] * (HEAD_FIELDS + 1), True),
        ([(b"a", b"b" * (HEAD_BYTES - 1))], False),
        ([(b"a", b"b" * HEAD_BYTES)], True),
    ],
)
def test_a_head_at_its_caps_is_the_largest(raw: list[tuple[bytes, bytes]], over: bool) -> None:
    assert (excess(raw) is not None) is over
