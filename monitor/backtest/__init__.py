"""What would have been told: rows in, events out, in virtual time.

The rules and the incident logic are those of the worker, and time is the rows' own.
"""

from monitor.backtest.input_rows import BacktestRow, BadBacktestRow, rows
from monitor.backtest.replay import BacktestEvent, Replay, as_json, replay

__all__ = ["BacktestEvent", "BacktestRow", "BadBacktestRow", "Replay", "as_json", "replay", "rows"]
