-- dbopt undo {"format": 1, "dbname": "chaos_20", "system_identifier": "7711009169368089425"}
-- written at 2026-11-22T14:55:30Z by dbopt 0.1.0, before the indexes below were dropped
-- to make them again: dbopt optimize -d 'user=postgres dbname=chaos_20 host=/tmp/dbopt-phhm1rqt/socket port=5432' --undo 20261122T1455-2d8d
-- or, outside a transaction and in UTF8: psql -f with this file

CREATE INDEX CONCURRENTLY items_tagged ON public.items USING gin (tags);
