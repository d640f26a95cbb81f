"""Incidents: how verdicts change them, and which notices result.

`plan` is a pure function of the latest incident of each rule and scope, the new verdicts, the
silences in force and the time. It returns the rows to write and the notices to send.
"""
