-- dbopt undo {"format": 1, "dbname": "chaos_7", "system_identifier": "7711009173875520467"}
-- written at 2026-11-22T14:54:17Z by dbopt 0.1.0, before the indexes below were dropped
-- to make them again: dbopt optimize -d 'user=postgres dbname=chaos_7 host=/tmp/dbopt-mbmop0ib/socket port=5432' --undo 20261122T1454-d9c4
-- or, outside a transaction and in UTF8: psql -f with this file

CREATE INDEX CONCURRENTLY items_plain ON public.items USING btree (tenant, amount DESC);
