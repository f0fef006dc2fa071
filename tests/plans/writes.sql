-- UPDATE and DELETE on one, some or all shards.

UPDATE users SET name = 'a' WHERE uid = 42;
-- route: update, one shard, by its sharding key
-- s0: UPDATE users SET name = 'a' WHERE uid = 42

UPDATE users SET name = 'a' WHERE uid BETWEEN 50 AND 150;
-- route: update, the shards that the sharding key names
-- s0 s1: UPDATE users SET name = 'a' WHERE uid BETWEEN 50 AND 150
-- merge: counts added up

UPDATE users SET age = age + 1;
-- route: update, the shards that the sharding key names
-- s0 s1 s2 s3: UPDATE users SET age = age + 1
-- merge: counts added up

UPDATE IGNORE users SET age = age + 1 WHERE uid = 42;
-- route: update, one shard, by its sharding key
-- s0: UPDATE IGNORE users SET age = age + 1 WHERE uid = 42

UPDATE users u JOIN profiles p ON p.uid = u.uid SET u.name = p.motto WHERE u.age > 30;
-- route: update, the shards that the sharding key names
-- s0 s1 s2 s3: UPDATE users u JOIN profiles p ON p.uid = u.uid SET u.name = p.motto WHERE u.age > 30
-- merge: counts added up

UPDATE users u JOIN countries c ON c.code = u.country SET u.name = c.name;
-- route: update, the shards that the sharding key names
-- s0 s1 s2 s3: UPDATE users u JOIN countries c ON c.code = u.country SET u.name = c.name
-- merge: counts added up

UPDATE orders SET total = 0 WHERE uid = 1 ORDER BY oid LIMIT 1;
-- route: update, one shard, by its sharding key
-- s2: UPDATE orders SET total = 0 WHERE uid = 1 ORDER BY oid LIMIT 1

DELETE FROM users WHERE uid = 42;
-- route: delete, one shard, by its sharding key
-- s0: DELETE FROM users WHERE uid = 42

DELETE FROM orders WHERE status = 'old';
-- route: delete, the shards that the sharding key names
-- s0 s1 s2 s3: DELETE FROM orders WHERE status = 'old'
-- merge: counts added up

DELETE FROM orders;
-- route: delete, the shards that the sharding key names
-- s0 s1 s2 s3: DELETE FROM orders
-- merge: counts added up

DELETE FROM orders WHERE uid = 1 LIMIT 1;
-- route: delete, one shard, by its sharding key
-- s2: DELETE FROM orders WHERE uid = 1 LIMIT 1

DELETE o FROM orders o JOIN order_items i ON i.uid = o.uid WHERE i.sku = 'x';
-- route: delete, the shards that the sharding key names
-- s0 s1 s2 s3: DELETE o FROM orders o JOIN order_items i ON i.uid = o.uid WHERE i.sku = 'x'
-- merge: counts added up

DELETE FROM users WHERE uid IN (SELECT uid FROM profiles WHERE bio = '');
-- route: delete, the shards that the sharding key names
-- s0 s1 s2 s3: DELETE FROM users WHERE uid IN (SELECT uid FROM profiles WHERE bio = '')
-- merge: counts added up

-- Every copy of a reference table; unsharded tables where they live.
UPDATE countries SET name = 'x' WHERE code = 'DE';
-- route: update, every shard
-- s0 s1 s2 s3: UPDATE countries SET name = 'x' WHERE code = 'DE'
-- merge: the count of one copy

DELETE FROM tags WHERE id = 1;
-- route: delete, every shard
-- s0 s1 s2 s3: DELETE FROM tags WHERE id = 1
-- merge: the count of one copy

UPDATE notes SET note = 'x';
-- route: update, one named shard
-- s1: UPDATE notes SET note = 'x'

DELETE FROM audit LIMIT 10;
-- route: delete, one named shard
-- s2: DELETE FROM audit LIMIT 10

UPDATE options SET value = DATABASE();
-- route: update, one named shard
-- s0: UPDATE options SET value = 'app'

DELETE u, p FROM users u JOIN profiles p ON p.uid = u.uid WHERE u.uid = 42;
-- route: delete, one shard, by its sharding key
-- s0: DELETE u, p FROM users u JOIN profiles p ON p.uid = u.uid WHERE u.uid = 42

UPDATE users u LEFT JOIN profiles p ON p.uid = u.uid SET u.age = 1 WHERE p.uid IS NULL;
-- route: update, the shards that the sharding key names
-- s0 s1 s2 s3: UPDATE users u LEFT JOIN profiles p ON p.uid = u.uid SET u.age = 1 WHERE p.uid IS NULL
-- merge: counts added up
