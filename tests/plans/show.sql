-- Questions about the schema are answered under the name that clients know.

SHOW TABLES;
-- route: show, every shard
-- s0 s1 s2 s3: SHOW TABLES

SHOW FULL TABLES FROM app LIKE 'u%';
-- route: show, every shard
-- s0: SHOW FULL TABLES FROM `app_0` LIKE 'u%'
-- s1: SHOW FULL TABLES FROM `app_1` LIKE 'u%'
-- s2: SHOW FULL TABLES FROM `app_2` LIKE 'u%'
-- s3: SHOW FULL TABLES FROM `app_3` LIKE 'u%'

SHOW TABLE STATUS;
-- route: show, every shard
-- s0 s1 s2 s3: SHOW TABLE STATUS

SHOW TABLES FROM information_schema;
-- route: show, any one shard
-- any: SHOW TABLES FROM information_schema

SHOW CREATE TABLE users;
-- route: show, one named shard
-- s0: SHOW CREATE TABLE users

SHOW COLUMNS FROM notes;
-- route: show, one named shard
-- s1: SHOW COLUMNS FROM notes

SHOW FULL COLUMNS FROM orders FROM app;
-- route: show, one named shard
-- s0: SHOW FULL COLUMNS FROM orders 

SHOW INDEX FROM app.users;
-- route: show, one named shard
-- s0: SHOW INDEX FROM users

DESCRIBE users;
-- route: show, one named shard
-- s0: DESCRIBE users

DESC app.notes;
-- route: show, one named shard
-- s1: DESC notes

EXPLAIN audit;
-- route: show, one named shard
-- s2: EXPLAIN audit

SHOW VARIABLES LIKE 'version%';
-- route: show, any one shard
-- any: SHOW VARIABLES LIKE 'version%'

SHOW STATUS;
-- route: show, any one shard
-- any: SHOW STATUS

SHOW ENGINES;
-- route: show, any one shard
-- any: SHOW ENGINES

SHOW COLLATION;
-- route: show, any one shard
-- any: SHOW COLLATION

SHOW CREATE DATABASE app;
-- route: show, any one shard
-- any: SHOW CREATE DATABASE `app_any`

SELECT table_name FROM information_schema.tables WHERE table_schema = 'app';
-- route: select, every shard
-- s0: SELECT table_name FROM information_schema.tables WHERE table_schema = 'app_0'
-- s1: SELECT table_name FROM information_schema.tables WHERE table_schema = 'app_1'
-- s2: SELECT table_name FROM information_schema.tables WHERE table_schema = 'app_2'
-- s3: SELECT table_name FROM information_schema.tables WHERE table_schema = 'app_3'

SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE();
-- route: select, every shard
-- s0 s1 s2 s3: SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()

-- The session answers these itself.
SHOW WARNINGS;
-- route: session, the session itself

SHOW DATABASES;
-- route: session, the session itself

SHOW PROCESSLIST;
-- route: session, the session itself

SHOW GRANTS;
-- route: session, the session itself

SHOW COUNT(*) ERRORS;
-- route: session, the session itself

-- A server's own plan, as the first shard concerned has it.
EXPLAIN SELECT name FROM users;
-- route: show, one shard, by its sharding key
-- s0: EXPLAIN SELECT name FROM users

EXPLAIN SELECT name FROM users WHERE uid = 142;
-- route: show, one shard, by its sharding key
-- s1: EXPLAIN SELECT name FROM users WHERE uid = 142

EXPLAIN UPDATE users SET age = 1;
-- route: show, one shard, by its sharding key
-- s0: EXPLAIN UPDATE users SET age = 1
