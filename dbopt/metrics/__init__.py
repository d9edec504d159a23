"""What the counters mean: rates, ratios and latencies over a window of time.

window.Window           one Interval a family: two readings compared, or the sum of many
metric.Metric           a figure: its name, unit, meaning, target and alert, and how it comes from a Window
catalogue.METRICS       all of them by name; `dbopt history metric NAME` and the report read the same
"""
