"""What a statement asks of each table: which rows, in which order, which columns."""
