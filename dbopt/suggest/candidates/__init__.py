"""The indexes that could help a statement: from what it asks of each table, as somebody who knows would write them."""
