-- The order of all rows from rows that every shard has ordered.

SELECT uid, name FROM users ORDER BY uid;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT uid, name FROM users ORDER BY uid
-- merge: merge in order

SELECT uid, name FROM users ORDER BY uid DESC, age;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT uid, name, age AS `_sp0` FROM users ORDER BY uid DESC, age
-- merge: merge in order

-- What is not selected is asked for besides, and taken out again.
SELECT name FROM users ORDER BY age;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT name, age AS `_sp0` FROM users ORDER BY age
-- merge: merge in order

SELECT name FROM users ORDER BY age + 1 DESC;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT name, COLLATION(age + 1) AS `_sp2`, WEIGHT_STRING(age + 1) AS `_sp1`, age + 1 AS `_sp0` FROM users ORDER BY age + 1 DESC
-- merge: merge in order

-- Strings by the server's own sort key: padded there where the column is short, in the merge where it is long.
SELECT name FROM users ORDER BY name;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT name, WEIGHT_STRING(name AS CHAR(40)) AS `_sp0` FROM users ORDER BY name
-- merge: merge in order

SELECT email FROM users ORDER BY email DESC;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT email, WEIGHT_STRING(email) AS `_sp0` FROM users ORDER BY email DESC
-- merge: merge in order

SELECT uid, motto FROM profiles ORDER BY motto;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT uid, motto, WEIGHT_STRING(motto) AS `_sp0` FROM profiles ORDER BY motto
-- merge: merge in order

SELECT uid FROM profiles ORDER BY bio;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT uid, WEIGHT_STRING(bio) AS `_sp0` FROM profiles ORDER BY bio
-- merge: merge in order

SELECT UPPER(name) FROM users ORDER BY UPPER(name);
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT UPPER(name), COLLATION(UPPER(name)) AS `_sp1`, WEIGHT_STRING(UPPER(name)) AS `_sp0` FROM users ORDER BY UPPER(name)
-- merge: merge in order

-- ENUM orders by number, FLOAT by its full value.
SELECT uid FROM users ORDER BY role;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT uid, (role + 0) AS `_sp0` FROM users ORDER BY role
-- merge: merge in order

SELECT rate FROM users ORDER BY rate;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT rate, (rate + 0e0) AS `_sp0` FROM users ORDER BY rate
-- merge: merge in order

SELECT born FROM users ORDER BY born;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT born FROM users ORDER BY born
-- merge: merge in order

SELECT uid FROM users ORDER BY flags;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT uid, flags AS `_sp0` FROM users ORDER BY flags
-- merge: merge in order

-- By ordinal and by alias.
SELECT name, age FROM users ORDER BY 2 DESC;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT name, age FROM users ORDER BY 2 DESC
-- merge: merge in order

SELECT name AS n FROM users ORDER BY n;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT name AS n, WEIGHT_STRING(name AS CHAR(40)) AS `_sp0` FROM users ORDER BY n
-- merge: merge in order

SELECT age + 1 AS next FROM users ORDER BY next;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT age + 1 AS next, COLLATION(age + 1) AS `_sp1`, WEIGHT_STRING(age + 1) AS `_sp0` FROM users ORDER BY next
-- merge: merge in order

SELECT * FROM users ORDER BY uid;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT *, uid AS `_sp0` FROM users ORDER BY uid
-- merge: merge in order

SELECT u.* FROM users u ORDER BY u.name DESC;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT u.*, WEIGHT_STRING(u.name AS CHAR(40)) AS `_sp0` FROM users u ORDER BY u.name DESC
-- merge: merge in order

-- LIMIT covers the rows that OFFSET skips.
SELECT uid FROM users ORDER BY uid LIMIT 10;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT uid FROM users ORDER BY uid LIMIT 10
-- merge: merge in order, limit

SELECT uid FROM users ORDER BY uid LIMIT 10 OFFSET 20;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT uid FROM users ORDER BY uid LIMIT 30
-- merge: merge in order, offset, limit

SELECT uid FROM users ORDER BY uid LIMIT 20, 10;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT uid FROM users ORDER BY uid LIMIT 30
-- merge: merge in order, offset, limit

SELECT uid FROM users LIMIT 10;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT uid FROM users LIMIT 10
-- merge: limit

SELECT uid FROM users ORDER BY uid LIMIT 0;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT uid FROM users ORDER BY uid LIMIT 0
-- merge: merge in order, limit

SELECT uid FROM users ORDER BY uid FOR UPDATE;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT uid FROM users ORDER BY uid FOR UPDATE
-- merge: merge in order

SELECT SQL_NO_CACHE uid FROM users ORDER BY uid LOCK IN SHARE MODE;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT SQL_NO_CACHE uid FROM users ORDER BY uid LOCK IN SHARE MODE
-- merge: merge in order

-- Ordered on one shard, by that shard.
SELECT name FROM users WHERE uid < 100 ORDER BY name LIMIT 10 OFFSET 20;
-- route: select, one shard, by its sharding key
-- s0: SELECT name FROM users WHERE uid < 100 ORDER BY name LIMIT 10 OFFSET 20
