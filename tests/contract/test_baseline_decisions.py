"""`baseline accept`, `revert`, `show` and `check`: what a person decides, and what they are told.

The database is real; answers are those of the simulated service's two voices.
"""

import asyncio
import os
import pty
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from typer.testing import CliRunner

from monitor.__main__ import app
from monitor.cli import baseline, baseline_accept
from monitor.cli.baseline import show
from monitor.cli.check import _covered
from monitor.cli.detection_summary import coverage, nothing_stored, suspicions
from monitor.config import load
from monitor.domain import ClaimKind, Evidence, Identity, Incident, Target
from monitor.identity.fingerprint.features import AnswerText
from monitor.identity.fingerprint.tracker import TrackerState
from monitor.simulator.situations import SimulatedModel
from monitor.storage import (
    Database,
    baseline_answers,
    fingerprints,
    incident_rows,
    observations,
)
from monitor.transcripts import scrubbed
from tests.e2e.worker_process import environment, rows
from tests.example_data import NOON, observation
from tests.example_transcripts import transcript
from tests.simulated_answers import HAIKU, LLAMA, QUERIES, simulated_answer

T = TypeVar("T")
ANSWER = [
    ("", '{"text": "Ciao! I am fine, thank you. What can I do for you?"}'),
    ("", '{"done": true}'),
]
AGO = datetime.now(UTC) - timedelta(minutes=5)
EPOCHS = "SELECT epoch, reverted_at IS NULL FROM identity_epochs ORDER BY epoch"
CONFIGURATION = f"""
[targets.rag]
url = "http://127.0.0.1:9"
dialect = "bali_zero"
expected_models = ["{LLAMA}"]
fallback_models = ["{HAIKU}"]
headers = {{ "X-API-Key" = "${{SERVICE_KEY}}" }}
""" + "".join(
    f'[[targets.rag.queries]]\nid = "{query.id}"\ntext = "{query.text}"\n'
    f"identity = {str(query.identity).lower()}\n"
    for query in QUERIES
)


def stored(url: str, work: Callable[[Any], Awaitable[T]]) -> T:
    async def run() -> T:
        database = Database(url)
        try:
            async with database.begin() as connection:
                return await work(connection)
        finally:
            await database.close()

    return asyncio.run(run())


def by(speaker: SimulatedModel, each: int, *, seed: str) -> dict[str, list[AnswerText]]:
    return {
        query.id: [simulated_answer(speaker, query, f"{seed}{nth}") for nth in range(each)]
        for query in QUERIES
    }


async def run_capture(
    connection: Any,
    epoch: fingerprints.BaselineEpoch,
    model: str | None,
    answers: dict[str, list[AnswerText]],
) -> None:
    word = "operator" if model else None
    for query in QUERIES:
        await baseline_answers.add(
            connection, epoch, query, answers[query.id], model=model, verified_by=word
        )


def prepared(
    url: str,
    *,
    held: SimulatedModel | None = None,
    profile: bool = True,
    each: int = 10,
    text: str = "",
) -> None:
    """Llama's baseline, Haiku's profile beside it, and answers held since a change."""

    async def work(connection: Any) -> None:
        epoch = await fingerprints.begin(connection, "rag", LLAMA, verified_by="operator")
        await run_capture(connection, epoch, LLAMA, by(SimulatedModel.LLAMA, 10, seed="baseline"))
        if profile:
            await run_capture(
                connection, epoch, HAIKU, by(SimulatedModel.HAIKU, 10, seed="baseline")
            )
        if held:
            later = by(held, each, seed="held")
            if text:
                later["hi"] = [AnswerText("hi", text)] * each
            await run_capture(connection, epoch, None, later)

    stored(url, work)


def opened(url: str, rule: str, *, resolved: bool = False) -> int:
    incident = Incident(
        rule=rule, scope="rag", opened_at=NOON, last_breach_at=NOON, last_told_at=NOON, value=1.0,
        limit=0.1, because="4 of the last 4 answers (100%) came from another model; limit 10%.",
        resolved_at=NOON + timedelta(minutes=9) if resolved else None,
    )  # fmt: skip
    numbers = stored(url, lambda connection: incident_rows.save(connection, [incident], []))
    return numbers[incident.key]


def followed(url: str, track: TrackerState) -> None:
    kept = fingerprints.KeptState("rag", track, NOON)
    stored(url, lambda c: fingerprints.keep(c, [kept]))


@pytest.fixture
def home(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "monitor.toml").write_text(CONFIGURATION)
    monkeypatch.setenv("MONITOR_CONFIG", str(tmp_path / "monitor.toml"))
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("SERVICE_KEY", "canary-key-4711")
    return tmp_path


@pytest.fixture
def run(home: Path) -> Callable[..., Any]:
    """`monitor baseline …` without a terminal."""
    return lambda *arguments: CliRunner().invoke(app, ["baseline", *arguments])


def on_terminal(home: Path, url: str, *arguments: str, typed: str) -> tuple[int, str]:
    """The same with a terminal for standard input, at which somebody types."""
    ours, theirs = pty.openpty()
    os.write(ours, typed.encode())
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "monitor", "baseline", *arguments],
            env=environment(home, DATABASE_URL=url, SERVICE_KEY="canary-key-4711"), cwd=home,
            stdin=theirs, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
    finally:
        os.close(theirs)
        os.close(ours)
    return ended.returncode, ended.stdout + ended.stderr


@pytest.mark.parametrize("rule", ["fallback", "model_changed"])
def test_nothing_is_accepted_while_an_incident_says_another_model_answers(
    rule: str, run: Any, database_url: str
) -> None:
    prepared(database_url, held=SimulatedModel.LLAMA)
    number = opened(database_url, rule)
    ended = run("accept")
    assert ended.exit_code == 2
    assert f"incident #{number} ({rule}) is open since" in ended.stderr
    assert "monitor baseline capture rag --model NAME" in ended.stderr
    assert "repeat with --yes" in ended.stderr
    assert rows(database_url, EPOCHS) == [(1, True)]
    assert run("accept", "--yes").exit_code == 0
    assert rows(database_url, EPOCHS) == [(1, True), (2, True)]


def test_incidents_of_other_rules_and_those_that_are_over_do_not_matter(
    run: Any, database_url: str
) -> None:
    prepared(database_url, held=SimulatedModel.LLAMA)
    opened(database_url, "fallback", resolved=True)
    opened(database_url, "ttft")
    ended = run("accept")
    assert "incident #" not in ended.stderr
    assert "no terminal for the question" in ended.stderr


def test_answers_of_a_known_fallback_are_not_accepted_unless_a_person_insists(
    run: Any, database_url: str
) -> None:
    prepared(database_url, held=SimulatedModel.HAIKU)
    ended = run("accept")
    assert ended.exit_code == 2
    assert f"of the 30 answers match the captured answers of {HAIKU}" in ended.stderr
    assert rows(database_url, EPOCHS) == [(1, True)]


def test_a_fallback_that_gave_a_part_of_the_answers_is_seen_too(
    run: Any, database_url: str
) -> None:
    prepared(database_url, held=SimulatedModel.LLAMA, each=12)

    async def mixed(connection: Any) -> None:
        epoch = (await fingerprints.epochs(connection, "rag"))[0]
        await run_capture(connection, epoch, None, by(SimulatedModel.HAIKU, 5, seed="part"))

    stored(database_url, mixed)
    assert f"match the captured answers of {HAIKU}" in run("accept").stderr


def test_without_a_terminal_nothing_is_accepted_and_three_answers_are_shown(
    run: Any, database_url: str
) -> None:
    prepared(
        database_url,
        held=SimulatedModel.LLAMA,
        text="\x1b[31mkey canary-key-4711 \x07 <b>Hello</b>",
    )
    ended = run("accept")
    assert ended.exit_code == 2
    assert ended.stderr == (
        "monitor: nothing was accepted: there is no terminal for the question. Read the answers "
        "above, then repeat with --yes\n"
    )
    shown = ended.stdout.splitlines()
    assert shown[0] == (
        f"rag: 30 answers since the change would become the baseline of {LLAMA}. 3 of them:"
    )
    assert shown[1] == "  hi: key *** <b>Hello</b>", "plain, and without our secrets"
    assert [line.split(":")[0] for line in shown[1:]] == ["  hi", "  kbli", "  who"]
    assert rows(database_url, EPOCHS) == [(1, True)]


@pytest.mark.parametrize(("typed", "status"), [("y\n", 0), ("n\n", 1), ("\n", 1)])
def test_on_a_terminal_a_person_is_asked(
    typed: str, status: int, home: Path, database_url: str
) -> None:
    prepared(database_url, held=SimulatedModel.LLAMA)
    ended, printed = on_terminal(home, database_url, "accept", typed=typed)
    assert ended == status, printed
    assert f"Did {LLAMA} write these answers? [y/N]" in printed
    assert len(rows(database_url, EPOCHS)) == (2 if status == 0 else 1)


def test_an_accept_is_undone_and_a_second_revert_changes_nothing(
    run: Any, database_url: str
) -> None:
    prepared(database_url, held=SimulatedModel.LLAMA)
    kept = "SELECT count(*) FROM identity_answers"
    accepted = run("accept", "--yes", "--note", "new prompt")
    assert accepted.stdout.endswith("To undo this: `monitor baseline revert rag`\n")
    before = rows(database_url, kept)
    undone = run("revert")
    assert undone.exit_code == 0, undone.stderr
    assert "epoch 1 of rag is in force again" in undone.stdout
    assert rows(database_url, EPOCHS) == [(1, True), (2, False)]
    again = run("revert")
    assert again.exit_code == 0
    assert "epoch 1 of rag is in force already: nothing to do" in again.stdout
    assert rows(database_url, EPOCHS) == [(1, True), (2, False)]
    back = run("revert", "rag", "--to", "2")
    assert "epoch 2 of rag is in force again" in back.stdout
    assert rows(database_url, EPOCHS) == [(1, True), (2, True)]
    assert rows(database_url, kept) == before, "no captured answer is deleted"
    assert rows(database_url, "SELECT epoch FROM identity_states") == [(2,)]


def test_what_follows_a_revert_is_judged_by_the_epoch_in_force(run: Any, database_url: str) -> None:
    prepared(database_url, held=SimulatedModel.LLAMA)
    run("accept", "--yes")
    followed(database_url, TrackerState(epoch=2, judged=40, bets=(1e6,) * 10))
    run("revert")
    state = stored(database_url, lambda connection: fingerprints.state(connection, "rag"))
    assert state is not None and state.track is not None
    assert (state.epoch.number, state.track.judged, state.track.changed) == (1, 0, False)
    stored(database_url, lambda connection: fingerprints.begin(
        connection, "rag", LLAMA, verified_by="operator"))  # fmt: skip
    assert rows(database_url, EPOCHS) == [(1, True), (2, False), (3, True)]
    assert "epoch 1 of rag is in force again" in run("revert").stdout, "the reverted one is not"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "epoch 1 is the first baseline of rag: there is no earlier one to go back to"),
        (("--to", "7"), 'target "rag" has no epoch 7; known: 1'),
    ],
)
def test_what_cannot_be_reverted_is_refused_in_a_sentence(
    arguments: Sequence[str], sentence: str, run: Any, database_url: str
) -> None:
    prepared(database_url)
    ended = run("revert", *arguments)
    assert (ended.exit_code, ended.stderr) == (2, f"monitor: {sentence}\n")


def test_without_any_baseline_there_is_nothing_to_revert(run: Any) -> None:
    assert "has no baseline: run `monitor baseline capture rag` first" in run("revert").stderr


def test_the_expected_model_is_not_captured_while_another_one_may_answer(
    run: Any, database_url: str
) -> None:
    prepared(database_url)
    number = opened(database_url, "model_changed")
    ended = run("capture", "--count", "1")
    assert ended.exit_code == 2
    assert f"nothing was captured: incident #{number} (model_changed) is open" in ended.stderr
    other = run("capture", "--count", "1", "--model", HAIKU)
    assert "no probe was answered" in other.stderr, "under its own name it may be captured"


@pytest.mark.parametrize("rule", ["fallback", "model_changed"])
def test_a_target_without_expected_models_is_guarded_by_its_baseline(
    rule: str, run: Any, home: Path, database_url: str
) -> None:
    file = home / "monitor.toml"
    lines = file.read_text().splitlines()
    file.write_text("\n".join(line for line in lines if "expected_models" not in line))
    prepared(database_url)
    number = opened(database_url, rule)
    recorded = str(recorded_file(home, 30))
    ended = run("capture", "--model", LLAMA, "--from", recorded)
    assert ended.exit_code == 2, ended.stdout
    assert f"nothing was captured: incident #{number} ({rule}) is open" in ended.stderr
    assert run("capture", "--model", HAIKU, "--from", recorded).exit_code == 0, "its own name"
    assert run("capture", "--model", LLAMA, "--from", recorded, "--yes").exit_code == 0


def recorded_file(home: Path, count: int) -> Path:
    """Transcripts of good answers to the first query, as `probe --record` writes them."""
    file = home / "recorded.jsonl"
    good = replace(transcript(ANSWER), query=QUERIES[0].id)
    file.write_text(scrubbed([good] * count, ()))
    return file


@pytest.mark.parametrize("rule", ["fallback", "model_changed"])
def test_recorded_answers_are_not_captured_as_the_expected_models_either(
    rule: str, run: Any, home: Path, database_url: str
) -> None:
    prepared(database_url)
    number = opened(database_url, rule)
    kept = rows(database_url, "SELECT count(*) FROM identity_answers")
    file = str(recorded_file(home, 30))
    ended = run("capture", "--from", file)
    assert ended.exit_code == 2, ended.stdout
    assert f"nothing was captured: incident #{number} ({rule}) is open" in ended.stderr
    assert rows(database_url, "SELECT count(*) FROM identity_answers") == kept
    assert run("capture", "--from", file, "--yes").exit_code == 0


def test_an_incident_that_opens_during_a_capture_stops_it(
    run: Any, home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared(database_url)
    real = baseline.from_file

    def meanwhile(*given: Any) -> Any:
        opened(database_url, "model_changed")
        return real(*given)

    monkeypatch.setattr(baseline, "from_file", meanwhile)
    ended = run("capture", "--from", str(recorded_file(home, 30)))
    assert ended.exit_code == 2
    assert "nothing was captured: incident #" in ended.stderr


@pytest.mark.parametrize(("count", "cleared"), [(1, False), (24, False), (25, True)])
def test_a_few_captured_answers_clear_no_suspicion(
    count: int, cleared: bool, run: Any, home: Path, database_url: str
) -> None:
    prepared(database_url)
    followed(database_url, TrackerState(epoch=1, judged=40, since=NOON))
    assert run("capture", "--from", str(recorded_file(home, count))).exit_code == 0
    state = stored(database_url, lambda connection: fingerprints.state(connection, "rag"))
    assert state is not None and state.track is not None
    assert (state.track.since is None) is cleared


@pytest.mark.usefixtures("home")
def test_show_separates_captured_from_held_answers_and_says_changed_in_words(
    database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    prepared(database_url, held=SimulatedModel.HAIKU, each=2, profile=False)
    followed(database_url, TrackerState(epoch=1, judged=40, bets=(2e6,) * 10, since=NOON))
    show("rag")
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:4] == [
        "captured answers:",
        f"  hi: 10 answers of {LLAMA}",
        f"  kbli: 10 answers of {LLAMA}",
    ]
    assert "unassigned answers (6 of 25 that `accept` needs):" in lines
    assert "  hi: 2 answers" in lines
    assert (
        f"state: CHANGED since {NOON:%Y-%m-%d %H:%M} UTC: the answers no longer match {LLAMA}; "
        "the answering model is unknown"
    ) in lines
    assert "40 answers compared" in lines
    whole = "\n".join(lines)
    assert "bets" not in whole and "nats" not in whole and "10080" not in whole
    assert f"no answers of {HAIKU} are captured: a fallback to it is reported as" in whole


@pytest.mark.usefixtures("home")
def test_show_of_a_healthy_target_says_what_is_detected(
    database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    prepared(database_url)
    followed(database_url, TrackerState(epoch=1, judged=9))
    show("rag")
    printed = capsys.readouterr().out
    assert f"state: OK: the answers match {LLAMA}" in printed
    assert f"a fallback to {HAIKU} is detected by name: rule fallback (separability" in printed
    assert "held answers" not in printed
    assert "not detected yet" not in printed


def target(**changes: Any) -> Target:
    given = {"expected_models": (LLAMA,), "fallback_models": (HAIKU,)} | changes
    return Target(name="rag", url="http://x", dialect="bali_zero", queries=QUERIES, **given)


def test_check_warns_of_every_way_in_which_a_change_would_go_unseen(database_url: str) -> None:
    def warned(**changes: Any) -> str:
        found = stored(database_url, lambda connection: coverage(connection, target(**changes)))
        lines = _covered(found)
        assert all(line.good is not False for line in lines), "a warning is no fault"
        return "\n".join(map(str, lines))

    assert "a fallback is detected only if the response names its model" in warned()
    assert "rules fallback and model_changed are off" in warned(expected_models=())
    assert "expected_models" not in warned()
    stored(database_url, lambda c: observations.add(c, [observation(slot=AGO, started_at=AGO,
        identity=Identity.UNKNOWN, evidence=(), claims=(), model_disclosed=None)]))  # fmt: skip
    assert "no stored answer of rag names its model: a silent fallback is not" in warned()
    assert "monitor baseline capture rag`" in warned()
    repeated = (Evidence(ClaimKind.FIELD, LLAMA, 0.0, "repeats the name that was asked for"),)
    stored(database_url, lambda c: observations.add(c, [observation(
        slot=AGO, started_at=AGO, query="kbli", evidence=repeated)]))  # fmt: skip
    assert "no stored answer of rag names its model" in warned(), "an echo names nobody"
    stored(
        database_url,
        lambda c: observations.add(c, [observation(slot=AGO, started_at=AGO, query="who")]),
    )
    assert "detected only by the model that the response names" in warned()
    prepared(database_url, profile=False)
    assert f"no answers of {HAIKU} are captured: a fallback to it is reported as model_changed, " \
           "without a name, unless the response names the model" in warned()  # fmt: skip
    assert "no fallback model is declared or captured" in warned(fallback_models=())
    assert f"capture rag --model {HAIKU}`" in warned()


def test_models_that_cannot_be_distinguished_are_named_in_check(database_url: str) -> None:
    async def alike(connection: Any) -> None:
        epoch = await fingerprints.begin(connection, "rag", LLAMA, verified_by="operator")
        await run_capture(connection, epoch, LLAMA, by(SimulatedModel.LLAMA, 10, seed="baseline"))
        await run_capture(connection, epoch, HAIKU, by(SimulatedModel.LLAMA, 10, seed="other"))

    stored(database_url, alike)
    found = stored(database_url, lambda connection: coverage(connection, target()))
    (line,) = _covered(found)
    assert line.good is None
    gap = f"a fallback to {HAIKU} is not detected by name: the two models write too alike"
    assert gap in line.says


def test_before_anything_is_stored_check_says_so_too() -> None:
    (line,) = _covered(nothing_stored(target()))
    assert line.good is None
    assert line.says.startswith("no baseline is captured: a fallback is detected only if")


async def test_a_part_of_anothers_message_names_that_one(database: Database) -> None:
    opened_at = {"opened_at": NOON, "last_breach_at": NOON, "last_told_at": NOON, "value": 1.0,
                 "limit": 0.1, "because": "x"}  # fmt: skip
    key = Incident(rule="key", scope="openrouter", **opened_at)
    part = Incident(rule="fallback", scope="rag", part_of=key.key, **opened_at)
    async with database.begin() as connection:
        numbers = await incident_rows.save(connection, [key, part], [])
        (sentence,) = await suspicions(connection, target())
    seen = numbers[key.key]  # the number that people saw
    assert f"incident #{seen} (fallback, reported with key) is open" in sentence


def test_excerpts_are_of_different_queries_where_there_are_several() -> None:
    several = [AnswerText(query, f"{query}{nth}") for nth in range(3) for query in ("a", "b")]
    assert [a.text for a in baseline_accept._various(several)] == ["a2", "b2", "b1"]


def test_the_configuration_of_these_tests_is_one(home: Path) -> None:
    assert load().targets["rag"].fallback_models == (HAIKU,)
