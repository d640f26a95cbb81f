"""What would have been told: rows in, events out, in virtual time.

The rules and the incident logic are those of the worker, and time is the rows' own.
"""
