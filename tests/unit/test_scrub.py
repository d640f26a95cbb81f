"""Foreign text: harmless to show, fit to store, and without our secrets."""

import html
import json
import re
from base64 import b64encode
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.redaction import plain, redact, storable, stored_bytes
from tests.case_tables import each

TEXT = st.text(st.characters() | st.sampled_from("\x1b[]m;\x9b\x07\\\0\ud83d\ude00\u202e \n…"))
KEY = 'sk-or/v1+ä"9\\z'


@each(
    ("text", "shown"),
    [
        ("Hello there! 👋", "Hello there! 👋"),
        ("two\r\nlines\tand  more ", "two lines and more"),
        ("\x1b[31mred\x1b[0m \x1b]0;title\x07\x1b]8;;http://x\x1b\\link", "red link"),
        ("\x9b2Jcleared\x1bc", "cleared"),
        ("\x1b]0;never ended", "0;never ended"),
        ("nul\0 bell\x07 del\x7f c1\x85x", "nul bell del c1 x"),
        ("abc\u202edcba\u202c \u2066x\u2069 \u200bzero", "abcdcba x zero"),
        ("\ud83d lone \udc4b", "lone"),
        ("split \ud83d\udc4b", "split 👋"),
        ("line\u2028separator", "line separator"),
        ("👨\u200d👩\u200d👧", "👨\u200d👩\u200d👧"),  # joiners make one family of three
        ("<!channel> & `code`", "<!channel> & `code`"),  # escaping is the medium's business
        ("", ""),
    ],
)
def test_plain_text_is_one_harmless_line(text: str, shown: str) -> None:
    assert plain(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"), [("abcde", "abcde"), ("abcdef", "abcd…"), ("👋👋👋👋👋👋", "👋👋👋👋…")]
)
def test_plain_text_is_cut_by_characters(text: str, shown: str) -> None:
    assert plain(text, 5) == shown


@settings(max_examples=200)
@given(text=TEXT, limit=st.integers(1, 40))
def test_plain_twice_is_plain_once(text: str, limit: int) -> None:
    once = plain(text, limit)
    assert plain(once, limit) == once
    assert len(once) <= limit
    assert once.isprintable() or not re.search(
        r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e]", once
    )
    once.encode("utf-8")


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("a\0b", "a\ufffdb"),
        ("\ud83d!", "\ufffd!"),
        ("!\udc4b", "!\ufffd"),
        ("\ud83d\udc4b", "👋"),
        ("\x1b[31m\n", "\x1b[31m\n"),  # storable, not for showing
    ],
)
def test_storable_text_keeps_all_but_what_postgres_refuses(text: str, stored: str) -> None:
    assert storable(text) == stored


@settings(max_examples=200)
@given(TEXT)
def test_storable_text_can_be_stored(text: str) -> None:
    stored = storable(text)
    assert "\0" not in stored
    assert storable(stored) == stored
    stored.encode("utf-8")


@each(
    ("text", "safe"),
    [
        (f"key {KEY} refused", "key *** refused"),
        (f"?token={quote(KEY, safe='')}&x=1", "?token=***&x=1"),
        (f"?token={quote_plus(KEY)}", "?token=***"),
        (f"?token={quote(KEY, safe='').lower()}", "?token=***"),
        (json.dumps({"key": KEY}), '{"key": "***"}'),
        (json.dumps({"key": KEY}, ensure_ascii=False), '{"key": "***"}'),
        (json.dumps(KEY).replace("/", "\\/"), '"***"'),
        (json.dumps(json.dumps(KEY)), r'"\"***\""'),
        (f"<p>{html.escape(KEY)}</p>", "<p>***</p>"),
        (f"host {KEY.lower()}", "host ***"),
        (KEY.encode().hex(), "***"),
        (KEY * 2, "******"),
        (f"Basic {b64encode(KEY.encode()).decode()}", "Basic ***"),
        ("nothing of ours", "nothing of ours"),
    ],
)
def test_secret_is_redacted_in_every_form(text: str, safe: str) -> None:
    assert redact(text, [KEY]) == safe


def test_longer_secret_goes_first() -> None:
    assert redact("abcdef abcdefgh", ["abcdef", "abcdefgh"]) == "*** ***"


@pytest.mark.parametrize(("secret", "safe"), [("12345", "12345 123456"), ("123456", "12345 ***")])
def test_secrets_have_six_characters_or_more(secret: str, safe: str) -> None:
    assert redact("12345 123456", [secret]) == safe


def test_credential_of_a_header_value_is_a_secret_and_its_scheme_is_not() -> None:
    reported = "Bearer tokens: got s3cr3t-key and Bearer s3cr3t-key"
    assert redact(reported, ["Bearer s3cr3t-key"]) == "Bearer tokens: got *** and ***"


def test_secret_that_is_no_unicode_does_not_raise() -> None:
    assert redact("key \ud800secret", ["\ud800secret"]) == "key ***"


def test_without_secrets_nothing_is_redacted() -> None:
    assert redact("all of it", []) == "all of it"
    assert redact("all of it", [""]) == "all of it"


@settings(max_examples=200)
@given(
    before=st.text(),
    secret=st.text(st.characters(exclude_characters="*", exclude_categories=["Cs"]), min_size=6),
    after=st.text(),
)
def test_no_secret_survives(before: str, secret: str, after: str) -> None:
    for form in (secret, quote(secret, safe=""), json.dumps(secret)):
        assert secret not in redact(before + form + after, [secret])


@given(text=st.text(st.characters(exclude_categories=()), max_size=60))
def test_bytes_that_are_stored_are_those_of_the_text_that_is_stored(text: str) -> None:
    assert stored_bytes(text) == storable(text).encode()


@pytest.mark.parametrize("text", ["a\0b", "\ud83d\ude00", "\ud83d", "a\ude00\ud83d", ""])
def test_bytes_of_odd_texts(text: str) -> None:
    assert stored_bytes(text) == storable(text).encode()
