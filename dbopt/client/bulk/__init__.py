"""Many rows inserted or updated at once.

upsert.py     the operation: batches, transactions, counts
rows.py       the input, row by row, and what each column gets
target.py     the table as the catalog knows it: types, unique keys
values.py     values as the server reads them
stage.py      arrays for few rows, COPY into a temporary table for many
statement.py  the INSERT ... ON CONFLICT
search.py     which row of the input an error is about
"""
