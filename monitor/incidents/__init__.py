"""Incidents: what verdicts make of them, and what of that is told to whom and when.

`plan` is pure and whole: the latest incident of each rule and scope, fresh verdicts, who is
muted, and the time go in; rows to write and notices to tell come out.
"""
