"""Scripted incidents: their cause and owner are named, or it is stated that they cannot be told.

All incidents begin at noon and 20 minutes, after good rounds since noon.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from benchmarks.likely_causes import run
from monitor.domain import (
    AccountReading,
    AccountState,
    CauseOwner,
    Finding,
    Outcome,
    ProviderAttempt,
    Sample,
    Verdict,
    VerdictState,
)
from monitor.rules import DownRule, FallbackRule, Rule
from monitor.rules.cause_kinds import FIRST_STEPS, OWNERS, CauseKind
from monitor.rules.cause_sources import (
    AnswerRoute,
    CauseSources,
    HostStatistics,
    ListedModel,
    ModelStatistics,
    PageChange,
)
from monitor.rules.likely_cause import LikelyCause, explained, likely_cause
from tests.case_tables import each
from tests.probe_notation import LLAMA, NOON, after, marked, window

MINUTE = timedelta(minutes=1)
GOOD = "...|...|...|...|"
FELL, FAILED = GOOD + "FFF|FFF|FFF", GOOD + "xxx|xxx|xxx"
BEGUN = NOON + 20 * MINUTE + timedelta(seconds=1)
KINDS = CauseKind
CANNOT_TELL = CauseOwner.CANNOT_TELL


def at(minutes: float) -> datetime:
    """An instant so many minutes after the incident began."""
    return BEGUN + minutes * MINUTE


def key(minutes: float, state: str = "ok", **more: Any) -> AccountReading:
    return AccountReading(provider="openrouter", at=at(minutes), state=AccountState(state), **more)


def page(minutes: float, *, every: float = 5, status: int | None = 200, **facts: Any) -> PageChange:
    """A change since the page was last read: of `version`, unless facts or the status say more."""
    changed = facts or ({"version": "5.3"} if status == 200 else {})
    before = dict.fromkeys(changed, "5.2")
    return PageChange(at(minutes), at(minutes - every), status, changed, 200, before)


def listed(minutes: float, until: float, *, there: bool = True) -> ListedModel:
    return ListedModel(at(minutes), at(until), there)


def hosts(minutes: float, *uptimes: float | None, ttft_ms: float | None = None) -> ModelStatistics:
    named = [HostStatistics(f"host {n}", up, ttft_ms) for n, up in enumerate(uptimes)]
    return ModelStatistics(at(minutes), named)


def attempts(*statuses: int, model: str | None = LLAMA) -> list[ProviderAttempt]:
    """A record: these attempts at the expected model, then a good one at another."""
    failed = [ProviderAttempt(status, "Groq", model) for status in statuses]
    return [*failed, ProviderAttempt(200, "Anthropic", "anthropic/claude-haiku-4.5")]


def incident(
    marks: str = FELL,
    *,
    rule: Rule | None = None,
    error: str | Sequence[str] = "",
    outcome: Outcome = Outcome.ERROR_EVENT,
    records: Sequence[ProviderAttempt] = (),
    fallbacks: int | None = None,
    **sources: Any,
) -> tuple[Verdict, CauseSources]:
    """A breach of `fallback` or `down`, with what is known about it.

    `error`: of the failures, in turn. `records`: of every fallen answer.
    """
    errors = [error] if isinstance(error, str) else error
    seen: list[Sample] = []
    for sample in marked(marks):
        if sample.outcome is Outcome.REFUSED and error:
            text = errors[len(seen) % len(errors)]
            sample = replace(sample, outcome=outcome, error=text)
        seen.append(sample)
    of = window(iter(seen))
    judge = rule or (DownRule() if "x" in marks else FallbackRule())
    verdict = judge.judge(of, None, after(of))
    fallen = [sample for sample in seen if sample.model and sample.model != LLAMA]
    routes = [
        AnswerRoute(s.id, s.at, tuple(records) or None, fallbacks, "x-litellm-attempted-fallbacks")
        for s in fallen
        if records or fallbacks is not None
    ]
    return verdict, CauseSources(
        begun=BEGUN, model=LLAMA, samples=of.samples, routes=routes, **sources
    )


def found(case: tuple[Verdict, CauseSources]) -> LikelyCause | None:
    return likely_cause(*case)


TEN = {
    "a key that expired": (KINDS.KEY, incident(
        accounts=[key(-12, expires_at=at(-2)), key(3, "rejected", detail="HTTP 401")],
    )),
    "a key that was disabled": (KINDS.KEY, incident(accounts=[key(-3), key(2, "rejected")])),
    "a key that expired, account not read since": (KINDS.KEY, incident(
        accounts=[key(-12, expires_at=at(-2)), key(3, "failing")],
    )),
    "a rejected key, as the service reports it": (KINDS.KEY, incident(
        FAILED, error="Error code: 401 - {'error': {'type': 'authentication_error', "
        "'message': 'invalid x-api-key'}}",
    )),
    "exhausted credit after a rejection that had ended": (
        KINDS.CREDIT,
        incident(accounts=[key(-9, "rejected"), key(-3), key(2, "out_of_credit")]),
    ),
    "exhausted credit": (KINDS.CREDIT, incident(accounts=[key(-3), key(2, "out_of_credit")])),
    "exhausted credit, in the records": (KINDS.CREDIT, incident(records=attempts(402))),
    "exhausted credit, as the service reports it": (KINDS.CREDIT, incident(
        FAILED, error="400: Your credit balance is too low to access the Anthropic API",
    )),
    "errors of the provider, in the records": (
        KINDS.PROVIDER_ERRORS, incident(records=attempts(502, 503))),
    "errors of the provider, as the service reports them": (
        KINDS.PROVIDER_ERRORS, incident(FAILED, error="502: Provider returned error")),
    "an error of the provider, in other words": (KINDS.PROVIDER_ERRORS, incident(
        FAILED, error="upstream returned 503")),
    "a limit of the provider, by its number": (KINDS.PROVIDER_LIMIT, incident(
        FAILED, error="429 Too Many Requests")),
    "a retired model, as the service reports it": (KINDS.MODEL_REMOVED, incident(
        FAILED, error="Error code: 404 - The model `llama-4-scout` has been decommissioned")),
    "an error 500 of the provider": (KINDS.PROVIDER_ERRORS, incident(
        FAILED, error="Error code: 500 - {'type': 'api_error'}")),
    "an overloaded provider, in the records": (
        KINDS.PROVIDER_LIMIT, incident(records=attempts(429, 429))),
    "an overloaded provider, as the service reports it": (KINDS.PROVIDER_LIMIT, incident(
        FAILED, error="Error code: 529 - {'error': {'type': 'overloaded_error'}}")),
    "a provider that is down by its own statistics": (
        KINDS.PROVIDER_STATISTICS, incident(statistics=[hosts(6, 12.5, 40)])),
    "a model that was removed": (KINDS.MODEL_REMOVED, incident(
        listings=[listed(-900, -30), listed(4, 5, there=False)], records=attempts(404))),
    "a deployment": (KINDS.DEPLOYMENT, incident(pages=[page(-4)])),
    "a deployment seen at the next reading of the page": (
        KINDS.DEPLOYMENT, incident(FAILED, pages=[page(3)], error="500: 'NoneType' object")),
    "a gateway that fell back": (KINDS.GATEWAY, incident(fallbacks=1)),
    "a gateway that fell back after a deployment": (
        KINDS.DEPLOYMENT, incident(fallbacks=1, pages=[page(-4)])),
    "a gateway that fell back after errors of the provider": (
        KINDS.PROVIDER_ERRORS, incident(fallbacks=1, records=attempts(503))),
    "our configuration": (KINDS.CONFIGURATION, incident(configurations=[at(-5)])),
    "probes that are rate limited": (KINDS.PROBES_LIMITED, incident(GOOD + "xrr|xrr|xrr")),
    "an expired certificate": (KINDS.CERTIFICATE, incident(
        FAILED, outcome=Outcome.TLS, error="certificate verify failed: certificate has expired")),
}  # fmt: skip


@pytest.mark.parametrize("name", TEN)
def test_the_cause_of_a_scripted_incident_is_named_with_its_owner(name: str) -> None:
    kind, case = TEN[name]
    cause = found(case)
    assert cause is not None
    assert (cause.kind, cause.owner) == (kind, OWNERS[kind]), cause.sentence


UNKNOWN = {
    "nothing is known": incident(),
    "nothing is known of an outage": incident(FAILED),
    "an old deployment": incident(pages=[page(-61)]),
    "a deployment after the start": incident(pages=[page(6)]),
    "a deployment after the start, on a page that is rarely read": incident(
        pages=[page(1, every=500)]),
    "an old configuration": incident(configurations=[at(-61)]),
    "a later configuration": incident(configurations=[at(0.1)]),
    "a key rejected long before": incident(accounts=[key(-90, "rejected"), key(2, "rejected")]),
    "a key accepted again before": incident(accounts=[key(-5, "rejected"), key(-2), key(3)]),
    "credit that was added before": incident(accounts=[key(-5, "out_of_credit"), key(-2)]),
    "a key that was renewed before": incident(
        accounts=[key(-12, expires_at=at(-9)), key(-7, "rejected"), key(-2)],
    ),
    "statistics that were bad before": incident(statistics=[hosts(-40, 50.0), hosts(-8, 99.9)]),
    "a key rejected later": incident(accounts=[key(-3), key(1), key(6, "rejected")]),
    "a key that expired long before": incident(accounts=[key(-90, expires_at=at(-80))]),
    "an account that could not be read": incident(accounts=[key(-3), key(2, "failing")]),
    "a model that was never listed": incident(listings=[listed(-900, 5, there=False)]),
    "a model missing from the list for a day": incident(
        listings=[listed(-3000, -1500), listed(-1400, 5, there=False)]),
    "good statistics": incident(statistics=[hosts(6, 99.9)]),
    "statistics of one host of two": incident(statistics=[hosts(6, 40, 99.9)]),
    "statistics without figures": incident(statistics=[hosts(6, None), hosts(9)]),
    "an attempt at another model": incident(records=attempts(503, model="openai/gpt-4o")),
    "good attempts": incident(records=attempts()),
    "a gateway that did not fall back": incident(fallbacks=0),
    "few rate limits": incident(GOOD + "xxx|xxx|xrr|xxx"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_not_known_is_not_named(name: str) -> None:
    assert found(UNKNOWN[name]) is None


OUTAGE = incident(FAILED, error="500: 'NoneType' object has no attribute 'lower'")
UNATTRIBUTED = {
    "an error of the service itself": OUTAGE,
    "HTTP errors that the service itself may cause": incident(
        FAILED, outcome=Outcome.HTTP_STATUS, error="HTTP 503: Service Unavailable"),
    "a health page that fails as well": incident(FAILED, pages=[page(-4, status=503)]),
    "an attempt that found no endpoint": incident(records=attempts(404)),
    "a status without a meaning": incident(records=attempts(418)),
}  # fmt: skip


@pytest.mark.parametrize("name", UNATTRIBUTED)
def test_what_shows_no_owner_is_reported_without_one(name: str) -> None:
    cause = found(UNATTRIBUTED[name])
    assert cause is not None
    assert (cause.kind, cause.owner) == (KINDS.UNATTRIBUTED, CANNOT_TELL)


CONTRADICTIONS = {
    "a key rejected and a deployment": incident(
        accounts=[key(-3), key(2, "rejected")], pages=[page(-10)]),
    "a deployment and our configuration": incident(pages=[page(-9)], configurations=[at(-9)]),
    "a rejected key, but errors of the provider": incident(
        accounts=[key(-3), key(2, "rejected")], records=attempts(503)),
    "attempts rejected with 401, but the key is accepted": incident(
        accounts=[key(-3), key(2)], records=attempts(401)),
    "errors of the provider, but good statistics": incident(
        records=attempts(503), statistics=[hosts(10, 99.9, 99.8)]),
    "attempts that fail in different ways": incident(records=attempts(401, 503)),
    "a service that reports different causes": incident(
        FAILED, error=("402: Insufficient credits", "401: No auth credentials found")),
    "a removed model, and a provider that is down": incident(
        listings=[listed(-90, -4), listed(4, 5, there=False)], statistics=[hosts(6, 10)]),
}  # fmt: skip


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_evidence_that_disagrees_is_reported_and_names_nobody(name: str) -> None:
    cause = found(CONTRADICTIONS[name])
    assert cause is not None
    assert (cause.kind, cause.owner) == (None, CANNOT_TELL), cause.sentence
    assert cause.sentence.startswith("cannot tell, the evidence disagrees: ")


@each(
    ("case", "sentence"),
    [
        ("a key that expired", "the key of openrouter expired, at 12:18 UTC"),
        ("a key that was disabled", "openrouter rejects the key, at 12:22 UTC"),
        ("errors of the provider, in the records",
         "OpenRouter's records of 9 of 9 answers have failed attempts: HTTP 502 (Groq) and "
         "HTTP 503 (Groq)"),
        ("a model that was removed", "the provider no longer lists the model, at 12:24 UTC"),
        ("a deployment",
         "its health page changed, as after a deployment: version 5.3, before 5.2, at 12:16 UTC"),
        ("a gateway that fell back",
         "the gateway fell back after failed attempts on 9 of 9 answers "
         "(x-litellm-attempted-fallbacks); it does not state why"),
        ("probes that are rate limited",
         "the service is rate limiting: 6 of 21 probes got HTTP 429"),
        ("an expired certificate", "the service's certificate is not valid: certificate verify "
         "failed: certificate has expired"),
    ],
)  # fmt: skip
def test_the_sentence_states_the_facts(case: str, sentence: str) -> None:
    cause = found(TEN[case][1])
    assert cause is not None
    assert cause.sentence == sentence


@each(("error", "kind"), [
    ("HTTP 429: Rate limit exceeded", KINDS.PROBES_LIMITED),
    ("HTTP 429", KINDS.PROBES_LIMITED),
    ("HTTP 429: OpenRouter: rate limited", KINDS.PROVIDER_LIMIT),
    ("HTTP 429: Provider returned error", KINDS.PROVIDER_LIMIT),
    ("HTTP 429: openai: You exceeded your current quota", KINDS.CREDIT),
])  # fmt: skip
def test_a_429_is_about_a_provider_if_its_message_names_one(error: str, kind: CauseKind) -> None:
    verdict, sources = incident(GOOD + "xrr|xrr|xrr")
    refused = Outcome.RATE_LIMITED
    samples = [
        replace(one, error=error) if one.outcome is refused else one for one in sources.samples
    ]
    cause = likely_cause(verdict, replace(sources, samples=samples))
    assert cause is not None
    assert cause.kind is kind
    assert "6 of 21 probes got HTTP 429" in cause.sentence


@each(("status", "owner"), [(429, CauseOwner.PROVIDER), (503, CauseOwner.CANNOT_TELL)])
def test_normal_statistics_contradict_an_outage_and_no_limit_of_an_account(
    status: int, owner: CauseOwner
) -> None:
    cause = found(incident(records=attempts(status), statistics=[hosts(6, 99.9, 99.8)]))
    assert cause is not None
    assert cause.owner is owner


def test_evidence_against_a_cause_is_named_once() -> None:
    readings = [key(minutes) for minutes in (-4, 1, 6, 11)]
    cause = found(incident(records=attempts(401, 401), accounts=readings))
    assert cause is not None
    assert cause.owner is CauseOwner.CANNOT_TELL
    assert cause.sentence.count("accepted the key") == 1


def test_of_several_deployments_the_nearest_is_named() -> None:
    cause = found(incident(pages=[page(-50, version="5.1"), page(-20, version="5.2.1")]))
    assert cause is not None
    assert "version 5.2.1" in cause.sentence
    assert "version 5.1" not in cause.sentence


def test_a_slow_provider_explains_a_slow_service() -> None:
    verdict, sources = incident(statistics=[hosts(6, 99.9, 99.9, ttft_ms=4100)])
    assert likely_cause(verdict, sources) is None
    slow = likely_cause(verdict, replace(sources, limit_ms=1200))
    assert slow is not None
    assert slow.sentence.startswith("the provider's own statistics of the model: median TTFT of 4")


def test_what_the_expected_model_answers_is_not_explained_by_its_key_or_provider() -> None:
    of = window(marked(GOOD + GOOD[:-1]))
    known = CauseSources(
        begun=BEGUN,
        model=LLAMA,
        samples=of.samples,
        accounts=[key(-3), key(2, "rejected")],
        statistics=[hosts(6, 10.0)],
    )
    rows = tuple(sample.id for sample in of.samples if sample.at >= BEGUN)
    verdict = Verdict(
        rule="cost_drift", scope="rag", state=VerdictState.BREACH, value=1.0, limit=0.2,
        because="", rows=rows,
    )  # fmt: skip
    assert rows
    assert likely_cause(verdict, known) is None
    deployed = likely_cause(verdict, replace(known, pages=[page(-4)]))
    assert deployed is not None
    assert deployed.kind is CauseKind.DEPLOYMENT


def test_the_finding_gets_cause_owner_and_first_step() -> None:
    verdict, sources = TEN["a key that expired"][1]
    finding = explained(verdict, likely_cause(verdict, sources)).finding
    assert finding.cause.startswith("the key of openrouter expired")
    assert finding.cause_owner is CauseOwner.BILLING
    assert finding.first_step == FIRST_STEPS[KINDS.KEY]
    unknown = explained(verdict, None)
    assert unknown.finding == replace(verdict.finding, cause_owner=CANNOT_TELL)


def test_rows_of_a_later_time_prove_nothing_about_the_start() -> None:
    verdict, sources = incident(accounts=[key(-3), key(2, "rejected")])
    assert likely_cause(verdict, sources) is not None
    assert likely_cause(verdict, replace(sources, samples=sources.samples[:6])) is None


def test_a_cause_that_is_not_found_again_is_kept_with_its_owner() -> None:
    known = Finding(what="a", cause="c", cause_owner=CauseOwner.BILLING)
    later = known.updated(Finding(what="b", cause_owner=CANNOT_TELL))
    assert (later.cause, later.cause_owner) == ("c", CauseOwner.BILLING)
    other = known.updated(Finding(what="b", cause="d", cause_owner=CANNOT_TELL))
    assert (other.cause, other.cause_owner) == ("d", CANNOT_TELL)


def test_of_random_incidents_nine_in_ten_are_right_and_none_is_wrong() -> None:
    chance = random.Random(7)
    judged = Counter(run(chance)[1] for _ in range(400))
    assert judged["wrong"] == 0
    assert judged["right"] >= 360


@pytest.mark.parametrize("kind", ["accounts", "pages", "configurations", "statistics", "listings"])
def test_nothing_older_than_an_hour_or_later_than_the_incident_is_named(kind: str) -> None:
    chance = random.Random(3)
    made: dict[str, Any] = {
        "accounts": lambda minutes: [key(minutes - 4), key(minutes, "rejected")],
        "pages": lambda minutes: [page(minutes)],
        "configurations": lambda minutes: [at(minutes)],
        "statistics": lambda minutes: [hosts(minutes, 20)],
        "listings": lambda minutes: [
            listed(minutes - 900, minutes - 4),
            listed(minutes, minutes + 1, there=False),
        ],
    }
    latest = {"configurations": 0.0, "pages": 5.0, "statistics": 30.0}.get(kind, 4.0)
    for _ in range(200):
        minutes = chance.uniform(-120, 60)
        cause = found(incident(**{kind: made[kind](minutes)}))
        timely = -60 <= minutes <= latest
        assert (cause is not None) is timely, f"{kind} at {minutes:.1f} min"
