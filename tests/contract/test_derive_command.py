"""`monitor derive`: stored facts judged again after names, rules or prices changed."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from monitor.cli import rejudge
from monitor.domain import (
    Claim,
    ClaimKind,
    CostSource,
    Evidence,
    Identity,
    Observation,
    Usage,
)
from monitor.storage import Database, account_readings, observations
from tests.e2e.worker_process import configuration, rows
from tests.example_data import HAIKU, LLAMA, observation

NOW = datetime.now(UTC).replace(microsecond=0)
SONNET = "anthropic/claude-sonnet-4-5"
ROWS = "SELECT identity, model_detected, cost_usd, cost_source FROM observations ORDER BY slot"
CLAUDE = Evidence(ClaimKind.SELF, "claude", 1.0, "text: I'm Claude")
RATES = {"input": "1", "output": "5", "model": HAIKU, "source": "x"}


def said(model: str, **changes: Any) -> Observation:
    """An answer that names its model, judged long ago by rules that knew nothing."""
    unjudged = observation(
        slot=NOW, started_at=NOW, claims=(Claim(ClaimKind.FIELD, "model", model),), evidence=(),
        identity=Identity.UNKNOWN, model_detected=None, confidence=0.0, answer_excerpt=None,
        prompt_tokens=1000, answer_tokens=200, cost_usd=None, cost_source=None,
        cost_reason="the model could not be identified", rates={},
    )  # fmt: skip
    return replace(unjudged, **changes)


def series(made: Sequence[Observation], *, every: timedelta = timedelta(minutes=5)) -> Any:
    begin = NOW - len(made) * every
    return [
        replace(item, slot=begin + n * every, started_at=begin + n * every)
        for n, item in enumerate(made)
    ]


@pytest.fixture
def derived(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Any:  # fmt: skip
    """Store observations, derive them again, and return what was printed."""

    def run(seen: Sequence[Observation], *, more: str = "", records: Any = (), **how: Any) -> str:
        asyncio.run(_stored(database_url, seen, records))
        configuration(tmp_path, "http://127.0.0.1:1", more=more)
        monkeypatch.setenv("MONITOR_CONFIG", str(tmp_path / "monitor.toml"))
        monkeypatch.setenv("DATABASE_URL", database_url)
        rejudge.derive_again(**{"since": timedelta(days=30), "target": None} | how)
        return capsys.readouterr().out

    return run


async def _stored(url: str, seen: Sequence[Observation], records: Any) -> None:
    database = Database(url)
    async with database.begin() as connection:
        await observations.add(connection, seen)
        await account_readings.expect(connection, within=timedelta(days=1))
        for generation, record in records:
            await account_readings.keep_receipt(connection, generation, record)
    await database.close()


def test_names_that_are_known_now_are_judged_and_priced(derived: Any, database_url: str) -> None:
    notified = derived(series([said(LLAMA), said("claude-haiku-4.5"), said("claude-haiku-4.5")]))
    llama = (Decimal("0.000176"), "estimated")  # 1000 × $0.08 + 200 × $0.48, the shipped price
    first, second, third = rows(database_url, ROWS)
    assert first[:2] == ("expected", LLAMA)
    assert second == third == ("fallback", "claude-haiku-4.5", Decimal("0.002"), "estimated")
    assert first[2] > 0
    assert first[3] == llama[1]
    head, *lines = notified.splitlines()
    assert head == "rag: 3 of 3 observations have a new identity or cost"
    assert lines[:2] == ["  identity: unknown → fallback: 2", "  identity: unknown → expected: 1"]
    assert "  model: model not identified → claude-haiku-4.5: 2" in lines
    assert "  cost: none, the model could not be identified → estimated: 3" in lines
    assert lines[-1].startswith("  spent on them: $0.00 → $0.00")


PRICES = f"""
[prices."{LLAMA}"]
input = "0.20"
output = "0.20"
[prices."{HAIKU}"]
input = "1"
output = "5"
"""
ENDS = "SELECT cost_usd, cost_low_usd, cost_high_usd FROM observations ORDER BY slot"


def test_answers_of_unknown_model_are_priced_as_a_range(derived: Any, database_url: str) -> None:
    changed = said("", identity=Identity.CHANGED)
    silent = said("", pieces=0, answer_tokens=None)
    notified = derived(series([said(""), changed, silent]), more=PRICES)
    ends = (None, Decimal("0.00024"), Decimal("0.002"))  # 1,200 × $0.20; 1,000 × $1 + 200 × $5
    assert rows(database_url, ENDS) == [ends, ends, (None, None, None)]
    assert notified.splitlines()[1:] == [
        "  cost: none, the model could not be identified → range, the model is unknown: 2",
        "  spent on them: $0.00 → between $0.00048 and $0.00400",
    ]
    assert derived([], more=PRICES) == "rag: 0 of 3 observations have a new identity or cost\n"
    more = PRICES.replace('input = "1"', 'input = "2"')
    derived([], more=more)
    assert rows(database_url, ENDS)[0] == (None, Decimal("0.00024"), Decimal("0.003"))


def test_a_model_that_is_known_now_has_a_cost_and_no_range(derived: Any, database_url: str) -> None:
    ranged = said(HAIKU, cost_reason="the model is unknown: priced as a range",
                  cost_low_usd=Decimal("0.00024"), cost_high_usd=Decimal("0.002"),
                  rates={"low_input": "0.20"})  # fmt: skip
    notified = derived(series([ranged]), more=PRICES)
    assert rows(database_url, ENDS) == [(Decimal("0.002"), None, None)]
    assert rows(database_url, ROWS)[0][3] == "reported", "the range was one of reported tokens"
    assert "  spent on them: between $0.00024 and $0.00200 → $0.002" in notified.splitlines()


def test_deriving_twice_changes_nothing_more(derived: Any, database_url: str) -> None:
    seen = series([said(LLAMA), said(HAIKU), said(""), said("llama-4-scout-error")])
    derived(seen)
    before = rows(database_url, "SELECT o::text FROM observations AS o ORDER BY slot")
    assert derived([]) == "rag: 0 of 4 observations have a new identity or cost\n"
    assert rows(database_url, "SELECT o::text FROM observations AS o ORDER BY slot") == before


def test_raw_columns_stay(derived: Any, database_url: str) -> None:
    raw = """SELECT (to_jsonb(o) - ARRAY['identity', 'fallback', 'model_detected', 'confidence',
             'identity_reason', 'evidence', 'cost_usd', 'cost_source', 'cost_reason', 'rates',
             'cost_low_usd', 'cost_high_usd', 'derived_at'])::text FROM observations AS o"""
    [seen] = series([said(HAIKU)])
    asyncio.run(_stored(database_url, [seen], ()))
    before = rows(database_url, raw)
    derived([])
    assert rows(database_url, ROWS)[0][0] == "fallback"
    assert rows(database_url, raw) == before


def test_another_price_is_another_cost_where_the_provider_did_not_charge(
    derived: Any, database_url: str
) -> None:
    fell: Any = {"identity": Identity.FALLBACK, "model_detected": HAIKU}
    reported = said(HAIKU, **fell, cost_usd=Decimal("0.002"), cost_source=CostSource.REPORTED,
                    cost_reason=None, rates=RATES)  # fmt: skip
    least = RATES | {"prompt_tokens": "at least 1000", "answer_tokens": "200"}
    floor = replace(reported, cost_source=CostSource.ESTIMATED, rates=least)
    charged = replace(reported, cost_usd=Decimal("0.5"), cost_source=CostSource.PROVIDER, rates={})
    cut = replace(charged, cost_source=CostSource.ESTIMATED)
    hour = replace(reported, cache_write_tokens=500, rates=RATES | {"cache_write_1h_tokens": "200"})
    more = (f'[prices."{HAIKU}"]\ninput = "2"\noutput = "10"\n'
            'cache_write = "4"\ncache_write_1h = "20"\n')  # fmt: skip
    derived(series([reported, floor, charged, cut, hour]), more=more)
    # of the last: 500 × 2 + 300 × 4 + 200 × 20 + 200 × 10
    double, half = Decimal("0.004"), Decimal("0.5")
    assert [row[2:] for row in rows(database_url, ROWS)] == [
        (double, "reported"), (double, "estimated"), (half, "provider"), (half, "estimated"),
        (Decimal("0.0082"), "reported"),
    ]  # fmt: skip
    said_of = "SELECT rates->>'prompt_tokens', rates->>'input' FROM observations ORDER BY slot"
    assert rows(database_url, said_of)[:2] == [(None, "2"), ("at least 1000", "2")]


def test_a_model_without_a_price_has_none_and_an_unheard_probe_stays(
    derived: Any, database_url: str
) -> None:
    unheard = said("acme/unheard-of-9b", pieces=0, prompt_tokens=None, answer_tokens=None,
                   cost_reason="no answer was received")  # fmt: skip
    derived(series([said("acme/unheard-of-9b"), unheard]))
    reason = "SELECT cost_usd, cost_reason FROM observations ORDER BY slot"
    assert rows(database_url, reason) == [
        (None, "no price for acme/unheard-of-9b"),
        (None, "no answer was received"),
    ]


def test_what_only_the_stream_showed_stays_unless_a_receipt_knows_better(
    derived: Any, database_url: str
) -> None:
    second = Evidence(ClaimKind.CHUNKS, "a second answer", 3.0, "after a pause of 900 ms")
    torn: Any = {"identity": Identity.FALLBACK, "model_detected": HAIKU, "confidence": 0.8,
                 "evidence": (second,), "claims": ()}  # fmt: skip
    known = (Claim(ClaimKind.FIELD, "id", "gen-1"),)
    record = account_readings.ReceiptRecord(
        Claim(ClaimKind.RECEIPT, "openrouter generation", LLAMA), Usage()
    )
    seen = series([said("", **torn), said("", **torn | {"claims": known})])
    derived(seen, records=[("gen-1", record)])
    assert [row[:2] for row in rows(database_url, ROWS)] == [
        ("fallback", HAIKU),
        ("expected", LLAMA),
    ]
    kinds = "SELECT jsonb_path_query_array(evidence, '$[*].kind') FROM observations ORDER BY slot"
    assert rows(database_url, kinds)[1] == (["receipt", "field", "chunks"],)


def test_direct_answers_speak_again_in_their_order(derived: Any, database_url: str) -> None:
    """Three rounds in a row decide, and the third one first: as on the day itself."""
    requested = said("", query="who", claims=(), evidence=(CLAUDE,))
    derived(series([requested, requested, requested, requested]))
    assert [row[0] for row in rows(database_url, ROWS)] == [
        "unknown", "unknown", "fallback", "fallback",
    ]  # fmt: skip
    assert rows(database_url, ROWS)[3][1] == HAIKU


def test_what_is_older_or_of_another_target_stays(derived: Any, database_url: str) -> None:
    old = NOW - timedelta(days=2)
    other = said(HAIKU, target="gone")
    notified = derived([said(HAIKU, slot=old, started_at=old), other], since=timedelta(days=1))
    assert notified == "rag: 0 of 0 observations have a new identity or cost\n"
    assert {row[0] for row in rows(database_url, ROWS)} == {"unknown"}


def test_many_are_derived_in_batches(
    derived: Any, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rejudge, "BATCH", 4)
    same_slot = [replace(said(HAIKU, query=f"q{n}"), id=observation().id) for n in range(8)]
    notified = derived([*same_slot, *series([said(SONNET)] * 3)])
    assert notified.startswith("rag: 11 of 11 observations have a new identity or cost\n")


def test_an_unknown_target_is_refused_by_name(
    derived: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        derived([], target="nobody")
    assert ended.value.code == 2
    assert 'unknown target "nobody"; known: rag' in capsys.readouterr().err
