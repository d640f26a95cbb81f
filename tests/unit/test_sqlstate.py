"""What each class of error of Postgres means for us."""

import psycopg
import pytest
from psycopg import errors
from sqlalchemy.exc import DBAPIError

from monitor.storage.engine import DatabaseBusy, DatabaseUnavailable, unavailable
from monitor.storage.pool import Meaning, meaning
from tests.case_tables import each

STATES = {
    Meaning.LOST: "08000 08001 08003 08004 08006 08P01 25006 25P03 57P01 57P02 57P03 57P04 57P05 "
                  "58000 58030 58P01 F0000 XX000 XX001",
    Meaning.BUSY: "40000 40001 40003 40P01 55006 55P03 57014",
    Meaning.UNAVAILABLE: "53000 53100 53200 53300 53400 57000",
    Meaning.WRONG_ADDRESS: "28000 28P01 3D000",
    Meaning.BUG: "22003 22P02 23505 23514 25P02 26000 40002 42501 42601 42703 42P01 42P18 0A000 "
                 "P0001",
}  # fmt: skip


def error(state: str) -> DBAPIError:
    raised = errors.lookup(state)("no. password=secret")
    return DBAPIError.instance("SELECT 1", None, raised, psycopg.Error)  # type: ignore[return-value]


@each(
    ("state", "expected"),
    [(state, kind) for kind, states in STATES.items() for state in states.split()],
)
def test_a_state_means(state: str, expected: Meaning) -> None:
    assert meaning(error(state)) is expected
    found = unavailable(error(state))
    assert (found is None) == (expected is Meaning.BUG)
    assert isinstance(found, DatabaseBusy) == (expected is Meaning.BUSY)
    assert (
        isinstance(found, DatabaseUnavailable) and found.final
        if expected is Meaning.WRONG_ADDRESS
        else True
    )


def test_every_state_psycopg_knows_has_a_meaning() -> None:
    from psycopg.errors import _sqlcodes

    assert len(_sqlcodes) > 200
    assert {meaning(error(state)) for state in _sqlcodes} == set(Meaning)


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        (psycopg.OperationalError, "server closed the connection unexpectedly", Meaning.LOST),
        (psycopg.OperationalError, "connection timeout expired", Meaning.LOST),
        (psycopg.InterfaceError, "the connection is closed", Meaning.LOST),
        (psycopg.OperationalError, 'FATAL:  database "x" does not exist', Meaning.WRONG_ADDRESS),
        (psycopg.OperationalError, "password authentication failed", Meaning.WRONG_ADDRESS),
        (psycopg.OperationalError, "pg_hba.conf rejects connection", Meaning.WRONG_ADDRESS),
        (psycopg.OperationalError, 'role "x" is not permitted to log in', Meaning.WRONG_ADDRESS),
        (psycopg.OperationalError, "server does not support SSL, but", Meaning.WRONG_ADDRESS),
        (psycopg.OperationalError, "sorry, too many clients already", Meaning.UNAVAILABLE),
        (psycopg.OperationalError, 'too many connections for role "x"', Meaning.UNAVAILABLE),
        (psycopg.ProgrammingError, "the query has 1 placeholder", Meaning.BUG),
    ],
)
def test_without_a_state_the_words_count(
    kind: type[psycopg.Error], text: str, expected: Meaning
) -> None:
    raised = DBAPIError.instance("SELECT 1", None, kind(text), psycopg.Error)
    assert isinstance(raised, DBAPIError)
    assert meaning(raised) is expected
