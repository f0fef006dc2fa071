-- While rows are moved, some lie on a shard that does not own them: users 100 to 119 on s0, users below 10 and 250 to 299 on s3,
-- orders of two buckets on s1. Statements over several shards leave them out there.

-- Without a condition.
SELECT name FROM users;
-- route: select, the shards that the sharding key names
-- s0: SELECT name FROM users WHERE NOT ((`users`.`uid` >= 100 AND `users`.`uid` < 120))
-- s1 s2: SELECT name FROM users
-- s3: SELECT name FROM users WHERE NOT ((`users`.`uid` < 10) OR (`users`.`uid` >= 250 AND `users`.`uid` < 300))
-- merge: rows as they come

SELECT name FROM users WHERE age > 30;
-- route: select, the shards that the sharding key names
-- s0: SELECT name FROM users WHERE (age > 30) AND NOT ((`users`.`uid` >= 100 AND `users`.`uid` < 120))
-- s1 s2: SELECT name FROM users WHERE age > 30
-- s3: SELECT name FROM users WHERE (age > 30) AND NOT ((`users`.`uid` < 10) OR (`users`.`uid` >= 250 AND `users`.`uid` < 300))
-- merge: rows as they come

-- The client's condition stays in one piece.
SELECT name FROM users WHERE age > 30 OR country = 'ch';
-- route: select, the shards that the sharding key names
-- s0: SELECT name FROM users WHERE (age > 30 OR country = 'ch') AND NOT ((`users`.`uid` >= 100 AND `users`.`uid` < 120))
-- s1 s2: SELECT name FROM users WHERE age > 30 OR country = 'ch'
-- s3: SELECT name FROM users WHERE (age > 30 OR country = 'ch') AND NOT ((`users`.`uid` < 10) OR (`users`.`uid` >= 250 AND `users`.`uid` < 300))
-- merge: rows as they come

SELECT COUNT(*), AVG(age) FROM users;
-- route: select, the shards that the sharding key names
-- s0: SELECT COUNT(*), AVG(age), COUNT(age) AS `_sp1`, SUM(age) AS `_sp0` FROM users WHERE NOT ((`users`.`uid` >= 100 AND `users`.`uid` < 120))
-- s1 s2: SELECT COUNT(*), AVG(age), COUNT(age) AS `_sp1`, SUM(age) AS `_sp0` FROM users
-- s3: SELECT COUNT(*), AVG(age), COUNT(age) AS `_sp1`, SUM(age) AS `_sp0` FROM users WHERE NOT ((`users`.`uid` < 10) OR (`users`.`uid` >= 250 AND `users`.`uid` < 300))
-- merge: group (avg, count, sum)

SELECT country, COUNT(*) FROM users WHERE age > 30 OR age IS NULL GROUP BY country HAVING COUNT(*) > 1 ORDER BY country LIMIT 5, 10;
-- route: select, the shards that the sharding key names
-- s0: SELECT country, COUNT(*), WEIGHT_STRING(country AS CHAR(2)) AS `_sp0` FROM users WHERE (age > 30 OR age IS NULL) AND NOT ((`users`.`uid` >= 100 AND `users`.`uid` < 120)) GROUP BY country ORDER BY country
-- s1 s2: SELECT country, COUNT(*), WEIGHT_STRING(country AS CHAR(2)) AS `_sp0` FROM users WHERE age > 30 OR age IS NULL GROUP BY country ORDER BY country
-- s3: SELECT country, COUNT(*), WEIGHT_STRING(country AS CHAR(2)) AS `_sp0` FROM users WHERE (age > 30 OR age IS NULL) AND NOT ((`users`.`uid` < 10) OR (`users`.`uid` >= 250 AND `users`.`uid` < 300)) GROUP BY country ORDER BY country
-- merge: group (count), having, offset, limit

SELECT country, MAX(age) FROM users GROUP BY country;
-- route: select, the shards that the sharding key names
-- s0: SELECT country, MAX(age), WEIGHT_STRING(country AS CHAR(2)) AS `_sp0` FROM users WHERE NOT ((`users`.`uid` >= 100 AND `users`.`uid` < 120)) GROUP BY country ORDER BY country
-- s1 s2: SELECT country, MAX(age), WEIGHT_STRING(country AS CHAR(2)) AS `_sp0` FROM users GROUP BY country ORDER BY country
-- s3: SELECT country, MAX(age), WEIGHT_STRING(country AS CHAR(2)) AS `_sp0` FROM users WHERE NOT ((`users`.`uid` < 10) OR (`users`.`uid` >= 250 AND `users`.`uid` < 300)) GROUP BY country ORDER BY country
-- merge: group (max)

SELECT DISTINCT country FROM users;
-- route: select, the shards that the sharding key names
-- s0: SELECT DISTINCT country, WEIGHT_STRING(country AS CHAR(2)) AS `_sp0` FROM users WHERE NOT ((`users`.`uid` >= 100 AND `users`.`uid` < 120)) ORDER BY 1
-- s1 s2: SELECT DISTINCT country, WEIGHT_STRING(country AS CHAR(2)) AS `_sp0` FROM users ORDER BY 1
-- s3: SELECT DISTINCT country, WEIGHT_STRING(country AS CHAR(2)) AS `_sp0` FROM users WHERE NOT ((`users`.`uid` < 10) OR (`users`.`uid` >= 250 AND `users`.`uid` < 300)) ORDER BY 1
-- merge: merge in order, distinct

SELECT name FROM users ORDER BY age DESC LIMIT 3;
-- route: select, the shards that the sharding key names
-- s0: SELECT name, age AS `_sp0` FROM users WHERE NOT ((`users`.`uid` >= 100 AND `users`.`uid` < 120)) ORDER BY age DESC LIMIT 3
-- s1 s2: SELECT name, age AS `_sp0` FROM users ORDER BY age DESC LIMIT 3
-- s3: SELECT name, age AS `_sp0` FROM users WHERE NOT ((`users`.`uid` < 10) OR (`users`.`uid` >= 250 AND `users`.`uid` < 300)) ORDER BY age DESC LIMIT 3
-- merge: merge in order, limit

SELECT name FROM users WHERE age = 1 OR age = 2 FOR UPDATE;
-- route: select, the shards that the sharding key names
-- s0: SELECT name FROM users WHERE (age = 1 OR age = 2) AND NOT ((`users`.`uid` >= 100 AND `users`.`uid` < 120)) FOR UPDATE
-- s1 s2: SELECT name FROM users WHERE age = 1 OR age = 2 FOR UPDATE
-- s3: SELECT name FROM users WHERE (age = 1 OR age = 2) AND NOT ((`users`.`uid` < 10) OR (`users`.`uid` >= 250 AND `users`.`uid` < 300)) FOR UPDATE
-- merge: rows as they come

SELECT name FROM users WHERE age = 1 LOCK IN SHARE MODE;
-- route: select, the shards that the sharding key names
-- s0: SELECT name FROM users WHERE (age = 1) AND NOT ((`users`.`uid` >= 100 AND `users`.`uid` < 120)) LOCK IN SHARE MODE
-- s1 s2: SELECT name FROM users WHERE age = 1 LOCK IN SHARE MODE
-- s3: SELECT name FROM users WHERE (age = 1) AND NOT ((`users`.`uid` < 10) OR (`users`.`uid` >= 250 AND `users`.`uid` < 300)) LOCK IN SHARE MODE
-- merge: rows as they come

SELECT STRAIGHT_JOIN name FROM users FORCE INDEX (age) WHERE age = 1 OR age = 2;
-- route: select, the shards that the sharding key names
-- s0: SELECT STRAIGHT_JOIN name FROM users FORCE INDEX (age) WHERE (age = 1 OR age = 2) AND NOT ((`users`.`uid` >= 100 AND `users`.`uid` < 120))
-- s1 s2: SELECT STRAIGHT_JOIN name FROM users FORCE INDEX (age) WHERE age = 1 OR age = 2
-- s3: SELECT STRAIGHT_JOIN name FROM users FORCE INDEX (age) WHERE (age = 1 OR age = 2) AND NOT ((`users`.`uid` < 10) OR (`users`.`uid` >= 250 AND `users`.`uid` < 300))
-- merge: rows as they come

SELECT u.name FROM users PARTITION (p0) AS u USE INDEX FOR ORDER BY (age) ORDER BY u.uid;
-- route: select, the shards that the sharding key names
-- s0: SELECT u.name, u.uid AS `_sp0` FROM users PARTITION (p0) AS u USE INDEX FOR ORDER BY (age) WHERE NOT ((`u`.`uid` >= 100 AND `u`.`uid` < 120)) ORDER BY u.uid
-- s1 s2: SELECT u.name, u.uid AS `_sp0` FROM users PARTITION (p0) AS u USE INDEX FOR ORDER BY (age) ORDER BY u.uid
-- s3: SELECT u.name, u.uid AS `_sp0` FROM users PARTITION (p0) AS u USE INDEX FOR ORDER BY (age) WHERE NOT ((`u`.`uid` < 10) OR (`u`.`uid` >= 250 AND `u`.`uid` < 300)) ORDER BY u.uid
-- merge: merge in order

-- A comment must not swallow what is added.
SELECT name FROM users WHERE age = 1 OR age = 2 -- young
;
-- route: select, the shards that the sharding key names
-- s0: SELECT name FROM users WHERE (age = 1 OR age = 2) AND NOT ((`users`.`uid` >= 100 AND `users`.`uid` < 120))
-- s1 s2: SELECT name FROM users WHERE age = 1 OR age = 2
-- s3: SELECT name FROM users WHERE (age = 1 OR age = 2) AND NOT ((`users`.`uid` < 10) OR (`users`.`uid` >= 250 AND `users`.`uid` < 300))
-- merge: rows as they come

SELECT name FROM users -- all of them
;
-- route: select, the shards that the sharding key names
-- s0: SELECT name FROM users WHERE NOT ((`users`.`uid` >= 100 AND `users`.`uid` < 120))
-- s1 s2: SELECT name FROM users
-- s3: SELECT name FROM users WHERE NOT ((`users`.`uid` < 10) OR (`users`.`uid` >= 250 AND `users`.`uid` < 300))
-- merge: rows as they come

SELECT name FROM users WHERE # ages
  age = 1 /* or */ OR age = 2 ORDER BY uid;
-- route: select, the shards that the sharding key names
-- s0: SELECT name, uid AS `_sp0` FROM users WHERE  \n  (age = 1   OR age = 2) AND NOT ((`users`.`uid` >= 100 AND `users`.`uid` < 120)) ORDER BY uid
-- s1 s2: SELECT name, uid AS `_sp0` FROM users WHERE  \n  age = 1   OR age = 2 ORDER BY uid
-- s3: SELECT name, uid AS `_sp0` FROM users WHERE  \n  (age = 1   OR age = 2) AND NOT ((`users`.`uid` < 10) OR (`users`.`uid` >= 250 AND `users`.`uid` < 300)) ORDER BY uid
-- merge: merge in order

-- One of the tables is enough: the rows that are joined have equal keys.
SELECT u.name, p.motto FROM users u JOIN profiles p ON p.uid = u.uid WHERE u.age > 30 OR p.motto = '';
-- route: select, the shards that the sharding key names
-- s0: SELECT u.name, p.motto FROM users u JOIN profiles p ON p.uid = u.uid WHERE (u.age > 30 OR p.motto = '') AND NOT ((`u`.`uid` >= 100 AND `u`.`uid` < 120))
-- s1 s2: SELECT u.name, p.motto FROM users u JOIN profiles p ON p.uid = u.uid WHERE u.age > 30 OR p.motto = ''
-- s3: SELECT u.name, p.motto FROM users u JOIN profiles p ON p.uid = u.uid WHERE (u.age > 30 OR p.motto = '') AND NOT ((`u`.`uid` < 10) OR (`u`.`uid` >= 250 AND `u`.`uid` < 300))
-- merge: rows as they come

SELECT u.name, p.motto FROM users u JOIN profiles p USING (uid) WHERE p.motto = '';
-- route: select, the shards that the sharding key names
-- s0: SELECT u.name, p.motto FROM users u JOIN profiles p USING (uid) WHERE (p.motto = '') AND NOT ((`u`.`uid` >= 100 AND `u`.`uid` < 120))
-- s1 s2: SELECT u.name, p.motto FROM users u JOIN profiles p USING (uid) WHERE p.motto = ''
-- s3: SELECT u.name, p.motto FROM users u JOIN profiles p USING (uid) WHERE (p.motto = '') AND NOT ((`u`.`uid` < 10) OR (`u`.`uid` >= 250 AND `u`.`uid` < 300))
-- merge: rows as they come

SELECT u.name, p.motto FROM users u, profiles p WHERE p.uid = u.uid;
-- route: select, the shards that the sharding key names
-- s0: SELECT u.name, p.motto FROM users u, profiles p WHERE (p.uid = u.uid) AND NOT ((`u`.`uid` >= 100 AND `u`.`uid` < 120))
-- s1 s2: SELECT u.name, p.motto FROM users u, profiles p WHERE p.uid = u.uid
-- s3: SELECT u.name, p.motto FROM users u, profiles p WHERE (p.uid = u.uid) AND NOT ((`u`.`uid` < 10) OR (`u`.`uid` >= 250 AND `u`.`uid` < 300))
-- merge: rows as they come

-- But it must be one whose rows are all kept.
SELECT u.name, p.motto FROM users u LEFT JOIN profiles p ON p.uid = u.uid WHERE p.motto IS NULL;
-- route: select, the shards that the sharding key names
-- s0: SELECT u.name, p.motto FROM users u LEFT JOIN profiles p ON p.uid = u.uid WHERE (p.motto IS NULL) AND NOT ((`u`.`uid` >= 100 AND `u`.`uid` < 120))
-- s1 s2: SELECT u.name, p.motto FROM users u LEFT JOIN profiles p ON p.uid = u.uid WHERE p.motto IS NULL
-- s3: SELECT u.name, p.motto FROM users u LEFT JOIN profiles p ON p.uid = u.uid WHERE (p.motto IS NULL) AND NOT ((`u`.`uid` < 10) OR (`u`.`uid` >= 250 AND `u`.`uid` < 300))
-- merge: rows as they come

SELECT u.name, p.motto FROM users u RIGHT JOIN profiles p ON p.uid = u.uid;
-- route: select, the shards that the sharding key names
-- s0: SELECT u.name, p.motto FROM users u RIGHT JOIN profiles p ON p.uid = u.uid WHERE NOT ((`p`.`uid` >= 100 AND `p`.`uid` < 120))
-- s1 s2: SELECT u.name, p.motto FROM users u RIGHT JOIN profiles p ON p.uid = u.uid
-- s3: SELECT u.name, p.motto FROM users u RIGHT JOIN profiles p ON p.uid = u.uid WHERE NOT ((`p`.`uid` < 10) OR (`p`.`uid` >= 250 AND `p`.`uid` < 300))
-- merge: rows as they come

SELECT c.name, u.name FROM countries c JOIN users u ON u.country = c.code;
-- route: select, the shards that the sharding key names
-- s0: SELECT c.name, u.name FROM countries c JOIN users u ON u.country = c.code WHERE NOT ((`u`.`uid` >= 100 AND `u`.`uid` < 120))
-- s1 s2: SELECT c.name, u.name FROM countries c JOIN users u ON u.country = c.code
-- s3: SELECT c.name, u.name FROM countries c JOIN users u ON u.country = c.code WHERE NOT ((`u`.`uid` < 10) OR (`u`.`uid` >= 250 AND `u`.`uid` < 300))
-- merge: rows as they come

SELECT c.name, COUNT(*) FROM users u LEFT JOIN countries c ON u.country = c.code GROUP BY c.name;
-- route: select, the shards that the sharding key names
-- s0: SELECT c.name, COUNT(*), WEIGHT_STRING(c.name AS CHAR(60)) AS `_sp0` FROM users u LEFT JOIN countries c ON u.country = c.code WHERE NOT ((`u`.`uid` >= 100 AND `u`.`uid` < 120)) GROUP BY c.name ORDER BY c.name
-- s1 s2: SELECT c.name, COUNT(*), WEIGHT_STRING(c.name AS CHAR(60)) AS `_sp0` FROM users u LEFT JOIN countries c ON u.country = c.code GROUP BY c.name ORDER BY c.name
-- s3: SELECT c.name, COUNT(*), WEIGHT_STRING(c.name AS CHAR(60)) AS `_sp0` FROM users u LEFT JOIN countries c ON u.country = c.code WHERE NOT ((`u`.`uid` < 10) OR (`u`.`uid` >= 250 AND `u`.`uid` < 300)) GROUP BY c.name ORDER BY c.name
-- merge: group (count)

SELECT name FROM users WHERE uid IN (SELECT uid FROM profiles WHERE bio = '');
-- route: select, the shards that the sharding key names
-- s0: SELECT name FROM users WHERE (uid IN (SELECT uid FROM profiles WHERE bio = '')) AND NOT ((`users`.`uid` >= 100 AND `users`.`uid` < 120))
-- s1 s2: SELECT name FROM users WHERE uid IN (SELECT uid FROM profiles WHERE bio = '')
-- s3: SELECT name FROM users WHERE (uid IN (SELECT uid FROM profiles WHERE bio = '')) AND NOT ((`users`.`uid` < 10) OR (`users`.`uid` >= 250 AND `users`.`uid` < 300))
-- merge: rows as they come

SELECT name FROM users u WHERE EXISTS (SELECT 1 FROM profiles p WHERE p.uid = u.uid) OR age = 1;
-- route: select, the shards that the sharding key names
-- s0: SELECT name FROM users u WHERE (EXISTS (SELECT 1 FROM profiles p WHERE p.uid = u.uid) OR age = 1) AND NOT ((`u`.`uid` >= 100 AND `u`.`uid` < 120))
-- s1 s2: SELECT name FROM users u WHERE EXISTS (SELECT 1 FROM profiles p WHERE p.uid = u.uid) OR age = 1
-- s3: SELECT name FROM users u WHERE (EXISTS (SELECT 1 FROM profiles p WHERE p.uid = u.uid) OR age = 1) AND NOT ((`u`.`uid` < 10) OR (`u`.`uid` >= 250 AND `u`.`uid` < 300))
-- merge: rows as they come

SELECT name, (SELECT motto FROM profiles p WHERE p.uid = u.uid) FROM users u;
-- route: select, the shards that the sharding key names
-- s0: SELECT name, (SELECT motto FROM profiles p WHERE p.uid = u.uid) FROM users u WHERE NOT ((`u`.`uid` >= 100 AND `u`.`uid` < 120))
-- s1 s2: SELECT name, (SELECT motto FROM profiles p WHERE p.uid = u.uid) FROM users u
-- s3: SELECT name, (SELECT motto FROM profiles p WHERE p.uid = u.uid) FROM users u WHERE NOT ((`u`.`uid` < 10) OR (`u`.`uid` >= 250 AND `u`.`uid` < 300))
-- merge: rows as they come

-- A name that has to be quoted.
SELECT `a``b`.name FROM users `a``b`;
-- route: select, the shards that the sharding key names
-- s0: SELECT `a``b`.name FROM users `a``b` WHERE NOT ((`a``b`.`uid` >= 100 AND `a``b`.`uid` < 120))
-- s1 s2: SELECT `a``b`.name FROM users `a``b`
-- s3: SELECT `a``b`.name FROM users `a``b` WHERE NOT ((`a``b`.`uid` < 10) OR (`a``b`.`uid` >= 250 AND `a``b`.`uid` < 300))
-- merge: rows as they come

SELECT app.users.name FROM app.users WHERE app.users.age = 1 OR DATABASE() = 'app';
-- route: select, the shards that the sharding key names
-- s0: SELECT users.name FROM users WHERE (users.age = 1 OR 'app' = 'app') AND NOT ((`users`.`uid` >= 100 AND `users`.`uid` < 120))
-- s1 s2: SELECT users.name FROM users WHERE users.age = 1 OR 'app' = 'app'
-- s3: SELECT users.name FROM users WHERE (users.age = 1 OR 'app' = 'app') AND NOT ((`users`.`uid` < 10) OR (`users`.`uid` >= 250 AND `users`.`uid` < 300))
-- merge: rows as they come

SELECT total FROM orders WHERE total > 1 OR status = 'new';
-- route: select, the shards that the sharding key names
-- s0 s2 s3: SELECT total FROM orders WHERE total > 1 OR status = 'new'
-- s1: SELECT total FROM orders WHERE (total > 1 OR status = 'new') AND NOT (ORD(CONVERT(UNHEX(CONVERT(SUBSTR(SHA2(CAST(`orders`.`uid` + 0 AS CHAR CHARACTER SET ascii), 256), 6, 3) USING ascii)) USING utf16)) IN (133, 627))
-- merge: rows as they come

SELECT COUNT(DISTINCT status) FROM orders;
-- route: select, the shards that the sharding key names
-- s0 s2 s3: SELECT COUNT(DISTINCT status), WEIGHT_STRING(status AS CHAR(20)) AS `_sp0` FROM orders GROUP BY status ORDER BY status
-- s1: SELECT COUNT(DISTINCT status), WEIGHT_STRING(status AS CHAR(20)) AS `_sp0` FROM orders WHERE NOT (ORD(CONVERT(UNHEX(CONVERT(SUBSTR(SHA2(CAST(`orders`.`uid` + 0 AS CHAR CHARACTER SET ascii), 256), 6, 3) USING ascii)) USING utf16)) IN (133, 627)) GROUP BY status ORDER BY status
-- merge: group (count distinct)

SELECT o.total, i.sku FROM orders o JOIN order_items i ON i.uid = o.uid AND i.oid = o.oid;
-- route: select, the shards that the sharding key names
-- s0 s2 s3: SELECT o.total, i.sku FROM orders o JOIN order_items i ON i.uid = o.uid AND i.oid = o.oid
-- s1: SELECT o.total, i.sku FROM orders o JOIN order_items i ON i.uid = o.uid AND i.oid = o.oid WHERE NOT (ORD(CONVERT(UNHEX(CONVERT(SUBSTR(SHA2(CAST(`o`.`uid` + 0 AS CHAR CHARACTER SET ascii), 256), 6, 3) USING ascii)) USING utf16)) IN (133, 627))
-- merge: rows as they come

SELECT token FROM logins WHERE uid = 1;
-- route: select, the shards that the sharding key names
-- s0: SELECT token FROM logins WHERE (uid = 1) AND NOT (ORD(CONVERT(UNHEX(CONVERT(SUBSTR(SHA2(RTRIM(CONVERT(`logins`.`token` USING utf8mb4)), 256), 6, 3) USING ascii)) USING utf16)) IN (17))
-- s1 s2 s3: SELECT token FROM logins WHERE uid = 1
-- merge: rows as they come

-- Two shards, of which one may hold others' rows.
SELECT name FROM users WHERE uid BETWEEN 90 AND 110;
-- route: select, the shards that the sharding key names
-- s0: SELECT name FROM users WHERE (uid BETWEEN 90 AND 110) AND NOT ((`users`.`uid` >= 100 AND `users`.`uid` < 120))
-- s1: SELECT name FROM users WHERE uid BETWEEN 90 AND 110
-- merge: rows as they come

UPDATE users SET age = age + 1;
-- route: update, the shards that the sharding key names
-- s0: UPDATE users SET age = age + 1 WHERE NOT ((`users`.`uid` >= 100 AND `users`.`uid` < 120))
-- s1 s2: UPDATE users SET age = age + 1
-- s3: UPDATE users SET age = age + 1 WHERE NOT ((`users`.`uid` < 10) OR (`users`.`uid` >= 250 AND `users`.`uid` < 300))
-- merge: counts added up

UPDATE users SET age = age + 1 WHERE age = 1 OR age = 2;
-- route: update, the shards that the sharding key names
-- s0: UPDATE users SET age = age + 1 WHERE (age = 1 OR age = 2) AND NOT ((`users`.`uid` >= 100 AND `users`.`uid` < 120))
-- s1 s2: UPDATE users SET age = age + 1 WHERE age = 1 OR age = 2
-- s3: UPDATE users SET age = age + 1 WHERE (age = 1 OR age = 2) AND NOT ((`users`.`uid` < 10) OR (`users`.`uid` >= 250 AND `users`.`uid` < 300))
-- merge: counts added up

UPDATE users SET age = age + 1 WHERE age = 1 OR age = 2 -- young
;
-- route: update, the shards that the sharding key names
-- s0: UPDATE users SET age = age + 1 WHERE (age = 1 OR age = 2) AND NOT ((`users`.`uid` >= 100 AND `users`.`uid` < 120))
-- s1 s2: UPDATE users SET age = age + 1 WHERE age = 1 OR age = 2
-- s3: UPDATE users SET age = age + 1 WHERE (age = 1 OR age = 2) AND NOT ((`users`.`uid` < 10) OR (`users`.`uid` >= 250 AND `users`.`uid` < 300))
-- merge: counts added up

UPDATE IGNORE users AS u SET u.age = (SELECT COUNT(*) FROM profiles p WHERE p.uid = u.uid) WHERE (u.age = 1) OR u.age = 2;
-- route: update, the shards that the sharding key names
-- s0: UPDATE IGNORE users AS u SET u.age = (SELECT COUNT(*) FROM profiles p WHERE p.uid = u.uid) WHERE ((u.age = 1) OR u.age = 2) AND NOT ((`u`.`uid` >= 100 AND `u`.`uid` < 120))
-- s1 s2: UPDATE IGNORE users AS u SET u.age = (SELECT COUNT(*) FROM profiles p WHERE p.uid = u.uid) WHERE (u.age = 1) OR u.age = 2
-- s3: UPDATE IGNORE users AS u SET u.age = (SELECT COUNT(*) FROM profiles p WHERE p.uid = u.uid) WHERE ((u.age = 1) OR u.age = 2) AND NOT ((`u`.`uid` < 10) OR (`u`.`uid` >= 250 AND `u`.`uid` < 300))
-- merge: counts added up

UPDATE users u JOIN profiles p ON p.uid = u.uid SET u.name = p.motto WHERE u.age > 30 OR p.motto = '';
-- route: update, the shards that the sharding key names
-- s0: UPDATE users u JOIN profiles p ON p.uid = u.uid SET u.name = p.motto WHERE (u.age > 30 OR p.motto = '') AND NOT ((`u`.`uid` >= 100 AND `u`.`uid` < 120))
-- s1 s2: UPDATE users u JOIN profiles p ON p.uid = u.uid SET u.name = p.motto WHERE u.age > 30 OR p.motto = ''
-- s3: UPDATE users u JOIN profiles p ON p.uid = u.uid SET u.name = p.motto WHERE (u.age > 30 OR p.motto = '') AND NOT ((`u`.`uid` < 10) OR (`u`.`uid` >= 250 AND `u`.`uid` < 300))
-- merge: counts added up

UPDATE profiles p RIGHT JOIN users u ON p.uid = u.uid SET u.name = 'x';
-- route: update, the shards that the sharding key names
-- s0: UPDATE profiles p RIGHT JOIN users u ON p.uid = u.uid SET u.name = 'x' WHERE NOT ((`u`.`uid` >= 100 AND `u`.`uid` < 120))
-- s1 s2: UPDATE profiles p RIGHT JOIN users u ON p.uid = u.uid SET u.name = 'x'
-- s3: UPDATE profiles p RIGHT JOIN users u ON p.uid = u.uid SET u.name = 'x' WHERE NOT ((`u`.`uid` < 10) OR (`u`.`uid` >= 250 AND `u`.`uid` < 300))
-- merge: counts added up

UPDATE users u JOIN (SELECT code FROM countries WHERE name = 'a') c ON c.code = u.country SET u.name = 'b';
-- route: update, the shards that the sharding key names
-- s0: UPDATE users u JOIN (SELECT code FROM countries WHERE name = 'a') c ON c.code = u.country SET u.name = 'b' WHERE NOT ((`u`.`uid` >= 100 AND `u`.`uid` < 120))
-- s1 s2: UPDATE users u JOIN (SELECT code FROM countries WHERE name = 'a') c ON c.code = u.country SET u.name = 'b'
-- s3: UPDATE users u JOIN (SELECT code FROM countries WHERE name = 'a') c ON c.code = u.country SET u.name = 'b' WHERE NOT ((`u`.`uid` < 10) OR (`u`.`uid` >= 250 AND `u`.`uid` < 300))
-- merge: counts added up

DELETE FROM users;
-- route: delete, the shards that the sharding key names
-- s0: DELETE FROM users WHERE NOT ((`users`.`uid` >= 100 AND `users`.`uid` < 120))
-- s1 s2: DELETE FROM users
-- s3: DELETE FROM users WHERE NOT ((`users`.`uid` < 10) OR (`users`.`uid` >= 250 AND `users`.`uid` < 300))
-- merge: counts added up

DELETE FROM users WHERE age = 1 OR age = 2;
-- route: delete, the shards that the sharding key names
-- s0: DELETE FROM users WHERE (age = 1 OR age = 2) AND NOT ((`users`.`uid` >= 100 AND `users`.`uid` < 120))
-- s1 s2: DELETE FROM users WHERE age = 1 OR age = 2
-- s3: DELETE FROM users WHERE (age = 1 OR age = 2) AND NOT ((`users`.`uid` < 10) OR (`users`.`uid` >= 250 AND `users`.`uid` < 300))
-- merge: counts added up

DELETE FROM app.users WHERE age = 1 OR app.users.age = 2;
-- route: delete, the shards that the sharding key names
-- s0: DELETE FROM users WHERE (age = 1 OR users.age = 2) AND NOT ((`users`.`uid` >= 100 AND `users`.`uid` < 120))
-- s1 s2: DELETE FROM users WHERE age = 1 OR users.age = 2
-- s3: DELETE FROM users WHERE (age = 1 OR users.age = 2) AND NOT ((`users`.`uid` < 10) OR (`users`.`uid` >= 250 AND `users`.`uid` < 300))
-- merge: counts added up

DELETE u, p FROM users u LEFT JOIN profiles p ON p.uid = u.uid WHERE p.uid IS NULL OR u.age = 1;
-- route: delete, the shards that the sharding key names
-- s0: DELETE u, p FROM users u LEFT JOIN profiles p ON p.uid = u.uid WHERE (p.uid IS NULL OR u.age = 1) AND NOT ((`u`.`uid` >= 100 AND `u`.`uid` < 120))
-- s1 s2: DELETE u, p FROM users u LEFT JOIN profiles p ON p.uid = u.uid WHERE p.uid IS NULL OR u.age = 1
-- s3: DELETE u, p FROM users u LEFT JOIN profiles p ON p.uid = u.uid WHERE (p.uid IS NULL OR u.age = 1) AND NOT ((`u`.`uid` < 10) OR (`u`.`uid` >= 250 AND `u`.`uid` < 300))
-- merge: counts added up

DELETE FROM orders WHERE status = 'old';
-- route: delete, the shards that the sharding key names
-- s0 s2 s3: DELETE FROM orders WHERE status = 'old'
-- s1: DELETE FROM orders WHERE (status = 'old') AND NOT (ORD(CONVERT(UNHEX(CONVERT(SUBSTR(SHA2(CAST(`orders`.`uid` + 0 AS CHAR CHARACTER SET ascii), 256), 6, 3) USING ascii)) USING utf16)) IN (133, 627))
-- merge: counts added up

-- A shard that gets its own part of a list owns all of it.
SELECT name FROM users WHERE uid IN (1, 101, 201) AND (age = 1 OR age = 2);
-- route: select, the shards that the sharding key names
-- s0: SELECT name FROM users WHERE uid IN (1) AND (age = 1 OR age = 2)
-- s1: SELECT name FROM users WHERE uid IN (101) AND (age = 1 OR age = 2)
-- s2: SELECT name FROM users WHERE uid IN (201) AND (age = 1 OR age = 2)
-- merge: rows as they come

UPDATE users SET age = 1 WHERE uid IN (1, 101, 201);
-- route: update, the shards that the sharding key names
-- s0: UPDATE users SET age = 1 WHERE uid IN (1)
-- s1: UPDATE users SET age = 1 WHERE uid IN (101)
-- s2: UPDATE users SET age = 1 WHERE uid IN (201)
-- merge: counts added up

-- With more than that list, the list stays whole.
SELECT name FROM users WHERE uid IN (1, 101, 201) OR uid = 301;
-- route: select, the shards that the sharding key names
-- s0: SELECT name FROM users WHERE (uid IN (1, 101, 201) OR uid = 301) AND NOT ((`users`.`uid` >= 100 AND `users`.`uid` < 120))
-- s1 s2: SELECT name FROM users WHERE uid IN (1, 101, 201) OR uid = 301
-- s3: SELECT name FROM users WHERE (uid IN (1, 101, 201) OR uid = 301) AND NOT ((`users`.`uid` < 10) OR (`users`.`uid` >= 250 AND `users`.`uid` < 300))
-- merge: rows as they come

-- On one shard nothing can be met that it does not own.
SELECT name FROM users WHERE uid = 105;
-- route: select, one shard, by its sharding key
-- s1: SELECT name FROM users WHERE uid = 105

SELECT COUNT(*) FROM users WHERE uid < 100;
-- route: select, one shard, by its sharding key
-- s0: SELECT COUNT(*) FROM users WHERE uid < 100

SELECT COUNT(*) FROM users WHERE uid BETWEEN 100 AND 150;
-- route: select, one shard, by its sharding key
-- s1: SELECT COUNT(*) FROM users WHERE uid BETWEEN 100 AND 150

UPDATE users SET age = 1 WHERE uid IN (5, 7);
-- route: update, one shard, by its sharding key
-- s0: UPDATE users SET age = 1 WHERE uid IN (5, 7)

EXPLAIN SELECT name FROM users;
-- route: show, one shard, by its sharding key
-- s0: EXPLAIN SELECT name FROM users

DELETE FROM users WHERE uid = 105 LIMIT 1;
-- route: delete, one shard, by its sharding key
-- s1: DELETE FROM users WHERE uid = 105 LIMIT 1

-- Nothing of these moves.
SELECT page FROM visits;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT page FROM visits
-- merge: rows as they come

DELETE FROM visits WHERE page = 'x';
-- route: delete, the shards that the sharding key names
-- s0 s1 s2 s3: DELETE FROM visits WHERE page = 'x'
-- merge: counts added up

UPDATE countries SET name = 'x';
-- route: update, every shard
-- s0 s1 s2 s3: UPDATE countries SET name = 'x'
-- merge: the count of one copy

SHOW TABLE STATUS;
-- route: show, every shard
-- s0 s1 s2 s3: SHOW TABLE STATUS

INSERT INTO users (uid, name) VALUES (1, 'a'), (101, 'b');
-- route: insert, the shards that the sharding key names
-- s0: INSERT INTO users (uid, name) VALUES (1, 'a')
-- s1: INSERT INTO users (uid, name) VALUES (101, 'b')
-- merge: counts added up

SELECT day FROM events WHERE day = '2024-01-01';
-- route: select, one shard, by its sharding key
-- s0: SELECT day FROM events WHERE day = '2024-01-01'
