"""What a failed response says went wrong: its message, not its JSON."""

import json
from typing import Any

from monitor.domain import Ending, Outcome
from monitor.error_text import error_text
from monitor.probing.timing import outcome
from tests.case_tables import each
from tests.unit.test_measure import reply, transcript

KEY = "invalid x-api-key"


@each(
    "document",
    [
        {"error": {"message": KEY}},
        {"type": "error", "error": {"type": "authentication_error", "message": KEY}},
        {"error": {"code": 401, "message": KEY, "metadata": {"raw": "x"}}},
        {"error": KEY},
        {"error": {"error": {"message": KEY}}},
        {"error": {"detail": KEY}},
        {"message": KEY},
        {"Message": KEY},
        {"error": True, "message": KEY},
        {"error": "Unauthorized", "message": KEY},
        {"error": "invalid_client", "error_description": KEY},
        {"detail": KEY},
        {"detail": [{"loc": ["body", "q"], "msg": KEY, "type": "missing"}]},
        {"detail": {"message": KEY}},
        {"type": "about:blank", "title": "Unauthorized", "status": 401, "detail": KEY},
        {"title": KEY, "status": 401},
        {"errors": [{"message": KEY}]},
        {"errors": [KEY, "another"]},
        [{"error": {"message": KEY, "status": "UNAUTHENTICATED"}}],
        {"error": {"message": "", "reason": KEY}},
    ],
)
def test_the_message_is_found_in_every_usual_shape(document: Any) -> None:
    for body in (json.dumps(document), f" \n{json.dumps(document, indent=2)}\n"):
        seen = transcript(Ending.STATUS, status=401, body=body)
        assert outcome(seen, reply()) == (Outcome.HTTP_STATUS, f"HTTP 401: {KEY}")


@each(
    ("body", "text"),
    [
        ("slowly", "slowly"),
        ('"slowly"', '"slowly"'),
        ('event: error\ndata: {"error": {"message": "slowly"}}\n\n', "slowly"),
        ("<html><head><TITLE>502 Bad Gateway</TITLE></head></html>", "502 Bad Gateway"),
        ("<p>slowly", "slowly"),
        ("<html><style>p {}</style><body><h1>Bad &amp; worse</h1><p>nginx", "Bad & worse"),
        ("<div>Service <b>is</b>\n down<script>alert('x')</script></div>", "Service is down"),
        ("<script>never closed", "<script>never closed"),
        (
            "<?xml version='1.0'?><Error><Code>Denied</Code><Message>slowly</Message></Error>",
            "slowly",
        ),
        ('<Message xml:lang="en"><![CDATA[slowly]]></Message>', "slowly"),
        (
            "<soap:Fault><faultcode>x</faultcode><faultstring>slowly</faultstring></soap:Fault>",
            "slowly",
        ),
        (
            "<s:Fault><s:Reason><s:Text xml:lang='en'>slowly</s:Text></s:Reason></s:Fault>",
            "slowly",
        ),
        ('{"fault": {"faultstring": "slowly", "detail": {"errorcode": "x"}}}', "slowly"),
        ('{"fault": {"faultstring": "slowly", "det', "slowly"),
        ('{"errorMessage": "slowly", "errorType": "Runtime"}', "slowly"),
        ("<title", "<title"),
        ('{"ok": false}', '{"ok": false}'),
        ('{"error": null}', '{"error": null}'),
        ("{}", "{}"),
        ('{"error": {"message": "slowly", "param": "cut of', "slowly"),
        ('{"error": {"message": "cut of', '{"error": {"message": "cut of'),
        ('{"error": {"message": "sk-\\u0061\\u0062c"}}', "sk-abc"),  # redacted by its plain form
        ("[" * 2000, "[" * 2000),
        ('{"error":' * 200, '{"error":' * 200),
        ('{"n": ' + "9" * 1900 + "}", '{"n": ' + "9" * 1900 + "}"),
        ("{" * 2000 + '"message":' * 20 + "1", "message"),  # no JSON, and no harm
    ],
)
def test_what_holds_no_message_is_kept_as_it_is(body: str, text: str) -> None:
    assert error_text(body) == text


def test_a_long_message_is_bounded_and_one_line() -> None:
    body = json.dumps({"error": {"message": "no\n\x1b[2J credit " * 500}})
    text = outcome(transcript(Ending.STATUS, status=402, body=body), reply())[1]
    assert text is not None
    assert text.startswith("HTTP 402: no credit no")
    assert len(text) <= 1000
    assert "\x1b" not in text
