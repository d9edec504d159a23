"""Problems of many kinds, planted in one schema of a database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helpers import wait_until
from psycopg.sql import SQL, Identifier

if TYPE_CHECKING:
    from server import Database

# What `plant` makes, by the check that is to find it with its own limits.
PLANTED = {
    "autovacuum-disabled": "half_dead",
    "constraint-not-valid": "orders",
    "dead-tuples": "half_dead",
    "duplicate-index": "orders",
    "foreign-key-without-index": "orders",
    "invalid-index": "orders",
    "sequence-exhaustion": "nearly_full",
}

_FAULTS = SQL(
    """
    CREATE SCHEMA {schema};
    CREATE TABLE {schema}.customers (id int PRIMARY KEY);
    INSERT INTO {schema}.customers SELECT i FROM generate_series(1, 1000) AS i;
    CREATE TABLE {schema}.orders (
        id int PRIMARY KEY, customer int REFERENCES {schema}.customers, amount int, note text
    );
    INSERT INTO {schema}.orders SELECT i, 1 + i % 1000, i, 'n' || i FROM generate_series(1, 20000) AS i;
    CREATE INDEX orders_amount ON {schema}.orders (amount);
    CREATE INDEX orders_amount_again ON {schema}.orders (amount);
    CREATE INDEX orders_invalid ON {schema}.orders (note, amount);
    UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{schema}.orders_invalid'::regclass;
    ALTER TABLE {schema}.orders ADD CONSTRAINT positive CHECK (amount > 0) NOT VALID;
    CREATE TABLE {schema}.nearly_full (id smallserial PRIMARY KEY);
    SELECT setval('{schema}.nearly_full_id_seq', 32000);
    CREATE TABLE {schema}.half_dead (id int PRIMARY KEY) WITH (autovacuum_enabled = false);
    INSERT INTO {schema}.half_dead SELECT i FROM generate_series(1, 40000) AS i;
    ANALYZE {schema}.customers, {schema}.orders, {schema}.half_dead, {schema}.nearly_full;
    """
)
_HALF = SQL("DELETE FROM {schema}.half_dead WHERE id % 2 = 0")


def plant(database: Database, schema: str = "faulty") -> None:
    name = Identifier(schema)
    database.sql(_FAULTS.format(schema=name).as_string())
    database.sql(_HALF.format(schema=name).as_string())
    dead = "SELECT n_dead_tup FROM pg_stat_user_tables WHERE schemaname = %s AND relname = 'half_dead'"
    wait_until(lambda: database.sql(dead, [schema]) == [(20000,)], "counting of dead tuples")
