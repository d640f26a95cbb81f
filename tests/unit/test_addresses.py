"""Addresses as people see them: no secret of any spelling, and what is wrong said without one."""

import base64

import pytest

from monitor.redaction import is_token, postgres_fault, redact, secret_parts, shown
from tests.case_tables import each

PASSWORD = "TopSecret42"
TOKEN = "a8f5f167f44f4964e6c998dee827110c"

SHOWN = [
    ("postgresql://u:TopSecret42@h:5432/d", "postgresql://u:***@h:5432/d"),
    ("postgres://u@h/d?password=TopSecret42", "postgres://u@h/d?password=***"),
    ("postgresql://h/d?user=u&password=TopSecret42&sslmode=require",
     "postgresql://h/d?user=u&password=***&sslmode=require"),
    ("postgresql://u@h/d?sslpassword=TopSecret42", "postgresql://u@h/d?sslpassword=***"),
    ("postgresql://u@h/d?passfile=/home/TopSecret42", "postgresql://u@h/d?passfile=***"),
    ("postgresql://u@h/d?pa%73sword=TopSecret42", "postgresql://u@h/d?pa%73sword=***"),
    ("postgresql://u@h/d?PASSWORD=TopSecret42", "postgresql://u@h/d?PASSWORD=***"),
    ("postgresql://u:p@ss:TopSecret42@h:1/x", "postgresql://u:***@h:1/x"),
    ("postgresql://u:p@TopSecret42#x@h:1/x", "postgresql://u:***@h:1/x"),
    ("postgresql://u:p/TopSecret42@h:1/x", "postgresql://***"),
    ("postgresql://u:p?TopSecret42@h:1/x", "postgresql://***"),
    ("postgresql://u:p?a=TopSecret42@h:1/x", "postgresql://***"),
    ("postgresql:///d?host=/var/run&user=u", "postgresql:///d?host=/var/run&user=u"),
    ("postgresql://u:TopSecret42@[::1]:5432/d", "postgresql://u:***@[::1]:5432/d"),
    ("https://rag.example.com/v1", "https://rag.example.com/v1"),
    ("https://rag.example.com/v1?api-version=2024-10-21",
     "https://rag.example.com/v1?api-version=2024-10-21"),
    ("https://rag.example.com/v1?key=TopSecret42", "https://rag.example.com/v1?key=***"),
    ("https://rag.example.com/?a=1&access_token=TopSecret42&b=2",
     "https://rag.example.com/?a=1&access_token=***&b=2"),
    (f"https://rag.example.com/?x={TOKEN}", "https://rag.example.com/?x=***"),
    (f"https://rag.example.com/{TOKEN}/health", "https://rag.example.com/***/health"),
    ("https://me:TopSecret42@rag.example.com/", "https://***@rag.example.com/"),
    ("https://TopSecret42@rag.example.com/", "https://***@rag.example.com/"),
    ("https://rag.example.com/#TopSecret42", "https://rag.example.com/"),
    ("http://proxy:TopSecret42@127.0.0.1:3128", "http://***@127.0.0.1:3128"),
    ("/health?token=TopSecret42", "***"),
    # Of a database: user names that are keys, parameters, parts of an unescaped password.
    ("postgresql://TopSecret42@h/d", "postgresql://***@h/d"),
    ("postgresql://u@h/d?application_name=TopSecret42",
     "postgresql://u@h/d?application_name=***"),
    ("postgresql://u@h/d?options=-cmy.key%3DTopSecret42", "postgresql://u@h/d?options=***"),
    ("postgresql://u@h/d?options=-csearch_path%3Dmon",
     "postgresql://u@h/d?options=-csearch_path%3Dmon"),
    ("postgresql://u@h/d?password=a&TopSecret42", "postgresql://u@h/d?password=***&***"),
    ("postgresql://u@h/d?password=a%26TopSecret42", "postgresql://u@h/d?password=***"),
    ("postgresql://u@h/d;password=TopSecret42", "postgresql://u@h/d;***"),
    ("postgresql://u:a%TopSecret42@h/d", "postgresql://u:***@h/d"),
    ("postgresql://user@ep-cool-darkness-a1b2c3d4-pooler.aws.neon.tech/neondb",
     "postgresql://user@ep-cool-darkness-a1b2c3d4-pooler.aws.neon.tech/neondb"),
    # Of anything else: parameters are hidden unless known, parts of the path where they look odd.
    ("https://x.example/?k=TopSecret42", "https://x.example/?k=***"),
    ("https://x.example/?code=TopSecret42", "https://x.example/?code=***"),
    ("https://x.example/?%6bey=TopSecret42", "https://x.example/?%6bey=***"),
    ("https://x.example/?a=1;key=TopSecret42", "https://x.example/?a=***"),
    ("https://x.example/a;jsessionid=TopSecret42", "https://x.example/a;***"),
    ("https://x.example/TopSecret42/chat", "https://x.example/***/chat"),
    ("https://TopSecret42:x@x.example/", "https://***@x.example/"),
    ("socks5h://TopSecret42:x@x.example", "socks5h://***@x.example"),
    ("https://x.example/v1/models/mistral-small-3.1-24b-instruct-2503?model=Qwen3-30B-A3B",
     "https://x.example/v1/models/mistral-small-3.1-24b-instruct-2503?model=Qwen3-30B-A3B"),
    ("https://x.example/v1beta/models/gemini-2.0-flash:streamGenerateContent?alt=sse",
     "https://x.example/v1beta/models/gemini-2.0-flash:streamGenerateContent?alt=sse"),
    # Without a scheme, as proxies and libpq take them.
    ("me:TopSecret42@x.example", "***"),
    ("host=h user=u password=TopSecret42", "***"),
    ("just words", "just words"),
]  # fmt: skip


PATHS = [  # addresses that are keys themselves, and what is left of their paths
    ("https://hooks.slack.com/services/T0AB12CD/B0CD34EF/abcDEFghiJKLmnoPQRstuVWX",
     "https://hooks.slack.com/services/***/***/***"),
    ("https://api.telegram.org/bot123456:AAHdqTcv-CH1vGWJxf_SeofSAs0K5PALDsaw/sendMessage",
     "https://api.telegram.org/***/sendMessage"),
    ("https://discord.com/api/webhooks/123456789012345678/AbC-dEf_gHiJkL-NoPq",
     "https://discord.com/api/webhooks/***/***"),
    ("https://x.example/hook/abcdefabcdefabcdefabcdef", "https://x.example/hook/***"),
    ("https://x.example/rag/bcdfghjklmnpqrstvwxz", "https://x.example/rag/***"),
    ("https://a1b2c3d4e5f6a1b2c3d4e5f6.ngrok.io/v1", "https://***.ngrok.io/v1"),
]  # fmt: skip


@pytest.mark.parametrize(("address", "seen"), PATHS)
def test_a_path_is_shown_without_what_may_be_a_key(address: str, seen: str) -> None:
    assert shown(address) == seen
    for part in address.split("/")[3:]:
        if part not in seen:
            assert part not in redact(f"it said {part}!", list(secret_parts(address)))


@each(("address", "seen"), SHOWN)
def test_an_address_is_shown_without_its_secrets(address: str, seen: str) -> None:
    assert shown(address) == seen
    assert PASSWORD not in seen
    assert TOKEN not in seen


HIDDEN = [address for address, _ in SHOWN if PASSWORD in address and not address.startswith("/")
          and not any(odd in address for odd in ("passfile", "h:1"))]  # fmt: skip


@each("address", HIDDEN)
def test_what_is_hidden_is_redacted_elsewhere(address: str) -> None:
    assert PASSWORD not in redact(f"it said {PASSWORD}!", list(secret_parts(address)))


def test_credentials_are_known_encoded_decoded_and_in_basic_authentication() -> None:
    parts = list(secret_parts("postgresql://me:p%40ss%2Fword@h/d"))
    basic = base64.b64encode(b"me:p@ss/word").decode()
    for spelled in ("p%40ss%2Fword", "p%40ss%2fword", "p@ss/word", basic, f"Basic {basic}"):
        assert "ss" not in redact(f"<{spelled}>", parts).replace("***", ""), spelled


@each(
    ("address", "text"),
    [
        ("postgresql://u:p@h:5432/d", None),
        ("postgresql://u:p%40ss@h:5432/d?sslmode=require&application_name=x", None),
        ("postgres://h", None),
        ("postgresql:///d?host=/tmp/a%20b", None),
        ("postgresql+psycopg://monitor@/monitor?host=%2Ftmp%2Fx", None),
        ("postgresql:///d?host=a:5432&host=b:5432", None),
        ("POSTGRESQL://u:p@h/d", None),
        ("mysql://u:TopSecret42@h/d", "write postgresql://"),
        ("TopSecret42", "write postgresql://"),
        ("postgresql://u:p@ss:TopSecret42@127.0.0.1:1/x", "write @ as %40"),
        ("postgresql://u:p/TopSecret42@127.0.0.1:1/x", "/ as %2F"),
        ("postgresql://u:p?TopSecret42@127.0.0.1:1/x", "? as %3F"),
        ("postgresql://u@h:1TopSecret42/x", "the port must be a number"),
        ("postgresql://u@h:0/x", "the port must be a number"),
        ("postgresql://u@h:99999/x", "the port must be a number"),
        ("postgresql://u@a:1,b:2/x", "write several hosts as parameters"),
        ("postgresql://u@h/d?passwd=TopSecret42", "unknown to PostgreSQL; did you mean"),
        ("postgresql://u@h/d?TopSecret42", "unknown to PostgreSQL"),
    ],
)
def test_a_wrong_database_address_is_explained_without_its_values(
    address: str, text: str | None
) -> None:
    found = postgres_fault(address)
    if text is None:
        assert found is None
    else:
        assert found is not None
        assert text in found
        assert PASSWORD not in found


@each(
    ("text", "token"),
    [
        (TOKEN, True),
        ("1b4e28ba-2fa1-11d2-883f-0016d3cca427", True),
        ("sk-or-v1-canary", True),
        ("xoxb-12345678-abc", True),
        ("Llama-4-Scout-17B-16E-Instruct", False),
        ("claude-3-5-haiku-20241022", False),
        ("meta-llama/llama-4-scout", False),
        ("https://nuzantara-rag.fly.dev", False),
        ("intelligent_router_of_the_service", False),
        ("application/json; charset=utf-8", False),
        ("hf_abcdefgh", True),
        ("marketplaces", False),  # these hold "rk", "sk" and "pk" within
        ("sketchbook-of-a-workplace", False),
    ],
)
def test_a_token_is_distinguished_from_words_and_model_names(text: str, token: bool) -> None:
    assert is_token(text) is token
