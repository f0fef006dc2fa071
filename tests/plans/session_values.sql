-- What is the session's own is filled in; the column keeps its name. The session is number 7, logged in as app from 10.0.0.9.

SELECT 1;
-- route: select, any one shard
-- any: SELECT 1

SELECT DATABASE(), SCHEMA();
-- route: select, any one shard
-- any: SELECT 'app' AS `DATABASE()`, 'app' AS `SCHEMA()`

SELECT CONNECTION_ID(), USER(), CURRENT_USER, CURRENT_USER();
-- route: select, any one shard
-- any: SELECT CAST(7 AS UNSIGNED) AS `CONNECTION_ID()`, 'app@10.0.0.9' AS `USER()`, 'app@%' AS `CURRENT_USER`, 'app@%' AS `CURRENT_USER()`

SELECT LAST_INSERT_ID(), ROW_COUNT(), FOUND_ROWS();
-- route: select, any one shard
-- any: SELECT CAST(3 AS UNSIGNED) AS `LAST_INSERT_ID()`, CAST(2 AS SIGNED) AS `ROW_COUNT()`, CAST(5 AS SIGNED) AS `FOUND_ROWS()`

SELECT @@autocommit, @@session.warning_count, @@error_count;
-- route: select, any one shard
-- any: SELECT CAST(1 AS SIGNED) AS `@@autocommit`, CAST(0 AS SIGNED) AS `@@session.warning_count`, CAST(0 AS SIGNED) AS `@@error_count`

SELECT LAST_INSERT_ID() AS id;
-- route: select, any one shard
-- any: SELECT CAST(3 AS UNSIGNED) AS id

SELECT LAST_INSERT_ID() + 1;
-- route: select, any one shard
-- any: SELECT CAST(3 AS UNSIGNED) + 1

SELECT @@version, @@sql_mode, NOW();
-- route: select, any one shard
-- any: SELECT '10.11.6-MariaDB' AS `@@version`, @@sql_mode, NOW()

SELECT name FROM users WHERE uid = LAST_INSERT_ID();
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT name FROM users WHERE uid = CAST(3 AS UNSIGNED)
-- merge: rows as they come

SELECT uid FROM users WHERE uid = 42 AND name = CURRENT_USER();
-- route: select, one shard, by its sharding key
-- s0: SELECT uid FROM users WHERE uid = 42 AND name = 'app@%'

SELECT DATABASE() FROM users WHERE uid = 42;
-- route: select, one shard, by its sharding key
-- s0: SELECT 'app' AS `DATABASE()` FROM users WHERE uid = 42

SELECT DATABASE(), COUNT(*) FROM users;
-- route: select, the shards that the sharding key names
-- s0 s1 s2 s3: SELECT 'app' AS `DATABASE()`, COUNT(*) FROM users
-- merge: group (count)

-- What leaves something behind goes to the default shard, or to the one it reads, and the session is pinned there.
SELECT GET_LOCK('a', 1);
-- route: select, one named shard
-- s0: SELECT GET_LOCK('a', 1)

SELECT @n := 5;
-- route: select, one named shard
-- s0: SELECT @n := 5

SELECT name INTO @n FROM users WHERE uid = 42;
-- route: select, one shard, by its sharding key
-- s0: SELECT name INTO @n FROM users WHERE uid = 42

SELECT vat(1);
-- route: select, one named shard
-- s0: SELECT vat(1)

DO SLEEP(0);
-- route: select, any one shard
-- any: DO SLEEP(0)

-- The session itself.
SET @n = 1;
-- route: session, the session itself

SET NAMES utf8mb4;
-- route: session, the session itself

USE app;
-- route: session, the session itself

BEGIN;
-- route: session, the session itself

START TRANSACTION READ ONLY;
-- route: session, the session itself

COMMIT;
-- route: session, the session itself

ROLLBACK TO SAVEPOINT a;
-- route: session, the session itself

KILL 5;
-- route: session, the session itself

EXPLAIN ROUTE SELECT 1;
-- route: session, the session itself
