-- Intervals: on a range-sharded table only the shards whose ranges they touch.

SELECT name FROM users WHERE uid BETWEEN 50 AND 60;
-- route: select, one shard, by its sharding key
-- s0: SELECT name FROM users WHERE uid BETWEEN 50 AND 60

SELECT name FROM users WHERE uid BETWEEN 50 AND 150;
-- route: select, the shards that the sharding key names
-- s0 s1: SELECT name FROM users WHERE uid BETWEEN 50 AND 150
-- merge: rows as they come

SELECT name FROM users WHERE uid >= 200 AND uid < 300;
-- route: select, one shard, by its sharding key
-- s2: SELECT name FROM users WHERE uid >= 200 AND uid < 300

SELECT name FROM users WHERE uid >= 200 AND uid <= 300;
-- route: select, the shards that the sharding key names
-- s2 s3: SELECT name FROM users WHERE uid >= 200 AND uid <= 300
-- merge: rows as they come

SELECT name FROM users WHERE uid < 100;
-- route: select, one shard, by its sharding key
-- s0: SELECT name FROM users WHERE uid < 100

SELECT name FROM users WHERE uid <= 100;
-- route: select, the shards that the sharding key names
-- s0 s1: SELECT name FROM users WHERE uid <= 100
-- merge: rows as they come

SELECT name FROM users WHERE uid > 250;
-- route: select, the shards that the sharding key names
-- s2 s3: SELECT name FROM users WHERE uid > 250
-- merge: rows as they come

SELECT name FROM users WHERE 250 < uid;
-- route: select, the shards that the sharding key names
-- s2 s3: SELECT name FROM users WHERE 250 < uid
-- merge: rows as they come

SELECT name FROM users WHERE uid > -5 AND uid < 5;
-- route: select, one shard, by its sharding key
-- s0: SELECT name FROM users WHERE uid > -5 AND uid < 5

SELECT name FROM users WHERE uid < 50 OR uid > 350;
-- route: select, the shards that the sharding key names
-- s0 s3: SELECT name FROM users WHERE uid < 50 OR uid > 350
-- merge: rows as they come

SELECT name FROM users WHERE uid BETWEEN 50 AND 150 AND uid BETWEEN 120 AND 250;
-- route: select, one shard, by its sharding key
-- s1: SELECT name FROM users WHERE uid BETWEEN 50 AND 150 AND uid BETWEEN 120 AND 250

-- Nothing can match: one shard gives the empty answer.
SELECT name FROM users WHERE uid < 50 AND uid > 350;
-- route: select, one shard, by its sharding key
-- s0: SELECT name FROM users WHERE uid < 50 AND uid > 350

SELECT name FROM users WHERE uid NOT BETWEEN 50 AND 60;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT name FROM users WHERE uid NOT BETWEEN 50 AND 60
-- merge: rows as they come

-- An end that cannot be told is open.
SELECT name FROM users WHERE uid BETWEEN 150 AND 250.5;
-- route: select, the shards that the sharding key names
-- s1 s2 s3: SELECT name FROM users WHERE uid BETWEEN 150 AND 250.5
-- merge: rows as they come

SELECT name FROM users WHERE uid > 150 AND uid < 'x';
-- route: select, the shards that the sharding key names
-- s1 s2 s3: SELECT name FROM users WHERE uid > 150 AND uid < 'x'
-- merge: rows as they come

-- A table of the same group has the same map.
SELECT bio FROM profiles WHERE uid BETWEEN 50 AND 150;
-- route: select, the shards that the sharding key names
-- s0 s1: SELECT bio FROM profiles WHERE uid BETWEEN 50 AND 150
-- merge: rows as they come

SELECT name FROM events WHERE day BETWEEN '2024-03-01' AND '2024-04-01';
-- route: select, one shard, by its sharding key
-- s0: SELECT name FROM events WHERE day BETWEEN '2024-03-01' AND '2024-04-01'

SELECT name FROM events WHERE day >= '2024-06-30';
-- route: select, the shards that the sharding key names
-- s0 s1: SELECT name FROM events WHERE day >= '2024-06-30'
-- merge: rows as they come

SELECT name FROM events;
-- route: select, the shards that the sharding key names
-- s0 s1: SELECT name FROM events
-- merge: rows as they come

-- By hash, keys of an interval may be anywhere.
SELECT total FROM orders WHERE uid BETWEEN 1 AND 3;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT total FROM orders WHERE uid BETWEEN 1 AND 3
-- merge: rows as they come
