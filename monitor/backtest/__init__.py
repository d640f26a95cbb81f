"""What would have been told: rows in, events out, in virtual time.

The rules and the incident logic are those of the worker, and time is the rows' own.
"""

from monitor.backtest.events import Event, as_json
from monitor.backtest.replay import Replay, replay
from monitor.backtest.rows import BadRow, Row, rows

__all__ = ["BadRow", "Event", "Replay", "Row", "as_json", "replay", "rows"]
