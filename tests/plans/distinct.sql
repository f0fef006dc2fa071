-- Equal rows of several shards become one: every shard orders by all columns.

SELECT DISTINCT age FROM users;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT DISTINCT age FROM users ORDER BY 1
-- merge: merge in order, distinct

SELECT DISTINCT name FROM users;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT DISTINCT name, WEIGHT_STRING(name AS CHAR(40)) AS `_sp0` FROM users ORDER BY 1
-- merge: merge in order, distinct

SELECT DISTINCT country, age FROM users;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT DISTINCT country, age, WEIGHT_STRING(country AS CHAR(2)) AS `_sp0` FROM users ORDER BY 1, 2
-- merge: merge in order, distinct

SELECT DISTINCT country, age FROM users ORDER BY age DESC;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT DISTINCT country, age, WEIGHT_STRING(country AS CHAR(2)) AS `_sp0` FROM users ORDER BY age DESC, 1
-- merge: merge in order, distinct

SELECT DISTINCT age AS a FROM users ORDER BY a LIMIT 3;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT DISTINCT age AS a FROM users ORDER BY a LIMIT 3
-- merge: merge in order, distinct, limit

SELECT DISTINCTROW role FROM users;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT DISTINCTROW role, (role + 0) AS `_sp0` FROM users ORDER BY 1
-- merge: merge in order, distinct

SELECT DISTINCT * FROM visits;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT DISTINCT `visits`.`uid`, `visits`.`page`, WEIGHT_STRING(`visits`.`page` AS CHAR(100)) AS `_sp0` FROM visits ORDER BY 1, 2
-- merge: merge in order, distinct

SELECT DISTINCT UPPER(name) FROM users;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT DISTINCT UPPER(name), COLLATION(UPPER(name)) AS `_sp1`, WEIGHT_STRING(UPPER(name)) AS `_sp0` FROM users ORDER BY 1
-- merge: merge in order, distinct

SELECT DISTINCT age FROM users WHERE uid < 100;
-- route: select, one shard, by its sharding key
-- s0: SELECT DISTINCT age FROM users WHERE uid < 100
