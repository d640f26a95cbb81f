"""The latest incidents in the memory of the worker that evaluates.

Only those that were written since are read again: a thousand targets leave a thousand of them.
"""

from dataclasses import dataclass, field

from monitor.domain import Incident
from monitor.storage import Connection, incident_rows
from monitor.storage.incident_rows import RowVersion


@dataclass(slots=True)
class IncidentMemory:
    """What is known of each incident, by its number."""

    _known: dict[int, tuple[RowVersion, Incident]] = field(default_factory=dict)

    async def latest(self, connection: Connection) -> tuple[Incident, ...]:
        """The latest incident of every rule and scope, as they are stored now."""
        versions = await incident_rows.latest_versions(connection)
        known = self._known
        same = {
            version.number: known[version.number]
            for version in versions
            if version.number in known and known[version.number][0] == version
        }
        written = {version.number: version for version in versions if version.number not in same}
        if written:
            for incident in await incident_rows.of_numbers(connection, list(written)):
                if incident.number is not None:
                    same[incident.number] = written[incident.number], incident
        self._known = same
        return tuple(same[version.number][1] for version in versions)
