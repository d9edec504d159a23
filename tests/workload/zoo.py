"""Statements of all kinds, with values in them, and the tables that they are about."""

from __future__ import annotations

TABLES = """
CREATE SCHEMA app;
CREATE TYPE app.mood AS ENUM ('sad', 'ok', 'happy');
CREATE TABLE title (id int PRIMARY KEY, title text, production_year int, kind_id int, episode_of_id int);
CREATE TABLE kind_type (id int PRIMARY KEY, kind text);
CREATE TABLE movie_info (id int, movie_id int, info_type_id int, info text, note text);
CREATE TABLE info_type (id int PRIMARY KEY, info text);
CREATE TABLE movie_companies (id int, movie_id int, company_id int, company_type_id int, note text);
CREATE TABLE company_name (id int PRIMARY KEY, name text, country_code text);
CREATE TABLE company_type (id int PRIMARY KEY, kind text);
CREATE TABLE cast_info (id int, person_id int, movie_id int, person_role_id int, note text, role_id int);
CREATE TABLE name (id int PRIMARY KEY, name text, gender text);
CREATE TABLE role_type (id int PRIMARY KEY, role text);
CREATE TABLE movie_keyword (id int, movie_id int, keyword_id int);
CREATE TABLE keyword (id int PRIMARY KEY, keyword text);
CREATE TABLE lineitem (l_orderkey int, l_partkey int, l_suppkey int, l_quantity numeric(15,2), l_discount numeric(15,2),
    l_extendedprice numeric(15,2), l_tax numeric(15,2), l_returnflag char(1), l_linestatus char(1), l_shipdate date,
    l_commitdate date, l_receiptdate date, l_shipmode char(10));
CREATE TABLE orders (o_orderkey int PRIMARY KEY, o_custkey int, o_orderdate date, o_orderpriority char(15),
    o_totalprice numeric(15,2), o_comment text);
CREATE TABLE customer (c_custkey int PRIMARY KEY, c_name text, c_phone char(15), c_acctbal numeric(15,2),
    c_nationkey int);
CREATE TABLE nation (n_nationkey int PRIMARY KEY, n_name char(25));
CREATE TABLE part (p_partkey int PRIMARY KEY, p_type text, p_brand char(10), p_size int);
CREATE TABLE pgbench_accounts (aid int PRIMARY KEY, bid int, abalance int, filler char(84));
CREATE TABLE pgbench_history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22));
CREATE TABLE events (id bigserial PRIMARY KEY, at timestamptz, kind text, payload jsonb, tags text[], feeling app.mood,
    host inet, amount numeric(10,2), parent_id bigint);
CREATE UNIQUE INDEX ON events (kind, at);
CREATE TABLE app."Odd name" ("Id" int PRIMARY KEY, "value" text, "select" int);
CREATE TABLE jobs (id serial PRIMARY KEY, state text, run_at timestamptz, payload json);
"""

STATEMENTS = (
    # As the Join Order Benchmark has them.
    """SELECT MIN(cn.name) AS company, MIN(t.title) AS movie, MIN(n.name) AS person
         FROM company_name AS cn, company_type AS ct, keyword AS k, movie_companies AS mc, movie_keyword AS mk,
              title AS t, kind_type AS kt, cast_info AS ci, name AS n, role_type AS rt
        WHERE cn.country_code = '[us]' AND ct.kind = 'production companies' AND k.keyword IN ('sequel', 'superhero')
          AND mc.note NOT LIKE '%(TV)%' AND mc.note NOT LIKE '%(as Zq)%' AND t.production_year BETWEEN 1950 AND 2000
          AND kt.kind = 'movie' AND n.gender = 'f' AND rt.role = 'actress' AND ci.note IN ('(voice)', '(v)')
          AND t.id = mk.movie_id AND t.id = mc.movie_id AND t.id = ci.movie_id AND k.id = mk.keyword_id
          AND cn.id = mc.company_id AND ct.id = mc.company_type_id AND kt.id = t.kind_id AND n.id = ci.person_id
          AND rt.id = ci.role_id""",
    """SELECT MIN(mi.info), MIN(t.title) FROM info_type AS it, movie_info AS mi, title AS t
        WHERE it.info = 'rating' AND mi.info > '5.0' AND (mi.info LIKE 'USA:% 199%' OR mi.info ILIKE 'x%')
          AND t.title <> '' AND t.id = mi.movie_id AND it.id = mi.info_type_id AND mi.note IS NULL""",
    # As TPC-H has them.
    """select l_returnflag, l_linestatus, sum(l_quantity) as sum_qty, avg(l_discount),
              sum(l_extendedprice * (1 - l_discount) * (1 + l_tax)) as sum_charge, count(*) as count_order
         from lineitem where l_shipdate <= date '1998-12-01' - interval '90' day
        group by l_returnflag, l_linestatus order by l_returnflag, l_linestatus""",
    """select o_orderpriority, count(*) from orders
        where o_orderdate >= date '1993-07-01' and o_orderdate < date '1993-07-01' + interval '3' month
          and exists (select * from lineitem where l_orderkey = o_orderkey and l_commitdate < l_receiptdate)
        group by o_orderpriority order by o_orderpriority limit 10""",
    """select nation, o_year, sum(amount) as sum_profit
         from (select n_name as nation, extract(year from o_orderdate) as o_year,
                      l_extendedprice * (1 - l_discount) as amount
                 from lineitem, orders, customer, nation
                where o_orderkey = l_orderkey and c_custkey = o_custkey and c_nationkey = n_nationkey
                  and n_name like '%green%'
              ) as profit
        group by nation, o_year order by nation, o_year desc""",
    """select sum(case when p_type like 'PROMO%' then l_extendedprice * (1 - l_discount) else 0 end) * 100.00
              / sum(l_extendedprice)
         from lineitem, part where l_partkey = p_partkey and l_shipdate >= date '1995-09-01'""",
    """select cntrycode, count(*), sum(c_acctbal)
         from (select substring(c_phone from 1 for 2) as cntrycode, c_acctbal from customer
                where substring(c_phone from 1 for 2) in ('13', '31', '23')
                  and c_acctbal > (select avg(c_acctbal) from customer where c_acctbal > 0.00)) as custsale
        group by cntrycode order by cntrycode""",
    """select l_shipmode, sum(case when o_orderpriority = '1-URGENT' or o_orderpriority = '2-HIGH' then 1 else 0 end)
         from orders, lineitem where o_orderkey = l_orderkey and l_shipmode in ('MAIL', 'SHIP')
        group by l_shipmode having sum(l_quantity) > 300""",
    "select * from part where p_brand <> 'Brand#45' and p_type not like 'MEDIUM%' and p_size in (49, 14, 23)",
    "select extract(epoch from at), extract('month' from at), date_part('hour', at) from events",
    # pgbench
    "UPDATE pgbench_accounts SET abalance = abalance + -4711 WHERE aid = 4712",
    "SELECT abalance FROM pgbench_accounts WHERE aid = 4712",
    "INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (1, 2, 3, -5, CURRENT_TIMESTAMP)",
    # Writing
    "INSERT INTO keyword (id, keyword) VALUES (1, 'a'), (2, 'b'), (3, 'c') ON CONFLICT DO NOTHING",
    """INSERT INTO keyword AS k (id, keyword) VALUES (9, 'nine') ON CONFLICT (id)
       DO UPDATE SET keyword = EXCLUDED.keyword || '-again' WHERE k.keyword <> 'x' RETURNING id, 'Zq'""",
    "INSERT INTO events (at, kind, payload, tags) SELECT now(), 'copied', payload, tags FROM events WHERE id < 100",
    "INSERT INTO jobs DEFAULT VALUES",
    "INSERT INTO events (feeling, host) VALUES ('happy', '10.0.0.1')",
    "UPDATE orders SET o_comment = 'x', o_totalprice = o_totalprice * 1.1 FROM customer WHERE c_custkey = o_custkey",
    "UPDATE jobs SET (state, run_at) = ('done', now() + interval '5 minutes') WHERE id = 5 RETURNING *",
    "DELETE FROM orders USING customer WHERE c_custkey = o_custkey AND c_name = 'nobody'",
    "DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE run_at < now() - '30 days'::interval LIMIT 500)",
    """WITH moved AS (DELETE FROM jobs WHERE state = 'done' RETURNING *)
       INSERT INTO events (at, kind, payload) SELECT run_at, 'job', payload::jsonb FROM moved""",
    # Queues
    "SELECT id, payload FROM jobs WHERE state = 'new' ORDER BY run_at, id LIMIT 1 FOR UPDATE SKIP LOCKED",
    "SELECT * FROM jobs j WHERE j.state = 'new' FOR NO KEY UPDATE OF j NOWAIT",
    # Windows, grouping, sets
    """SELECT kind, at, row_number() OVER (PARTITION BY kind ORDER BY at DESC), lag(amount, 2, 0.5) OVER w,
              sum(amount) OVER (ORDER BY at ROWS BETWEEN 5 PRECEDING AND CURRENT ROW)
         FROM events WINDOW w AS (PARTITION BY kind, date_trunc('day', at) ORDER BY id)""",
    "SELECT sum(amount) OVER (ORDER BY at RANGE BETWEEN '1 day' PRECEDING AND '2 days' FOLLOWING) FROM events",
    "SELECT kind, feeling, count(*) FILTER (WHERE id > 10) FROM events GROUP BY GROUPING SETS ((kind), (feeling), ())",
    "SELECT kind, grouping(kind), sum(id) FROM events GROUP BY ROLLUP (kind) HAVING sum(id) > 1000 ORDER BY 3 DESC",
    "SELECT date_trunc('month', at), 1 FROM events GROUP BY date_trunc('month', at) ORDER BY date_trunc('month', at)",
    "SELECT date_trunc('month', at) AS m, sum(count(*)) OVER (ORDER BY date_trunc('month', at)) FROM events GROUP BY 1",
    """SELECT date_trunc('month', at), sum(count(*)) OVER (ORDER BY date_trunc('month', at)) FROM events
        GROUP BY date_trunc('month', at)""",
    """SELECT date_trunc('day', at), date_trunc('week', at), count(*) FROM events
        GROUP BY date_trunc('day', at), date_trunc('week', at) ORDER BY date_trunc('week', at) DESC NULLS LAST""",
    """SELECT CASE WHEN amount > 100 THEN 'big' ELSE 'small' END, count(*) FROM events
        GROUP BY CASE WHEN amount > 100 THEN 'big' ELSE 'small' END""",
    "SELECT COALESCE(kind, 'none'), max(amount) FROM events GROUP BY COALESCE(kind, 'none')",
    "SELECT DISTINCT amount * 2 AS twice FROM events ORDER BY amount * 2",
    "SELECT DISTINCT ON (lower(kind) || 'x') id FROM events ORDER BY lower(kind) || 'x', at DESC",
    "SELECT id FROM jobs WHERE state = 'a' UNION ALL SELECT id FROM jobs WHERE state = 'b' ORDER BY 1 LIMIT 5 OFFSET 9",
    "(SELECT 1 AS a) EXCEPT (SELECT 2) INTERSECT SELECT 3",
    "SELECT percentile_cont(0.95) WITHIN GROUP (ORDER BY amount), mode() WITHIN GROUP (ORDER BY kind) FROM events",
    "SELECT string_agg(kind, ', ' ORDER BY at DESC), array_agg(DISTINCT kind) FROM events WHERE amount >= 0",
    # Joins
    "SELECT e.id, l.id FROM events e LEFT JOIN LATERAL (SELECT id FROM jobs WHERE state = e.kind LIMIT 3) l ON true",
    "SELECT * FROM events e JOIN generate_series(1, 10) AS g(n) ON g.n = e.id CROSS JOIN unnest(ARRAY[1,2,3]) u(x)",
    "SELECT * FROM title NATURAL JOIN kind_type FULL JOIN info_type USING (id) WHERE kind = 'movie'",
    "SELECT * FROM (VALUES (1, 'one'), (2, 'two')) AS v(n, word) WHERE n > 1",
    "SELECT a.id FROM events a, events b WHERE a.parent_id = b.id AND NOT EXISTS (SELECT 1 FROM events WHERE id = 7)",
    # WITH
    """WITH RECURSIVE tree(id, depth) AS (SELECT id, 0 FROM events WHERE parent_id = 1
         UNION ALL SELECT e.id, t.depth + 1 FROM events e JOIN tree t ON e.parent_id = t.id WHERE t.depth < 10)
       SELECT depth, count(*) FROM tree GROUP BY depth""",
    "WITH a AS MATERIALIZED (SELECT 5 AS x), b AS (SELECT x + 1 AS y FROM a) SELECT * FROM a, b WHERE y > 3",
    # JSON, arrays
    "SELECT payload->>'name', payload #>> '{a,b}', payload @> '{\"k\": 1}' FROM events WHERE payload ? 'k'",
    "SELECT id FROM events WHERE payload ?| array['a', 'b'] OR payload ?& ARRAY['c'] OR payload @? '$.a[*]'",
    "SELECT jsonb_build_object('k', kind, 'n', 5), payload->0, payload->'a'->>'b' FROM events",
    "SELECT id FROM events WHERE tags @> ARRAY['x'] AND 'y' = ANY (tags) AND tags[1] = 'z' AND tags[1:2] IS NOT NULL",
    "SELECT id FROM events WHERE id = ANY ('{1,2,3}'::bigint[]) OR id = ANY (ARRAY[4, 5])",
    "SELECT id FROM events WHERE id IN (1, 2, 3, 4, 5, 6, 7, 8) AND (id, kind) IN ((1, 'a'), (2, 'b'))",
    "SELECT elem FROM events, jsonb_array_elements_text(payload->'list') WITH ORDINALITY AS t(elem, n) WHERE n < 4",
    # Casts, constants
    "SELECT '5'::int, CAST('5' AS numeric(10, 2)), int8 '7', 'a'::text COLLATE \"C\", 5::varchar(10)",
    "SELECT timestamp with time zone '2020-01-01', time(3) '10:00', double precision '1.5', interval(3) '1 day'",
    "SELECT interval '1-2' year to month, interval '5' second(3), date'2020-01-01' + interval'1 day'",
    "SELECT at AT TIME ZONE 'UTC', at AT TIME ZONE interval '2 hours' FROM events WHERE at > timestamptz '2020-01-01'",
    "SELECT bool 't', \"char\" 'x', pg_catalog.date '2020-01-01', app.mood 'happy', character varying(5) 'abc'",
    "SELECT E'a\\nb', U&'d\\0061t', $$dollar$$, $t$tagged 'x'$t$, B'101', X'1F', 1e5, .5, 10000000000",
    "SELECT N'abc', U&'d!0061t' UESCAPE '!', TRUE, NULL, -5, - 5, +5, 5 - 3, amount*-5 FROM events",
    "SELECT'Zq'FROM events WHERE kind LIKE'Zq%'AND amount BETWEEN 1 AND 2 AND kind='Zq'AND id<5",
    "SELECT position('a' in kind), trim(both 'x' from kind), overlay(kind placing 'z' from 2 for 1) FROM events",
    "SELECT kind LIKE 'a!%' ESCAPE '!', kind SIMILAR TO '(a|b)%', kind ~* '^x\\d+$', nullif(kind, '') FROM events",
    "SELECT * FROM events TABLESAMPLE bernoulli (10) REPEATABLE (5)",
    "SELECT id FROM events ORDER BY at FETCH FIRST 5 ROWS ONLY",
    "SELECT id FROM events WHERE amount = 5 /* tag='Zq' */ -- and 'Zq'\n AND kind = 'x'",
    "SELECT 5 IS DISTINCT FROM 6, 5 BETWEEN SYMMETRIC 7 AND 1, ROW(1, 2) = ROW(1, 3), (ARRAY[1, 2])[1]",
    # Names
    'SELECT "Id", "value" FROM app."Odd name" AS "Der ""Alias""" WHERE "select" = 5 AND "value" = \'grün ☃\'',
    'SELECT "o"."Id" FROM "app"."Odd name" "o" GROUP BY "o"."Id" HAVING count(*) > 1 ORDER BY 1',
    "SELECT 'ü' AS größe, kind AS \"gr  öße\" FROM events WHERE kind = 'ß' AND amount > 5",
    "TABLE keyword",
    "VALUES (1, 'a'), (2, 'b')",
)
SINCE_15 = (
    """MERGE INTO keyword k USING (VALUES (1, 'Zq')) AS v(id, word) ON k.id = v.id AND v.word <> 'y'
       WHEN MATCHED AND k.keyword = 'x' THEN DELETE
       WHEN MATCHED THEN UPDATE SET keyword = v.word || '!'
       WHEN NOT MATCHED THEN INSERT VALUES (v.id, 'new')""",
)
