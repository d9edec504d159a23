"""Figures over time, from the intervals that the store keeps. Pure: `dbopt/store/chronicle.py` reads them.

series.of_metric(...)         a figure of `dbopt.metrics`, point by point
statement.of_statement(...)   what one statement did
table.of_table(...)           how a table grew and was read
"""
