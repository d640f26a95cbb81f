"""Incidents: what verdicts make of them, and what of that is told to whom and when.

`plan` is pure and whole: the latest incident of each rule and scope, fresh verdicts, who is
muted, and the time go in; rows to write and notices to tell come out.
"""

from monitor.incidents.notices import CAUSES
from monitor.incidents.planner import IncidentStep, plan
from monitor.incidents.silences import MaintenanceWindow, Mute, Silence, abandoned, is_silenced
from monitor.incidents.state_machine import IncidentChange, ReminderPolicy, advance

__all__ = [
    "CAUSES",
    "IncidentChange",
    "IncidentStep",
    "MaintenanceWindow",
    "Mute",
    "ReminderPolicy",
    "Silence",
    "abandoned",
    "advance",
    "is_silenced",
    "plan",
]
