"""What an error of Postgres means for us, by its SQLSTATE.

Source: www.postgresql.org/docs/current/errcodes-appendix.html
"""

from enum import Enum

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError


class Meaning(Enum):
    """What to do about an error. Everything but a bug is expected trouble."""

    BUG = "the statement or its data are at fault: raise it"
    BUSY = "a lock, a deadlock or a time limit: the server is well, try again later"
    UNAVAILABLE = "the server cannot serve us now"
    LOST = "the same, and no connection that is open to it may be used again"
    WRONG_ADDRESS = "waiting will not help: the address or the log-in is wrong"


# The longest prefix counts. What stands nowhere is a bug.
_MEANINGS = {
    "08": Meaning.LOST,  # connection exception; poolers report a lost server as 08P01
    "25006": Meaning.LOST,  # read-only transaction: after a failover the server is a standby
    "25P03": Meaning.LOST,  # idle_in_transaction_session_timeout: we were suspended
    "25P04": Meaning.LOST,  # transaction_timeout
    "28": Meaning.WRONG_ADDRESS,  # invalid authorization
    "3D": Meaning.WRONG_ADDRESS,  # no such database
    "40": Meaning.BUSY,  # rolled back: serialization, deadlock, conflict with recovery
    "40002": Meaning.BUG,  # integrity constraint violation
    "53": Meaning.UNAVAILABLE,  # disk full, out of memory, too many connections
    "55006": Meaning.BUSY,  # object in use
    "55P03": Meaning.BUSY,  # lock not available
    "57": Meaning.UNAVAILABLE,  # operator intervention
    "57014": Meaning.BUSY,  # query canceled: statement_timeout
    "57P": Meaning.LOST,  # shutting down, crashed, starting up, database dropped, idle too long
    "58": Meaning.LOST,  # system error outside Postgres itself
    "F0": Meaning.LOST,  # its configuration file is at fault
    "XX": Meaning.LOST,  # internal error, data corrupted
}
# A refused log-in carries no SQLSTATE through libpq: only its words tell it from silence.
_WRONG_ADDRESS = (
    "password authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "does not exist",
    "invalid connection option",
)


def meaning(error: DBAPIError) -> Meaning:
    """What an error of the server, or of the connection to it, means."""
    state: str | None = getattr(error.orig, "sqlstate", None)
    if state is None:
        if not isinstance(error, OperationalError | InterfaceError):
            return Meaning.BUG
        text = str(error.orig)
        wrong = any(sign in text for sign in _WRONG_ADDRESS)
        return Meaning.WRONG_ADDRESS if wrong else Meaning.LOST
    known = (_MEANINGS.get(state[:length]) for length in (5, 3, 2))
    return next((found for found in known if found is not None), Meaning.BUG)
