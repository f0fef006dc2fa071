-- Tables of one group that meet on equal sharding keys go to the shards as they are.

SELECT u.name, p.motto FROM users u JOIN profiles p ON p.uid = u.uid WHERE u.uid = 42;
-- route: select, one shard, by its sharding key
-- s0: SELECT u.name, p.motto FROM users u JOIN profiles p ON p.uid = u.uid WHERE u.uid = 42

SELECT u.name, p.motto FROM users u JOIN profiles p ON p.uid = u.uid;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT u.name, p.motto FROM users u JOIN profiles p ON p.uid = u.uid
-- merge: rows as they come

SELECT u.name, p.motto FROM users u JOIN profiles p USING (uid) WHERE u.age > 30;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT u.name, p.motto FROM users u JOIN profiles p USING (uid) WHERE u.age > 30
-- merge: rows as they come

SELECT u.name, p.motto FROM users u LEFT JOIN profiles p ON p.uid = u.uid ORDER BY u.uid;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT u.name, p.motto, u.uid AS `_sp0` FROM users u LEFT JOIN profiles p ON p.uid = u.uid ORDER BY u.uid
-- merge: merge in order

SELECT u.name, p.motto FROM users u, profiles p WHERE u.uid = p.uid AND p.uid = 42;
-- route: select, one shard, by its sharding key
-- s0: SELECT u.name, p.motto FROM users u, profiles p WHERE u.uid = p.uid AND p.uid = 42

SELECT o.total, i.sku FROM orders o JOIN order_items i ON i.uid = o.uid AND i.oid = o.oid WHERE o.uid = 1;
-- route: select, one shard, by its sharding key
-- s2: SELECT o.total, i.sku FROM orders o JOIN order_items i ON i.uid = o.uid AND i.oid = o.oid WHERE o.uid = 1

SELECT o.total, i.sku FROM orders o JOIN order_items i ON i.uid = o.uid AND i.oid = o.oid WHERE i.uid IN (1, 2);
-- route: select, the shards that the sharding key names
-- s1 s2: SELECT o.total, i.sku FROM orders o JOIN order_items i ON i.uid = o.uid AND i.oid = o.oid WHERE i.uid IN (1, 2)
-- merge: rows as they come

-- With themselves too.
SELECT a.oid FROM orders a JOIN orders b ON a.uid = b.uid AND a.oid < b.oid;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT a.oid FROM orders a JOIN orders b ON a.uid = b.uid AND a.oid < b.oid
-- merge: rows as they come

-- Every shard has reference tables.
SELECT u.name, c.name FROM users u JOIN countries c ON c.code = u.country;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT u.name, c.name FROM users u JOIN countries c ON c.code = u.country
-- merge: rows as they come

SELECT u.name, c.name FROM users u LEFT JOIN countries c ON c.code = u.country WHERE u.uid = 142;
-- route: select, one shard, by its sharding key
-- s1: SELECT u.name, c.name FROM users u LEFT JOIN countries c ON c.code = u.country WHERE u.uid = 142

SELECT c.name, COUNT(*) FROM countries c JOIN users u ON c.code = u.country GROUP BY c.name;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT c.name, COUNT(*), WEIGHT_STRING(c.name AS CHAR(60)) AS `_sp0` FROM countries c JOIN users u ON c.code = u.country GROUP BY c.name ORDER BY c.name
-- merge: group (count)

SELECT a.name FROM countries a JOIN countries b ON a.code = b.code;
-- route: select, any one shard
-- any: SELECT a.name FROM countries a JOIN countries b ON a.code = b.code

SELECT name FROM countries;
-- route: select, any one shard
-- any: SELECT name FROM countries

-- An unsharded table is joined where it lives.
SELECT n.note, c.name FROM notes n JOIN countries c ON c.name = n.note;
-- route: select, one named shard
-- s1: SELECT n.note, c.name FROM notes n JOIN countries c ON c.name = n.note

SELECT u.name, n.note FROM users u JOIN notes n ON n.id = u.uid WHERE u.uid = 142;
-- route: select, one shard, by its sharding key
-- s1: SELECT u.name, n.note FROM users u JOIN notes n ON n.id = u.uid WHERE u.uid = 142

SELECT * FROM notes;
-- route: select, one named shard
-- s1: SELECT * FROM notes

SELECT * FROM options;
-- route: select, one named shard
-- s0: SELECT * FROM options

-- On one shard anything goes.
SELECT o.total, v.page FROM orders o, visits v WHERE o.uid = 1 AND v.uid = 1;
-- route: select, one shard, by its sharding key
-- s2: SELECT o.total, v.page FROM orders o, visits v WHERE o.uid = 1 AND v.uid = 1

-- Subqueries that are tied to the outer row by the sharding key.
SELECT name FROM users u WHERE EXISTS (SELECT 1 FROM profiles p WHERE p.uid = u.uid);
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT name FROM users u WHERE EXISTS (SELECT 1 FROM profiles p WHERE p.uid = u.uid)
-- merge: rows as they come

SELECT name FROM users WHERE uid IN (SELECT uid FROM profiles WHERE bio <> '');
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT name FROM users WHERE uid IN (SELECT uid FROM profiles WHERE bio <> '')
-- merge: rows as they come

SELECT uid FROM orders o WHERE total > (SELECT COUNT(*) FROM order_items i WHERE i.uid = o.uid AND i.oid = o.oid);
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT uid FROM orders o WHERE total > (SELECT COUNT(*) FROM order_items i WHERE i.uid = o.uid AND i.oid = o.oid)
-- merge: rows as they come

SELECT name FROM users WHERE country IN (SELECT code FROM countries WHERE name LIKE 'A%');
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT name FROM users WHERE country IN (SELECT code FROM countries WHERE name LIKE 'A%')
-- merge: rows as they come

SELECT COUNT(*) FROM (SELECT uid FROM users WHERE uid IN (1, 2)) t;
-- route: select, one shard, by its sharding key
-- s0: SELECT COUNT(*) FROM (SELECT uid FROM users WHERE uid IN (1, 2)) t

SELECT EXISTS(SELECT 1 FROM users WHERE uid = 42);
-- route: select, one shard, by its sharding key
-- s0: SELECT EXISTS(SELECT 1 FROM users WHERE uid = 42)

-- What finds no partner on its shard finds none at all.
SELECT u.uid FROM users u LEFT JOIN profiles p ON p.uid = u.uid WHERE p.uid IS NULL;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT u.uid FROM users u LEFT JOIN profiles p ON p.uid = u.uid WHERE p.uid IS NULL
-- merge: rows as they come

SELECT 1 FROM DUAL;
-- route: select, one named shard
-- s0: SELECT 1 FROM DUAL

-- What the ON of a join says of a key does not hold for the rows that a RIGHT JOIN behind it keeps.
SELECT u.name, p.motto, v.name FROM users u JOIN profiles p ON p.uid = u.uid AND u.uid = 42 RIGHT JOIN users v ON v.uid = u.uid;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT u.name, p.motto, v.name FROM users u JOIN profiles p ON p.uid = u.uid AND u.uid = 42 RIGHT JOIN users v ON v.uid = u.uid
-- merge: rows as they come

-- Nor does a comparison that takes a missing row's NULL for equal.
SELECT u.name FROM users u LEFT JOIN profiles p ON p.uid = u.uid WHERE p.uid <=> 42;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT u.name FROM users u LEFT JOIN profiles p ON p.uid = u.uid WHERE p.uid <=> 42
-- merge: rows as they come

SELECT u.name, p.motto, v.name FROM users u JOIN users v ON v.age = u.age RIGHT JOIN profiles p ON p.uid = u.uid AND p.uid = v.uid;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT u.name, p.motto, v.name FROM users u JOIN users v ON v.age = u.age RIGHT JOIN profiles p ON p.uid = u.uid AND p.uid = v.uid
-- merge: rows as they come

SELECT u.name FROM users u USE INDEX FOR ORDER BY (age) IGNORE INDEX FOR GROUP BY (age) ORDER BY u.uid;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT u.name, u.uid AS `_sp0` FROM users u USE INDEX FOR ORDER BY (age) IGNORE INDEX FOR GROUP BY (age) ORDER BY u.uid
-- merge: merge in order
