-- Partial results of every shard, put together exactly.

SELECT COUNT(*) FROM orders;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT COUNT(*) FROM orders
-- merge: group (count)

SELECT COUNT(*), SUM(total), MIN(total), MAX(total) FROM orders;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT COUNT(*), SUM(total), MIN(total), MAX(total) FROM orders
-- merge: group (count, max, min, sum)

-- AVG needs what it is made of.
SELECT AVG(total) FROM orders;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT AVG(total), COUNT(total) AS `_sp1`, SUM(total) AS `_sp0` FROM orders
-- merge: group (avg, count, sum)

SELECT AVG(total * 2 + 1) FROM orders;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT AVG(total * 2 + 1), COUNT(total * 2 + 1) AS `_sp1`, SUM(total * 2 + 1) AS `_sp0` FROM orders
-- merge: group (avg, count, sum)

SELECT COUNT(*) AS n FROM orders WHERE status = 'new';
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT COUNT(*) AS n FROM orders WHERE status = 'new'
-- merge: group (count)

SELECT status, COUNT(*) FROM orders GROUP BY status;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT status, COUNT(*), WEIGHT_STRING(status AS CHAR(20)) AS `_sp0` FROM orders GROUP BY status ORDER BY status
-- merge: group (count)

SELECT status, COUNT(*) AS n FROM orders GROUP BY status ORDER BY n DESC, status LIMIT 3;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT status, COUNT(*) AS n, WEIGHT_STRING(status AS CHAR(20)) AS `_sp0` FROM orders GROUP BY status ORDER BY status
-- merge: group (count), sort, limit

SELECT status, COUNT(*) FROM orders GROUP BY status ORDER BY 2;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT status, COUNT(*), WEIGHT_STRING(status AS CHAR(20)) AS `_sp0` FROM orders GROUP BY status ORDER BY status
-- merge: group (count), sort

SELECT status AS s, SUM(total) FROM orders GROUP BY s;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT status AS s, SUM(total), WEIGHT_STRING(status AS CHAR(20)) AS `_sp0` FROM orders GROUP BY status ORDER BY status
-- merge: group (sum)

SELECT status, SUM(total) FROM orders GROUP BY 1 ORDER BY 1 LIMIT 10;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT status, SUM(total), WEIGHT_STRING(status AS CHAR(20)) AS `_sp0` FROM orders GROUP BY status ORDER BY status LIMIT 10
-- merge: group (sum), limit

SELECT YEAR(placed), SUM(total) FROM orders GROUP BY YEAR(placed);
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT YEAR(placed), SUM(total), COLLATION(YEAR(placed)) AS `_sp1`, WEIGHT_STRING(YEAR(placed)) AS `_sp0` FROM orders GROUP BY YEAR(placed) ORDER BY YEAR(placed)
-- merge: group (sum)

SELECT SUM(total) FROM orders GROUP BY status;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT SUM(total), WEIGHT_STRING(status AS CHAR(20)) AS `_sp0` FROM orders GROUP BY status ORDER BY status
-- merge: group (sum)

SELECT role, MAX(born) FROM users GROUP BY role;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT role, MAX(born), (role + 0) AS `_sp0` FROM users GROUP BY role ORDER BY role
-- merge: group (max)

SELECT MIN(name), MAX(email) FROM users;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT MIN(name), MAX(email), COLLATION(MAX(email)) AS `_sp3`, WEIGHT_STRING(MAX(email)) AS `_sp2`, COLLATION(MIN(name)) AS `_sp1`, WEIGHT_STRING(MIN(name)) AS `_sp0` FROM users
-- merge: group (max, min)

SELECT BIT_OR(age), BIT_AND(age), BIT_XOR(age) FROM users;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT BIT_OR(age), BIT_AND(age), BIT_XOR(age) FROM users
-- merge: group (bit_and, bit_or, bit_xor)

SELECT ANY_VALUE(name), age FROM users GROUP BY age;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT ANY_VALUE(name), age FROM users GROUP BY age ORDER BY age
-- merge: group

-- A group that contains the sharding key never spans shards.
SELECT uid, COUNT(*), GROUP_CONCAT(oid) FROM orders GROUP BY uid;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT uid, COUNT(*), GROUP_CONCAT(oid) FROM orders GROUP BY uid
-- merge: rows as they come

SELECT uid, status, SUM(total) / COUNT(*) FROM orders GROUP BY uid, status ORDER BY uid LIMIT 5;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT uid, status, SUM(total) / COUNT(*) FROM orders GROUP BY uid, status ORDER BY uid LIMIT 5
-- merge: merge in order, limit

SELECT uid, SUM(total) FROM orders GROUP BY uid HAVING SUM(total) > 100;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT uid, SUM(total) FROM orders GROUP BY uid HAVING SUM(total) > 100
-- merge: rows as they come

-- Unless it is NULL for rows without a partner.
SELECT p.uid, COUNT(*) FROM users u LEFT JOIN profiles p ON p.uid = u.uid GROUP BY p.uid;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT p.uid, COUNT(*) FROM users u LEFT JOIN profiles p ON p.uid = u.uid GROUP BY p.uid ORDER BY p.uid
-- merge: group (count)

-- Distinct values: counted on the shards where the key tells them apart, else one after the other in the merge.
SELECT COUNT(DISTINCT uid) FROM orders;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT COUNT(DISTINCT uid) FROM orders
-- merge: group (count)

SELECT COUNT(DISTINCT status) FROM orders;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT COUNT(DISTINCT status), WEIGHT_STRING(status AS CHAR(20)) AS `_sp0` FROM orders GROUP BY status ORDER BY status
-- merge: group (count distinct)

SELECT status, COUNT(DISTINCT total) FROM orders GROUP BY status;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT status, COUNT(DISTINCT total), WEIGHT_STRING(status AS CHAR(20)) AS `_sp1`, total AS `_sp0` FROM orders GROUP BY status, total ORDER BY status, total
-- merge: group (count distinct)

SELECT COUNT(DISTINCT age), COUNT(DISTINCT age) + 0 FROM users WHERE uid = 42;
-- route: select, one shard, by its sharding key
-- s0: SELECT COUNT(DISTINCT age), COUNT(DISTINCT age) + 0 FROM users WHERE uid = 42

-- HAVING on the group's keys is decided on the shards, on aggregates in the merge.
SELECT status, COUNT(*) FROM orders GROUP BY status HAVING status <> 'new';
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT status, COUNT(*), WEIGHT_STRING(status AS CHAR(20)) AS `_sp0` FROM orders GROUP BY status HAVING status <> 'new' ORDER BY status
-- merge: group (count)

SELECT status, COUNT(*) FROM orders GROUP BY status HAVING COUNT(*) > 10;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT status, COUNT(*), WEIGHT_STRING(status AS CHAR(20)) AS `_sp0` FROM orders GROUP BY status ORDER BY status
-- merge: group (count), having

SELECT status, COUNT(*) AS n FROM orders GROUP BY status HAVING n BETWEEN 2 AND 5 OR MAX(total) IS NULL;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT status, COUNT(*) AS n, WEIGHT_STRING(status AS CHAR(20)) AS `_sp1`, MAX(total) AS `_sp0` FROM orders GROUP BY status ORDER BY status
-- merge: group (count, max), having

SELECT status FROM orders GROUP BY status HAVING COUNT(*) IN (1, 2, 3) AND NOT SUM(total) > 5;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT status, WEIGHT_STRING(status AS CHAR(20)) AS `_sp2`, SUM(total) AS `_sp1`, COUNT(*) AS `_sp0` FROM orders GROUP BY status ORDER BY status
-- merge: group (count, sum), having

SELECT COUNT(*) FROM orders HAVING COUNT(*) > 5;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT COUNT(*) FROM orders
-- merge: group (count), having

SELECT u.country, COUNT(*) FROM users u JOIN profiles p ON p.uid = u.uid GROUP BY u.country;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT u.country, COUNT(*), WEIGHT_STRING(u.country AS CHAR(2)) AS `_sp0` FROM users u JOIN profiles p ON p.uid = u.uid GROUP BY u.country ORDER BY u.country
-- merge: group (count)

SELECT DATE(placed) d, COUNT(*) FROM orders GROUP BY d ORDER BY d;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT DATE(placed) d, COUNT(*), COLLATION(DATE(placed)) AS `_sp1`, WEIGHT_STRING(DATE(placed)) AS `_sp0` FROM orders GROUP BY DATE(placed) ORDER BY DATE(placed)
-- merge: group (count)

SELECT age, name FROM users GROUP BY age, name HAVING age > 20 AND COUNT(*) > 1;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT age, name, WEIGHT_STRING(name AS CHAR(40)) AS `_sp1`, COUNT(*) AS `_sp0` FROM users GROUP BY age, name ORDER BY age, name
-- merge: group (count), having

SELECT u.age, COUNT(*) FROM users u LEFT JOIN profiles p ON p.uid = u.uid GROUP BY u.age ORDER BY COUNT(*) DESC LIMIT 3;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT u.age, COUNT(*) FROM users u LEFT JOIN profiles p ON p.uid = u.uid GROUP BY u.age ORDER BY u.age
-- merge: group (count), sort, limit
