"""`monitor baseline accept` and `revert`: a person decides which answers are the baseline.

If the answers of a fallback became the baseline, the monitor could no longer detect it. So `accept`
shows what it would store, asks for confirmation, and refuses if there is evidence of another model.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from monitor.cli.baseline import chosen_target, in_database, print_line
from monitor.cli.detection_summary import suspicions
from monitor.cli.startup import BAD_INPUT, configuration, stop
from monitor.domain import Target
from monitor.identity.fingerprint.features import AnswerText
from monitor.identity.fingerprint.match import resembling
from monitor.identity.fingerprint.profile import ENOUGH_ANSWERS
from monitor.redaction import plain, redact
from monitor.storage import Connection, Database, baseline_answers, fingerprints
from monitor.storage.fingerprints import BaselineEpoch
from monitor.worker.identity_memory import profiled

EXCERPTS, EXCERPT = 3, 200  # answers shown, and characters of each


@dataclass(frozen=True, slots=True)
class BaselineCandidate:
    """The proposed baseline. `objections`: one sentence each; empty: none."""

    epoch: BaselineEpoch
    answers: Sequence[AnswerText]
    objections: Sequence[str]


def accept(target: str | None, *, note: str, yes: bool) -> None:
    """Make the answers held since a change the baseline of a new epoch; the old one is kept.

    Without `yes`, exit status 2 without a change if there is an objection or no terminal.
    """
    settings = configuration(without_secrets=True)
    chosen = chosen_target(settings, target)

    async def read(database: Database) -> BaselineCandidate:
        async with database.begin() as connection:
            return await _candidate(connection, chosen)

    async def adopt(database: Database) -> tuple[BaselineEpoch, int]:
        async with database.begin() as connection:
            await fingerprints.all_epochs(connection, chosen.name, lock=True)
            now = await _candidate(connection, chosen)
            if now.epoch != shown.epoch or (now.objections and not yes):
                stop(
                    "nothing was accepted: the baseline or an incident changed in the meantime. "
                    "Run the command again"
                )
            new = await fingerprints.begin(
                connection, chosen.name, now.epoch.model, verified_by="operator", note=note
            )
            adopted = await baseline_answers.adopt(connection, now.epoch, new)
            if adopted < ENOUGH_ANSWERS:  # the worker released the held answers in the meantime
                stop(
                    "nothing was accepted: the change has ended and no unassigned answers are left"
                )
            await fingerprints.restart(connection, new)
            return new, adopted

    shown = in_database(settings, read)
    print_line(
        f"{chosen.name}: {len(shown.answers)} answers since the change would become the "
        f"baseline of {shown.epoch.model}. {EXCERPTS} of them:"
    )
    for answer in _various(shown.answers):
        print_line(f"  {answer.query}: {plain(redact(answer.text, settings.secrets), EXCERPT)}")
    if not yes:
        _permitted(shown)
    epoch, adopted = in_database(settings, adopt)
    print_line(
        f"epoch {epoch.number} of {chosen.name}: {adopted} answers are the baseline of "
        f"{epoch.model}. To undo this: `monitor baseline revert {chosen.name}`"
    )


def _no_baseline(name: str) -> str:
    return f'target "{name}" has no baseline: run `monitor baseline capture {name}` first'


async def _candidate(connection: Connection, target: Target) -> BaselineCandidate:
    found = await fingerprints.epochs(connection, target.name)
    if not found:
        stop(_no_baseline(target.name))
    epoch = found[0]
    held = await baseline_answers.held(connection, epoch)
    if len(held) < ENOUGH_ANSWERS:
        stop(
            f"{len(held)} of {ENOUGH_ANSWERS} required answers since the change are stored: "
            "wait for more probes"
        )
    objections = await suspicions(connection, target)
    known = await baseline_answers.answers(connection, epoch, target.queries)
    profile, _ = profiled(epoch, known)
    if profile is not None:
        objections += [
            f"{count} of the {len(held)} answers match the captured answers of {model}"
            for model, count in resembling(profile, held).items()
        ]
    return BaselineCandidate(epoch, held, objections)


def _permitted(shown: BaselineCandidate) -> None:
    """Return if a person agrees; otherwise end the command."""
    if shown.objections:
        listed = "".join(f"\n  - {sentence}" for sentence in shown.objections)
        stop(
            f"nothing was accepted:{listed}\nThe monitor would treat that model as "
            f"{shown.epoch.model} from now on. If the service was changed on purpose, repeat "
            "with --yes",
            BAD_INPUT,
        )
    if not sys.stdin.isatty():
        stop(
            "nothing was accepted: there is no terminal for the question. Read the answers above, "
            "then repeat with --yes",
            BAD_INPUT,
        )
    try:
        answer = input(f"Did {shown.epoch.model} write these answers? [y/N] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        stop("nothing was accepted")


def _various(answers: Sequence[AnswerText]) -> Sequence[AnswerText]:
    """A few of the latest answers, to different queries if possible."""
    latest_first = list(reversed(answers))
    first_of = list({answer.query: answer for answer in answers}.values())
    others = [answer for answer in latest_first if answer not in first_of]
    return [*first_of, *others][:EXCERPTS]


def revert(target: str | None, *, to: int | None) -> None:
    """Put the epoch before the current one, or epoch `to`, in force again.

    Nothing captured is deleted. Without `to`, a second call changes nothing.
    """
    settings = configuration(without_secrets=True)
    chosen = chosen_target(settings, target)

    async def turn(database: Database) -> str:
        async with database.begin() as connection:
            known = await fingerprints.all_epochs(connection, chosen.name, lock=True)
            in_force = next((epoch for epoch in known if epoch.reverted_at is None), None)
            if in_force is None:
                stop(_no_baseline(chosen.name))
            wanted = _wanted(known, in_force, to, chosen.name)
            if wanted is None or wanted.number == in_force.number:
                return _nothing_to_do(known, in_force, chosen.name)
            await fingerprints.put_in_force(connection, wanted)
            await fingerprints.restart(connection, wanted)
            return (
                f"epoch {wanted.number} of {chosen.name} is in force again "
                f"({wanted.model}, captured {wanted.began_at:%Y-%m-%d %H:%M} UTC) instead of "
                f"epoch {in_force.number}. Answers are judged from the start again. To undo "
                f"this: `monitor baseline revert {chosen.name} --to {in_force.number}`"
            )

    print_line(in_database(settings, turn))


def _wanted(
    known: Sequence[BaselineEpoch], in_force: BaselineEpoch, to: int | None, target: str
) -> BaselineEpoch | None:
    """The epoch to put in force; None if the latest one has already been reverted."""
    if to is not None:
        found = next((epoch for epoch in known if epoch.number == to), None)
        if found is None:
            numbers = ", ".join(str(epoch.number) for epoch in reversed(known))
            stop(f'target "{target}" has no epoch {to}; known: {numbers}', BAD_INPUT)
        return found
    if known[0].reverted_at is not None:
        return None
    earlier = [epoch for epoch in known if epoch.reverted_at is None and epoch != in_force]
    if not earlier:
        stop(
            f"epoch {in_force.number} is the first baseline of {target}: there is no earlier one "
            "to go back to",
            BAD_INPUT,
        )
    return earlier[0]


def _nothing_to_do(known: Sequence[BaselineEpoch], in_force: BaselineEpoch, target: str) -> str:
    reported = f"epoch {in_force.number} of {target} is in force already: nothing to do"
    if (latest := known[0]).reverted_at is not None:
        reported += (
            f". Epoch {latest.number} was reverted at {latest.reverted_at:%Y-%m-%d %H:%M} "
            f"UTC; `monitor baseline revert {target} --to {latest.number}` puts it in force"
        )
    return reported
