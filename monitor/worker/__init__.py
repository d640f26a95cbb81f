"""The scheduled jobs of the worker. Jobs contain no logic: they connect pure judgement to I/O.

A job's only message to the next job is a row. Any job may be killed at any line and run again.
"""
