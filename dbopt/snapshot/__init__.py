"""What the server's counters say at one moment, and what they did between two.

    collect.collect(conn, FAMILIES) -> Snapshot      I/O: each family of counters as a Part
    delta.between(before, now)      -> Interval      pure: right over resets, evictions, restarts and failovers
    delta.total(intervals)          -> Interval      intervals add up, so a window is their sum

`dbopt/store/snapshots.py` keeps the last Part of each family and the intervals between them.
"""
