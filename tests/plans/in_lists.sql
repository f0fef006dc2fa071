-- A list behind IN: each shard gets its own values only.

SELECT name FROM users WHERE uid IN (42, 43);
-- route: select, one shard, by its sharding key
-- s0: SELECT name FROM users WHERE uid IN (42, 43)

SELECT name FROM users WHERE uid IN (42, 142, 43, 342);
-- route: select, the shards that the sharding key names
-- s0: SELECT name FROM users WHERE uid IN (42, 43)
-- s1: SELECT name FROM users WHERE uid IN (142)
-- s3: SELECT name FROM users WHERE uid IN (342)
-- merge: rows as they come

SELECT name FROM users WHERE uid IN (42, 142) AND age > 30 ORDER BY name LIMIT 5;
-- route: select, the shards that the sharding key names
-- s0: SELECT name, WEIGHT_STRING(name AS CHAR(40)) AS `_sp0` FROM users WHERE uid IN (42) AND age > 30 ORDER BY name LIMIT 5
-- s1: SELECT name, WEIGHT_STRING(name AS CHAR(40)) AS `_sp0` FROM users WHERE uid IN (142) AND age > 30 ORDER BY name LIMIT 5
-- merge: merge in order, limit

SELECT total FROM orders WHERE uid IN (1, 2, 3, 4, 5, 6, 7, 8);
-- route: select, the shards that the sharding key names
-- s0: SELECT total FROM orders WHERE uid IN (5)
-- s1: SELECT total FROM orders WHERE uid IN (2, 4, 6)
-- s2: SELECT total FROM orders WHERE uid IN (1, 3, 7)
-- s3: SELECT total FROM orders WHERE uid IN (8)
-- merge: rows as they come

SELECT COUNT(*) FROM orders WHERE uid IN (1, 2, 3, 4, 5, 6, 7, 8);
-- route: select, the shards that the sharding key names
-- s0: SELECT COUNT(*) FROM orders WHERE uid IN (5)
-- s1: SELECT COUNT(*) FROM orders WHERE uid IN (2, 4, 6)
-- s2: SELECT COUNT(*) FROM orders WHERE uid IN (1, 3, 7)
-- s3: SELECT COUNT(*) FROM orders WHERE uid IN (8)
-- merge: group (count)

SELECT total FROM orders WHERE uid IN ('1', '2');
-- route: select, the shards that the sharding key names
-- s1: SELECT total FROM orders WHERE uid IN ('2')
-- s2: SELECT total FROM orders WHERE uid IN ('1')
-- merge: rows as they come

-- NULL is equal to nothing and goes to nobody.
SELECT total FROM orders WHERE uid IN (NULL, 1, 2);
-- route: select, the shards that the sharding key names
-- s1: SELECT total FROM orders WHERE uid IN (2)
-- s2: SELECT total FROM orders WHERE uid IN (1)
-- merge: rows as they come

SELECT total FROM orders WHERE uid IN (1, NULL, 2);
-- route: select, the shards that the sharding key names
-- s1: SELECT total FROM orders WHERE uid IN (2)
-- s2: SELECT total FROM orders WHERE uid IN (1)
-- merge: rows as they come

-- One value that proves nothing, and the list goes to all shards as it is.
SELECT total FROM orders WHERE uid IN (1, 2.5);
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT total FROM orders WHERE uid IN (1, 2.5)
-- merge: rows as they come

-- Strings and numbers in one list are compared by other rules than each alone.
SELECT total FROM orders WHERE uid IN (1, '2');
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT total FROM orders WHERE uid IN (1, '2')
-- merge: rows as they come

SELECT total FROM orders WHERE uid NOT IN (1, 2);
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT total FROM orders WHERE uid NOT IN (1, 2)
-- merge: rows as they come

SELECT total FROM orders WHERE uid IN (1, 2) OR uid = 3;
-- route: select, the shards that the sharding key names
-- s1 s2: SELECT total FROM orders WHERE uid IN (1, 2) OR uid = 3
-- merge: rows as they come

SELECT total FROM orders WHERE uid IN (1, 2) AND uid IN (2, 3);
-- route: select, the shards that the sharding key names
-- s1 s2: SELECT total FROM orders WHERE uid IN (1, 2) AND uid IN (2, 3)
-- merge: rows as they come

-- In a join the list is not split: every shard concerned gets it whole.
SELECT o.total FROM orders o JOIN order_items i ON i.uid = o.uid WHERE o.uid IN (1, 2, 3, 4);
-- route: select, the shards that the sharding key names
-- s1 s2: SELECT o.total FROM orders o JOIN order_items i ON i.uid = o.uid WHERE o.uid IN (1, 2, 3, 4)
-- merge: rows as they come

SELECT uid FROM logins WHERE token IN ('a', 'b', 'c');
-- route: select, the shards that the sharding key names
-- s2: SELECT uid FROM logins WHERE token IN ('a')
-- s3: SELECT uid FROM logins WHERE token IN ('b', 'c')
-- merge: rows as they come

SELECT name FROM events WHERE day IN ('2024-06-30', '2024-07-01', '2026-01-01');
-- route: select, the shards that the sharding key names
-- s0: SELECT name FROM events WHERE day IN ('2024-06-30')
-- s1: SELECT name FROM events WHERE day IN ('2024-07-01')
-- merge: rows as they come

SELECT total FROM orders WHERE uid IN (1, 2) = 0;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT total FROM orders WHERE uid IN (1, 2) = 0
-- merge: rows as they come

-- Something else than a literal says nothing about where rows are.
SELECT total FROM orders WHERE uid IN (1, 1 + 1);
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT total FROM orders WHERE uid IN (1, 1 + 1)
-- merge: rows as they come

SELECT total FROM orders WHERE (uid, oid) IN ((1, 2), (3, 4));
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT total FROM orders WHERE (uid, oid) IN ((1, 2), (3, 4))
-- merge: rows as they come

UPDATE orders SET status = 'sent' WHERE uid IN (1, 2, 3, 4);
-- route: update, the shards that the sharding key names
-- s1: UPDATE orders SET status = 'sent' WHERE uid IN (2, 4)
-- s2: UPDATE orders SET status = 'sent' WHERE uid IN (1, 3)
-- merge: counts added up

DELETE FROM users WHERE uid IN (42, 142);
-- route: delete, the shards that the sharding key names
-- s0: DELETE FROM users WHERE uid IN (42)
-- s1: DELETE FROM users WHERE uid IN (142)
-- merge: counts added up
