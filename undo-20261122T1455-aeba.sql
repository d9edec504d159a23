-- dbopt undo {"format": 1, "dbname": "chaos_16", "system_identifier": "7711009169368089425"}
-- written at 2026-11-22T14:55:05Z by dbopt 0.1.0, before the indexes below were dropped
-- to make them again: dbopt optimize -d 'user=postgres dbname=chaos_16 host=/tmp/dbopt-phhm1rqt/socket port=5432' --undo 20261122T1455-aeba
-- or, outside a transaction and in UTF8: psql -f with this file

CREATE INDEX CONCURRENTLY accounts_hashed ON public.accounts USING hash (word);
