"""Replay: rows in, the notifications they would have caused out, in virtual time.

The rules and the incident logic are those of the worker; time comes from the rows.
"""
