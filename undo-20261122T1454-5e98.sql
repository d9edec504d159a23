-- dbopt undo {"format": 1, "dbname": "chaos_11", "system_identifier": "7711009173875520467"}
-- written at 2026-11-22T14:54:40Z by dbopt 0.1.0, before the indexes below were dropped
-- to make them again: dbopt optimize -d 'user=postgres dbname=chaos_11 host=/tmp/dbopt-mbmop0ib/socket port=5432' --undo 20261122T1454-5e98
-- or, outside a transaction and in UTF8: psql -f with this file

CREATE INDEX CONCURRENTLY accounts_nulls ON public.accounts USING btree (amount DESC NULLS LAST);
CREATE INDEX CONCURRENTLY orders_covering ON public.orders USING btree (word) INCLUDE (amount);
