"""What the worker does on schedule. Jobs hold no logic: they glue pure judgement to the edges.

A job's only message to the next job is a row. Any job may be killed at any line and run again.
"""
