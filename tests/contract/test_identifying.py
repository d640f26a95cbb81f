"""Fingerprints through a real database: followed, learnt, held, accepted; and a burst on doubt."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text

from monitor import identity
from monitor.domain import (
    Claim,
    ClaimKind,
    Evidence,
    Identity,
    IdentityJudgement,
    Observation,
    Query,
    Target,
)
from monitor.identity import AnswerEvidence, IdentityContext, IdentityLearning, JudgedAnswer
from monitor.identity.fingerprint.features import AnswerText
from monitor.identity.fingerprint.match import StyleMatch
from monitor.identity.fingerprint.tracker import FallbackEvidence, TrackerState
from monitor.identity.judge import explained_by_host
from monitor.identity.learning import CapturedAnswer
from monitor.simulator.situations import SimulatedModel
from monitor.storage import (
    Connection,
    Database,
    baseline_answers,
    fingerprints,
    observations,
    probe_rows,
)
from monitor.worker import burst as bursts
from monitor.worker import identity_memory
from monitor.worker.burst import ExtraProbe, burst
from monitor.worker.identity_memory import IdentityCache
from tests.example_data import NOON, observation
from tests.simulated_answers import HAIKU, LLAMA, QUERIES, simulated_answer, simulated_answers

TARGET = Target(
    name="rag", url="http://x", dialect="bali_zero", queries=QUERIES,
    expected_models=(LLAMA,), fallback_models=(HAIKU,), every=timedelta(minutes=5),
)  # fmt: skip


async def captured_by_hand(
    database: Database, *speakers: SimulatedModel
) -> fingerprints.BaselineEpoch:
    async with database.begin() as connection:
        epoch = await fingerprints.begin(connection, "rag", LLAMA, verified_by="operator")
        for speaker in speakers:
            model = LLAMA if speaker is SimulatedModel.LLAMA else HAIKU
            for query in QUERIES:
                own = [
                    answer for answer in simulated_answers(speaker, 10) if answer.query == query.id
                ]
                await baseline_answers.add(
                    connection, epoch, query, own, model=model, verified_by="operator"
                )
    return epoch


async def known(database: Database, cache: IdentityCache, target: Target) -> IdentityContext:
    async def nothing(_: Connection) -> None:
        pass

    found = await identity_memory.load(database, cache, [target], now=NOON, first=nothing)
    return found[target.name]


async def follow(
    database: Database, cache: IdentityCache, target: Target, answer: AnswerText, *, at: datetime
) -> StyleMatch | None:
    """One whole answer that discloses nothing: judged, and what it taught stored."""
    before = await known(database, cache, target)
    query = next(query for query in target.queries if query.id == answer.query)
    said = AnswerEvidence(at=at, query=query, answer=answer)
    judged = identity.judge(said, target, before)
    learnt = IdentityLearning(target="rag", observation=uuid4(), style=before.style,
                              step=judged.step)  # fmt: skip
    async with database.begin() as connection:
        await probe_rows.learn(connection, [learnt])
    cache.stored(learnt)
    return judged.style


async def capture(
    database: Database, target: Target, answer: AnswerText, seen: Observation
) -> None:
    """What an answer that was judged before teaches by itself, stored."""
    before = await known(database, IdentityCache(), target)
    query = next(query for query in target.queries if query.id == answer.query)
    said = AnswerEvidence(at=NOON, query=query, answer=answer)
    who = IdentityJudgement(seen.identity, seen.model_detected, 0.9, seen.evidence, "")
    learnt = identity.learning(JudgedAnswer(judgement=who), said, target, before,
                               outcome=seen.outcome, observation=seen.id)  # fmt: skip
    async with database.begin() as connection:
        await probe_rows.learn(connection, [learnt])


async def followed(
    database: Database, cache: IdentityCache, speakers: str, *, seed: str = "stream"
) -> list[StyleMatch | None]:
    seen = []
    for nth, letter in enumerate(speakers):
        speaker = SimulatedModel.LLAMA if letter == "L" else SimulatedModel.HAIKU
        answer = simulated_answer(speaker, QUERIES[nth % 3], f"{seed}{nth}")
        at = NOON + nth * timedelta(minutes=5)
        seen.append(await follow(database, cache, TARGET, answer, at=at))
    return seen


async def rows(database: Database, statement: str) -> Sequence[tuple[object, ...]]:
    async with database.begin() as connection:
        return [tuple(row) for row in await connection.execute(text(statement))]


def disclosing(model: str, identity: Identity) -> Observation:
    log_odds = 5.0 if identity is Identity.FALLBACK else -5.0
    word = Evidence(ClaimKind.SIBLING, model, log_odds, "model_used")
    return observation(identity=identity, model_detected=model, evidence=(word,))


async def test_without_a_baseline_nothing_is_followed(database: Database) -> None:
    assert await followed(database, IdentityCache(), "L") == [None]


async def test_a_silent_fallback_is_named_and_its_evidence_can_be_read_in_sql(
    database: Database,
) -> None:
    await captured_by_hand(database, SimulatedModel.LLAMA, SimulatedModel.HAIKU)
    seen = await followed(database, IdentityCache(), "LLLLHHHH")
    assert [style_match.identity for style_match in seen[:4] if style_match] == [
        Identity.EXPECTED
    ] * 4
    assert seen[-1] is not None
    assert (seen[-1].identity, seen[-1].model) == (Identity.FALLBACK, HAIKU)
    (found,) = await rows(
        database, "SELECT identity, model, since, evidence->0->>'detail' FROM identity_evidence"
    )
    assert found[:2] == ("fallback", HAIKU)
    assert found[2] is not None
    assert "separability" in str(found[3])
    assert await rows(
        database, "SELECT fallback, answers, separability > 0.95, refusal FROM identity_profiles"
    ) == [(HAIKU, 30, True, None)]


async def test_a_restart_neither_forgets_nor_repeats(database: Database) -> None:
    await captured_by_hand(database, SimulatedModel.LLAMA, SimulatedModel.HAIKU)
    cache = IdentityCache()
    for nth in range(8):
        letter, restarted = "LLLLHHHH"[nth], IdentityCache()
        answer = simulated_answer(
            SimulatedModel.LLAMA if letter == "L" else SimulatedModel.HAIKU,
            QUERIES[nth % 3],
            f"s{nth}",
        )
        cache = restarted if nth % 2 else cache
        style_match = await follow(database, cache, TARGET, answer, at=NOON)
    assert style_match is not None
    assert style_match.identity is Identity.FALLBACK
    assert await rows(database, "SELECT (state->>'judged')::int FROM identity_states") == [(8,)]
    assert await rows(database, "SELECT count(*) FROM identity_evidence") == [(1,)]


async def judged_by(
    database: Database, worker: IdentityCache, speaker: SimulatedModel, seed: str
) -> IdentityLearning:
    """What an answer teaches a worker, not stored yet."""
    before = await known(database, worker, TARGET)
    answer = simulated_answer(speaker, QUERIES[0], seed)
    evidence = AnswerEvidence(at=NOON, query=QUERIES[0], answer=answer)
    return IdentityLearning(target="rag", observation=uuid4(), style=before.style,
                            step=identity.judge(evidence, TARGET, before).step)  # fmt: skip


async def test_workers_that_judge_at_the_same_time_count_both_answers(database: Database) -> None:
    await captured_by_hand(database, SimulatedModel.LLAMA)
    await followed(database, IdentityCache(), "L")
    both = [await judged_by(database, IdentityCache(), SimulatedModel.LLAMA, seed) for seed in "ab"]
    for learnt in both:
        async with database.begin() as connection:
            await probe_rows.learn(connection, [learnt])
    assert await rows(database, "SELECT (state->>'judged')::int FROM identity_states") == [(3,)]


async def test_an_answer_judged_by_a_baseline_that_was_replaced_meanwhile_leaves_no_state(
    database: Database,
) -> None:
    await captured_by_hand(database, SimulatedModel.LLAMA)
    learnt = await judged_by(database, IdentityCache(), SimulatedModel.LLAMA, "a")
    async with database.begin() as connection:
        await fingerprints.begin(connection, "rag", LLAMA, verified_by="operator")
        await probe_rows.learn(connection, [learnt])
    assert await rows(database, "SELECT count(*) FROM identity_states") == [(0,)]


async def test_what_cannot_be_learnt_costs_no_observation(database: Database) -> None:
    await captured_by_hand(database, SimulatedModel.LLAMA)
    seen, answer = observation(), simulated_answer(SimulatedModel.LLAMA, QUERIES[0], "a")
    refused = CapturedAnswer(answer, QUERIES[0], LLAMA, "a word no constraint allows", begins=False)
    learnt = IdentityLearning(target="rag", observation=seen.id, captured=refused)
    assert await probe_rows.store(database, [seen], {seen.id: learnt}) == (1, ())
    assert await rows(database, "SELECT id FROM observations") == [(seen.id,)]


async def test_a_baseline_is_learnt_while_the_response_discloses_its_model(
    database: Database,
) -> None:
    for answer in simulated_answers(SimulatedModel.LLAMA, 9):
        seen = disclosing("Llama-4-Scout-17B-16E-Instruct", Identity.EXPECTED)
        await capture(database, TARGET, answer, replace(seen, query=answer.query))
    assert await rows(
        database, "SELECT model, verified_by, count(*) FROM identity_answers GROUP BY 1, 2"
    ) == [(LLAMA, "disclosure", 27)]
    for answer in simulated_answers(SimulatedModel.HAIKU, 4):
        await capture(database, TARGET, answer, disclosing(HAIKU, Identity.FALLBACK))
    seen = await followed(database, IdentityCache(), "LLHHHHH")
    assert seen[-1] is not None
    assert seen[-1].model == HAIKU, "learnt from the first incident that was disclosed"


async def test_an_echoed_name_confirms_nothing(database: Database) -> None:
    echo = observation(evidence=(Evidence(ClaimKind.FIELD, LLAMA, -1.5, "model"),))
    await capture(database, TARGET, simulated_answer(SimulatedModel.LLAMA, QUERIES[0], 1), echo)
    assert await rows(database, "SELECT count(*) FROM identity_epochs") == [(0,)]


async def test_answers_under_suspicion_are_held_and_can_become_the_baseline(
    database: Database,
) -> None:
    old = await captured_by_hand(database, SimulatedModel.LLAMA)
    cache = IdentityCache()
    await followed(database, cache, "L" * 9 + "H" * 16)
    nobody = observation(identity=Identity.CHANGED, model_detected=None, evidence=())
    for answer in simulated_answers(SimulatedModel.HAIKU, 9, seed="after"):
        await capture(database, TARGET, answer, nobody)
    async with database.begin() as connection:
        new = await fingerprints.begin(
            connection, "rag", LLAMA, verified_by="operator", note="edit"
        )
        assert await baseline_answers.adopt(connection, old, new) == 27
        await fingerprints.restart(connection, new)
    seen = await followed(database, cache, "HHH", seed="later")
    assert [style_match.identity for style_match in seen if style_match] == [Identity.EXPECTED] * 3
    assert await rows(database, "SELECT epoch, note FROM identity_epochs ORDER BY epoch") == [
        (1, ""), (2, "edit"),
    ]  # fmt: skip


async def test_held_answers_are_forgotten_when_all_is_well(database: Database) -> None:
    epoch = await captured_by_hand(database, SimulatedModel.LLAMA)
    async with database.begin() as connection:
        await baseline_answers.add(
            connection,
            epoch,
            QUERIES[0],
            [simulated_answer(SimulatedModel.HAIKU, QUERIES[0], 1)],
            model=None,
            verified_by=None,
        )
    await capture(
        database,
        TARGET,
        simulated_answer(SimulatedModel.LLAMA, QUERIES[0], 2),
        observation(evidence=()),
    )
    held = "SELECT count(*) FROM identity_answers WHERE model IS NULL"
    assert await rows(database, held) == [(0,)]


async def test_a_query_with_a_new_text_has_no_baseline(database: Database) -> None:
    await captured_by_hand(database, SimulatedModel.LLAMA)
    worded = replace(TARGET, queries=(replace(QUERIES[0], text="Hi!"), *QUERIES[1:]))
    answer = simulated_answer(SimulatedModel.LLAMA, QUERIES[0], 1)
    style_match = await follow(database, IdentityCache(), worded, answer, at=NOON)
    assert style_match is not None
    assert "20 of 25 answers" in style_match.reason


@pytest.mark.parametrize(
    ("every", "log_odds", "allowed", "requested"),
    [
        (timedelta(minutes=5), 4.0, 9, 4),
        (timedelta(minutes=5), 4.0, 1, 1),  # the budget is used up
        (timedelta(minutes=5), 3.0, 9, 0),  # no doubt
        (timedelta(seconds=30), 4.0, 9, 0),  # asked often enough as it is
    ],
)
async def test_doubt_asks_up_to_four_more_probes_within_the_budget(
    database: Database, every: timedelta, log_odds: float, allowed: int, requested: int
) -> None:
    epoch = await captured_by_hand(database, SimulatedModel.LLAMA)
    track = TrackerState(
        epoch=epoch.number, courses=(FallbackEvidence(HAIKU, (log_odds, 0.0, 0.0)),), since=NOON
    )
    async with database.begin() as connection:
        await fingerprints.keep(connection, [fingerprints.KeptState("rag", track, NOON)])
    queries: list[Query] = []

    async def ask(extra: ExtraProbe) -> bool:
        if len(queries) >= allowed:
            return False
        assert not extra.confirms
        queries.append(extra.query)
        return True

    short = timedelta(0) if every > timedelta(minutes=1) else bursts.PAUSE
    assert await burst(database, replace(TARGET, every=every), ask, pause=short) == requested
    assert len(queries) == requested
    assert len({query.id for query in queries}) == min(requested, 3), "queries in turn"


async def test_state_is_plain_json_of_bounded_size(database: Database) -> None:
    await captured_by_hand(database, SimulatedModel.LLAMA, SimulatedModel.HAIKU)
    await followed(database, IdentityCache(), "L" * 12)
    ((state,),) = await rows(database, "SELECT state FROM identity_states")
    assert len(json.dumps(state)) < 10_000


async def test_a_change_that_came_with_another_host_says_so(database: Database) -> None:
    def ran_at(host: str, **changes: object) -> Observation:
        return replace(
            observation(id=uuid4(), **changes), target="rag",
            claims=(Claim(ClaimKind.HOST, "provider", host),),
        )  # fmt: skip

    rows_before = [
        ran_at(host, slot=NOON - timedelta(days=1, minutes=-5 * nth), identity=identity)
        for nth, (host, identity) in enumerate(
            [("Groq", Identity.EXPECTED)] * 3
            + [("Lambda", Identity.EXPECTED), ("DeepInfra", Identity.CHANGED)]
        )
    ]
    async with database.begin() as connection:
        await observations.add(connection, rows_before)
    changed = StyleMatch(Identity.CHANGED, None, 0.9, reason="Writing style changed.")

    async with database.begin() as connection:
        hosts = await observations.hosts(connection, "rag")

    def notified(host: str | None, style_match: StyleMatch = changed) -> StyleMatch:
        claims = (Claim(ClaimKind.HOST, "provider", host),) if host else ()
        return explained_by_host(style_match, claims, hosts)

    moved = notified("DeepInfra")
    assert moved.reason == (
        "Writing style changed. The host changed, too: DeepInfra, before Groq, Lambda."
    )
    assert notified("Groq") == changed, "it ran there before"
    assert notified(None) == changed
    unknown = replace(changed, identity=Identity.UNKNOWN)
    assert notified("DeepInfra", unknown) == unknown
