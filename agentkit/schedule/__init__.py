"""When workflows start by themselves: what is due, what was missed, what has arrived.

It knows no workflow and no journal: what to start is handed in, and so is where fires are on
record.

triggers   cron, every, at: a value that tells its next due time
planner    what is due now, and what becomes of what was missed: a pure function
dispatch   a decision is on record before its run begins, and begins once
files      what lies in a folder, and has come to rest
hooks      whether a webhook is what it says, and was not seen before
scheduler  the one place that sleeps
"""
