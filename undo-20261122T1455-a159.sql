-- dbopt undo {"format": 1, "dbname": "chaos_23", "system_identifier": "7711009173875520467"}
-- written at 2026-11-22T14:55:55Z by dbopt 0.1.0, before the indexes below were dropped
-- to make them again: dbopt optimize -d 'user=postgres dbname=chaos_23 host=/tmp/dbopt-mbmop0ib/socket port=5432' --undo 20261122T1455-a159
-- or, outside a transaction and in UTF8: psql -f with this file

CREATE INDEX CONCURRENTLY accounts_ranged ON public.accounts USING brin (at);
