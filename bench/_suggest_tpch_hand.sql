-- By hand, from the texts of _suggest_tpch.sql alone, within half of the heap.
CREATE INDEX ON lineitem (l_partkey, l_suppkey, l_shipdate) INCLUDE (l_quantity);
CREATE INDEX ON lineitem (l_suppkey);
CREATE INDEX ON lineitem (l_shipdate, l_discount, l_quantity) INCLUDE (l_extendedprice);
CREATE INDEX ON lineitem (l_receiptdate, l_shipmode);
CREATE INDEX ON orders (o_custkey);
CREATE INDEX ON orders (o_orderdate);
CREATE INDEX ON partsupp (ps_suppkey);
CREATE INDEX ON part (p_brand, p_container);
CREATE INDEX ON part (p_type);
CREATE INDEX ON customer (c_nationkey);
CREATE INDEX ON customer (c_mktsegment);
CREATE INDEX ON supplier (s_nationkey);
