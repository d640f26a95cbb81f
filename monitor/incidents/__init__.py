"""Incidents: what verdicts make of them, and what of that is told to whom and when.

`plan` is pure and whole: the latest incident of each rule and scope, fresh verdicts, who is
muted, and the time go in; rows to write and notices to tell come out.
"""

from monitor.incidents.abandoned import abandoned
from monitor.incidents.plan import Step, plan
from monitor.incidents.silence import Maintenance, Mute, Silence, silent
from monitor.incidents.states import Change, Policy, advance
from monitor.incidents.stories import CAUSES

__all__ = [
    "CAUSES",
    "Change",
    "Maintenance",
    "Mute",
    "Policy",
    "Silence",
    "Step",
    "abandoned",
    "advance",
    "plan",
    "silent",
]
