"""Statements: which cost most, how they are planned, what is wrong with that, what would help."""
