"""What can be detected about a target's model, and current suspicions, in sentences."""

from collections.abc import Iterator

from monitor.domain import (
    Target,
)
from monitor.identity.fingerprint.profile import DetectionCoverage
from monitor.rules import RULES
from monitor.storage import (
    Connection,
    baseline_answers,
    fingerprints,
    incident_rows,
    observations,
)
from monitor.worker.identity_memory import profiled

NO_BASELINE = "no baseline is captured"


async def coverage(connection: Connection, target: Target) -> DetectionCoverage:
    """What the epoch in force and the stored answers make detectable."""
    discloses = await observations.discloses(connection, target.name)
    state = await fingerprints.state(connection, target.name)
    if state is None:
        return DetectionCoverage(
            target=target, profile=None, reason=NO_BASELINE, discloses=discloses
        )
    answers = await baseline_answers.answers(connection, state.epoch, target.queries)
    profile, reason = profiled(state.epoch, answers)
    return DetectionCoverage(target=target, profile=profile, reason=reason, discloses=discloses)


def nothing_stored(target: Target) -> DetectionCoverage:
    """What is detectable before anything was stored."""
    return DetectionCoverage(target=target, profile=None, reason=NO_BASELINE, discloses=None)


def sentences(found: DetectionCoverage) -> Iterator[str]:
    """What is detected, then what is not."""
    if detected := list(found.detected()):
        yield "detected:"
        yield from (f"  {sentence}" for sentence in detected)
    if gaps := list(found.gaps()):
        yield "not detected yet:"
        yield from (f"  {sentence}" for sentence in gaps)


async def suspicions(connection: Connection, target: Target) -> list[str]:
    """One sentence for each open incident that suggests another model is answering."""
    found = []
    suspecting = [name for name, rule in RULES.items() if rule.suspects_model]
    for incident in await incident_rows.open_ones(connection, target.name, suspecting):
        grouped = f", reported with {incident.part_of[0]}" if incident.part_of else ""
        since = incident.since or incident.opened_at
        found.append(
            f"incident #{incident.announced_as or incident.number} ({incident.rule}{grouped}) is "
            f"open since {since:%Y-%m-%d %H:%M} UTC: another model may be answering. Check the "
            "provider's key and the routing first; `monitor baseline capture "
            f"{target.name} --model NAME` stores its answers under its own name"
        )
    return found
