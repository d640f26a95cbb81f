"""Who answered: model names, what a response discloses and says, and the verdict on both."""

from monitor.identity.accounting import Accounts
from monitor.identity.asked import asks_who
from monitor.identity.claims import Declared
from monitor.identity.names import Name, parse, same
from monitor.identity.selfid import SelfClaim, claimed, prepare
from monitor.identity.standing import Standing, recalled
from monitor.identity.switch import Switch, switched
from monitor.identity.verdict import judge

__all__ = [
    "Accounts",
    "Declared",
    "Name",
    "SelfClaim",
    "Standing",
    "Switch",
    "asks_who",
    "claimed",
    "judge",
    "parse",
    "prepare",
    "recalled",
    "same",
    "switched",
]
