"""Incidents: how verdicts change them, and which notices that causes.

`plan` is pure and whole: the latest incident of each rule and scope, fresh verdicts, who is
muted, and the time go in; rows to write and notices to send come out.
"""
