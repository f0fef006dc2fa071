-- One value for the sharding key: one shard, and the text goes there as it came.

SELECT name FROM users WHERE uid = 42;
-- route: select, one shard, by its sharding key
-- s0: SELECT name FROM users WHERE uid = 42

SELECT * FROM users WHERE uid = 100;
-- route: select, one shard, by its sharding key
-- s1: SELECT * FROM users WHERE uid = 100

SELECT * FROM users WHERE 142 = uid AND age > 30;
-- route: select, one shard, by its sharding key
-- s1: SELECT * FROM users WHERE 142 = uid AND age > 30

-- Half-open: the upper bound of a range belongs to the next one.
SELECT name FROM users WHERE uid = 99 OR uid = 100;
-- route: select, the shards that the sharding key names
-- s0 s1: SELECT name FROM users WHERE uid = 99 OR uid = 100
-- merge: rows as they come

SELECT name FROM users WHERE uid = -1;
-- route: select, one shard, by its sharding key
-- s0: SELECT name FROM users WHERE uid = -1

SELECT total FROM orders WHERE uid = 1;
-- route: select, one shard, by its sharding key
-- s2: SELECT total FROM orders WHERE uid = 1

SELECT total FROM orders WHERE uid = 2;
-- route: select, one shard, by its sharding key
-- s1: SELECT total FROM orders WHERE uid = 2

SELECT total FROM orders AS o WHERE o.uid = 1 AND (o.total > 5 OR o.status = 'new');
-- route: select, one shard, by its sharding key
-- s2: SELECT total FROM orders AS o WHERE o.uid = 1 AND (o.total > 5 OR o.status = 'new')

-- Forms that are equal to the integer column are the same key.
SELECT total FROM orders WHERE uid = '1';
-- route: select, one shard, by its sharding key
-- s2: SELECT total FROM orders WHERE uid = '1'

SELECT total FROM orders WHERE uid = 1.0;
-- route: select, one shard, by its sharding key
-- s2: SELECT total FROM orders WHERE uid = 1.0

SELECT total FROM orders WHERE uid = +1;
-- route: select, one shard, by its sharding key
-- s2: SELECT total FROM orders WHERE uid = +1

SELECT total FROM orders WHERE uid = (1);
-- route: select, one shard, by its sharding key
-- s2: SELECT total FROM orders WHERE uid = (1)

SELECT total FROM orders WHERE uid <=> 1;
-- route: select, one shard, by its sharding key
-- s2: SELECT total FROM orders WHERE uid <=> 1

-- What an integer is compared with as a double proves nothing: all shards are asked.
SELECT total FROM orders WHERE uid = '1e0';
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT total FROM orders WHERE uid = '1e0'
-- merge: rows as they come

SELECT total FROM orders WHERE uid = 1.5;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT total FROM orders WHERE uid = 1.5
-- merge: rows as they come

SELECT total FROM orders WHERE uid = 1e0;
-- route: select, one shard, by its sharding key
-- s2: SELECT total FROM orders WHERE uid = 1e0

SELECT total FROM orders WHERE uid = 0x31;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT total FROM orders WHERE uid = 0x31
-- merge: rows as they come

SELECT total FROM orders WHERE uid = '9007199254740993';
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT total FROM orders WHERE uid = '9007199254740993'
-- merge: rows as they come

SELECT total FROM orders WHERE uid = 99999999999999999999999;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT total FROM orders WHERE uid = 99999999999999999999999
-- merge: rows as they come

-- NULL is no value to be placed by.
SELECT total FROM orders WHERE uid = NULL;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT total FROM orders WHERE uid = NULL
-- merge: rows as they come

SELECT total FROM orders WHERE uid IS NULL;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT total FROM orders WHERE uid IS NULL
-- merge: rows as they come

-- A condition that a row may pass without the key being equal says nothing.
SELECT total FROM orders WHERE uid = 1 OR total > 5;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT total FROM orders WHERE uid = 1 OR total > 5
-- merge: rows as they come

SELECT total FROM orders WHERE NOT uid = 1;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT total FROM orders WHERE NOT uid = 1
-- merge: rows as they come

SELECT total FROM orders WHERE uid + 0 = 1;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT total FROM orders WHERE uid + 0 = 1
-- merge: rows as they come

-- As MySQL binds them: AND before XOR before OR (and ||); comparisons from the left.
SELECT total FROM orders WHERE uid = 1 AND total = 3 XOR status = 'a';
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT total FROM orders WHERE uid = 1 AND total = 3 XOR status = 'a'
-- merge: rows as they come

SELECT total FROM orders WHERE uid = 1 AND total = 3 || status = 'a';
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT total FROM orders WHERE uid = 1 AND total = 3 || status = 'a'
-- merge: rows as they come

SELECT total FROM orders WHERE uid = 1 AND total = 3 OR status = 'x' AND uid = 2;
-- route: select, the shards that the sharding key names
-- s1 s2: SELECT total FROM orders WHERE uid = 1 AND total = 3 OR status = 'x' AND uid = 2
-- merge: rows as they come

SELECT total FROM orders WHERE uid = 1 = 0;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT total FROM orders WHERE uid = 1 = 0
-- merge: rows as they come

SELECT total FROM orders WHERE uid = 1 IS FALSE;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT total FROM orders WHERE uid = 1 IS FALSE
-- merge: rows as they come

SELECT name FROM users WHERE 5 < uid < 50;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT name FROM users WHERE 5 < uid < 50
-- merge: rows as they come

SELECT name FROM users WHERE uid = 142-1;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT name FROM users WHERE uid = 142-1
-- merge: rows as they come

SELECT total FROM orders WHERE uid = 1 AND uid = 2;
-- route: select, one shard, by its sharding key
-- s0: SELECT total FROM orders WHERE uid = 1 AND uid = 2

-- Strings: the column's collation is binary and pads, so trailing spaces do not count.
SELECT uid FROM logins WHERE token = 'abc';
-- route: select, one shard, by its sharding key
-- s1: SELECT uid FROM logins WHERE token = 'abc'

SELECT uid FROM logins WHERE token = 'abc  ';
-- route: select, one shard, by its sharding key
-- s1: SELECT uid FROM logins WHERE token = 'abc  '

SELECT uid FROM logins WHERE token = "abc";
-- route: select, one shard, by its sharding key
-- s1: SELECT uid FROM logins WHERE token = "abc"

SELECT uid FROM logins WHERE token = 'ABC';
-- route: select, one shard, by its sharding key
-- s0: SELECT uid FROM logins WHERE token = 'ABC'

SELECT uid FROM logins WHERE token = 'a''b\\c';
-- route: select, one shard, by its sharding key
-- s3: SELECT uid FROM logins WHERE token = 'a''b\\c'

SELECT uid FROM logins WHERE token = 5;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT uid FROM logins WHERE token = 5
-- merge: rows as they come

-- Dates.
SELECT name FROM events WHERE day = '2024-06-30';
-- route: select, one shard, by its sharding key
-- s0: SELECT name FROM events WHERE day = '2024-06-30'

SELECT name FROM events WHERE day = '2024-07-01';
-- route: select, one shard, by its sharding key
-- s1: SELECT name FROM events WHERE day = '2024-07-01'

SELECT name FROM events WHERE day = '2024-7-1';
-- route: select, the shards that the sharding key names
-- s0 s1: SELECT name FROM events WHERE day = '2024-7-1'
-- merge: rows as they come

-- Outside every range there is nothing; one shard says so.
SELECT name FROM events WHERE day = '2025-01-01';
-- route: select, one shard, by its sharding key
-- s0: SELECT name FROM events WHERE day = '2025-01-01'

-- Comments stay in the text; a qualifier with the schema's name is taken off.
select NAME from users where UID = 42;
-- route: select, one shard, by its sharding key
-- s0: select NAME from users where UID = 42

SELECT /* which one */ name FROM users -- here
WHERE uid = 42;
-- route: select, one shard, by its sharding key
-- s0: SELECT /* which one */ name FROM users -- here\nWHERE uid = 42

SELECT users.name FROM app.users WHERE app.users.uid = 42;
-- route: select, one shard, by its sharding key
-- s0: SELECT users.name FROM users WHERE users.uid = 42

SELECT `name` FROM `app`.`users` WHERE `uid` = 42;
-- route: select, one shard, by its sharding key
-- s0: SELECT `name` FROM `users` WHERE `uid` = 42

-- An aggregate, an ordering or a subquery on one shard is that shard's own affair.
SELECT COUNT(*), GROUP_CONCAT(name) FROM users WHERE uid = 42;
-- route: select, one shard, by its sharding key
-- s0: SELECT COUNT(*), GROUP_CONCAT(name) FROM users WHERE uid = 42

SELECT RANK() OVER (ORDER BY oid) FROM orders WHERE uid = 1;
-- route: select, one shard, by its sharding key
-- s2: SELECT RANK() OVER (ORDER BY oid) FROM orders WHERE uid = 1

SELECT total FROM orders WHERE uid = 1 FOR UPDATE;
-- route: select, one shard, by its sharding key
-- s2: SELECT total FROM orders WHERE uid = 1 FOR UPDATE

SELECT name FROM users WHERE uid = 42 UNION SELECT name FROM users WHERE uid = 43;
-- route: select, one shard, by its sharding key
-- s0: SELECT name FROM users WHERE uid = 42 UNION SELECT name FROM users WHERE uid = 43

SELECT name FROM users WHERE uid = 42 AND age > (SELECT AVG(age) FROM users WHERE uid = 42);
-- route: select, one shard, by its sharding key
-- s0: SELECT name FROM users WHERE uid = 42 AND age > (SELECT AVG(age) FROM users WHERE uid = 42)

WITH mine AS (SELECT * FROM orders WHERE uid = 1) SELECT COUNT(*) FROM mine;
-- route: select, one shard, by its sharding key
-- s2: WITH mine AS (SELECT * FROM orders WHERE uid = 1) SELECT COUNT(*) FROM mine

-- Two keys on one shard are still one shard.
SELECT name FROM users WHERE uid = 42 UNION SELECT name FROM users WHERE uid = 43 ORDER BY name LIMIT 3;
-- route: select, one shard, by its sharding key
-- s0: SELECT name FROM users WHERE uid = 42 UNION SELECT name FROM users WHERE uid = 43 ORDER BY name LIMIT 3
