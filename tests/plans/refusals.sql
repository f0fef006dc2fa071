-- What is refused, with its id. Later versions shorten this list. A test holds that every id that planning can raise is here.

-- SP1201: joins across shards.

SELECT u.name, o.total FROM users u JOIN orders o ON o.uid = u.uid;
-- SP1201: the joined tables are not tied by equal sharding keys of one group

SELECT o.total, v.page FROM orders o JOIN visits v ON v.uid = o.uid;
-- SP1201: the joined tables are not tied by equal sharding keys of one group

SELECT o.total, i.sku FROM orders o JOIN order_items i ON i.oid = o.oid;
-- SP1201: the joined tables are not tied by equal sharding keys of one group

SELECT a.name FROM users a, users b;
-- SP1201: the joined tables are not tied by equal sharding keys of one group

SELECT a.name, b.name, p.motto FROM users a JOIN users b ON b.age = a.age LEFT JOIN profiles p ON p.uid = a.uid AND p.uid = b.uid;
-- SP1201: the joined tables are not tied by equal sharding keys of one group

SELECT u.name, n.note FROM users u JOIN notes n ON n.id = u.uid;
-- SP1201: a sharded and an unsharded table are used together

SELECT n.note, a.action FROM notes n JOIN audit a ON a.id = n.id WHERE n.id = 1;
-- SP1201: the tables of this statement live on different shards

SELECT u.name, n.note, a.action FROM users u JOIN notes n ON n.id = u.uid JOIN audit a ON a.id = n.id;
-- SP1201: the tables of this statement live on different shards

SELECT c.name, u.name FROM countries c LEFT JOIN users u ON u.country = c.code;
-- SP1201: an outer join keeps rows of a table that every shard has

SELECT u.name FROM users u RIGHT JOIN countries c ON u.country = c.code;
-- SP1201: an outer join keeps rows of a table that every shard has

SELECT name FROM users NATURAL JOIN profiles;
-- SP1201: the joined tables are not tied by equal sharding keys of one group

SELECT u.name FROM users u JOIN (profiles p JOIN countries c ON c.name = p.motto) ON p.uid = u.uid;
-- SP1201: a nested join, table function or LATERAL needs several shards

SELECT t.table_name, u.name FROM information_schema.tables t JOIN users u ON u.name = t.table_name;
-- SP1201: system tables cannot be joined with the schema's own

-- SP1202: subqueries, derived tables, WITH and UNION that need several shards.

SELECT name FROM users UNION SELECT page FROM visits;
-- SP1202: a UNION needs several shards

SELECT COUNT(*) FROM (SELECT DISTINCT country FROM users) t;
-- SP1202: a subquery is not tied to the outer query by equal sharding keys

WITH adults AS (SELECT * FROM users WHERE age > 17) SELECT COUNT(*) FROM adults;
-- SP1202: a WITH clause needs several shards

SELECT name FROM users WHERE age > (SELECT AVG(age) FROM users);
-- SP1202: a subquery is not tied to the outer query by equal sharding keys

SELECT name FROM users WHERE uid IN (SELECT uid FROM orders);
-- SP1202: a subquery is not tied to the outer query by equal sharding keys

SELECT name FROM users WHERE uid IN (SELECT uid FROM profiles LIMIT 5);
-- SP1202: a subquery is not tied to the outer query by equal sharding keys

SELECT name FROM countries WHERE code IN (SELECT country FROM users);
-- SP1202: a subquery is not tied to the outer query by equal sharding keys

DELETE FROM orders WHERE uid NOT IN (SELECT uid FROM users);
-- SP1202: a subquery is not tied to the outer query by equal sharding keys

INSERT INTO orders (uid, oid) VALUES (1, (SELECT MAX(id) FROM notes));
-- SP1202: INSERT into a sharded table takes values, not a SELECT

INSERT INTO orders SET uid = 1, oid = (SELECT 5);
-- SP1202: INSERT into a sharded table takes values, not a SELECT

-- SP1203: functions that need all rows in one place.

SELECT GROUP_CONCAT(name) FROM users;
-- SP1203: GROUP_CONCAT cannot be merged from several shards

SELECT STDDEV(age) FROM users;
-- SP1203: STDDEV cannot be merged from several shards

SELECT SUM(DISTINCT age) FROM users;
-- SP1203: sum(DISTINCT) cannot be merged from several shards

SELECT MAX(DISTINCT age) FROM users;
-- SP1203: DISTINCT in MIN and MAX cannot be merged from several shards; leave it out

SELECT COUNT(DISTINCT age), COUNT(DISTINCT country) FROM users;
-- SP1203: COUNT(DISTINCT) of different expressions cannot be merged from several shards

SELECT MIN(flags) FROM users;
-- SP1203: MIN of type bit cannot be merged from several shards

SELECT RANK() OVER (ORDER BY age) FROM users;
-- SP1203: window functions need all rows of their partition on one shard

SELECT @n := uid FROM users;
-- SP1203: a statement that leaves a user variable behind must run on one shard

SELECT name INTO @n FROM users LIMIT 1;
-- SP1203: a statement that leaves a user variable behind must run on one shard

SELECT vat(age) FROM users WHERE uid = 42;
-- SP1203: stored function 'vat' may read other rows than those of one shard

UPDATE countries SET name = vat(1);
-- SP1203: stored function 'vat' may read other rows than those of one shard

UPDATE users SET age = vat(1) WHERE uid = 42;
-- SP1203: stored function 'vat' may read other rows than those of one shard

INSERT INTO orders (uid, oid) VALUES (1, vat(2));
-- SP1203: stored function 'vat' may read other rows than those of one shard

UPDATE users SET age = (@n := @n + 1);
-- SP1203: a statement that leaves a user variable behind must run on one shard

SELECT GET_LOCK(name, 1) FROM users WHERE uid = 42;
-- SP1203: named locks live on the default shard: take them in a statement of their own

-- SP1204: expressions over aggregates.

SELECT SUM(total) / COUNT(*) FROM orders;
-- SP1204: an expression over aggregates cannot be merged from several shards

SELECT status, COUNT(*) + 1 FROM orders GROUP BY status;
-- SP1204: an expression over aggregates cannot be merged from several shards

SELECT AVG(IF(total > 5, 1, 0)) FROM orders;
-- SP1204: the argument of an aggregate is too complex to be merged from several shards

SELECT status FROM orders GROUP BY status HAVING MAX(total) > MIN(total) + 1;
-- SP1204: HAVING over several shards takes group keys, aggregates and aliases

SELECT status, COUNT(*) AS n FROM orders GROUP BY status HAVING n > ABS(-5);
-- SP1204: HAVING over several shards takes group keys, aggregates and aliases

SELECT status, COUNT(*) AS n FROM orders GROUP BY status HAVING n LIKE '1%';
-- SP1204: this HAVING cannot be decided over several shards

SELECT status, COUNT(*) FROM orders GROUP BY status HAVING total > COUNT(*);
-- SP1204: HAVING and ORDER BY of groups on several shards take group keys, aggregates and aliases

SELECT status, COUNT(*) FROM orders GROUP BY status ORDER BY total;
-- SP1204: HAVING and ORDER BY of groups on several shards take group keys, aggregates and aliases

-- SP1205: clauses.

SELECT SQL_CALC_FOUND_ROWS name FROM users LIMIT 5;
-- SP1205: SQL_CALC_FOUND_ROWS cannot be applied over several shards

SELECT status, COUNT(*) FROM orders GROUP BY status WITH ROLLUP;
-- SP1205: WITH ROLLUP cannot be applied over several shards

SELECT DISTINCT status, COUNT(*) FROM orders GROUP BY status;
-- SP1205: DISTINCT of groups cannot be applied over several shards

SELECT *, COUNT(*) FROM orders;
-- SP1205: * cannot be grouped over several shards

SELECT name FROM users LIMIT 5 OFFSET @n;
-- SP1205: this LIMIT cannot be applied over several shards

SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'app';
-- SP1205: information_schema cannot be counted or cut while unsharded tables live on several shards

SELECT DISTINCT u.* FROM users u;
-- SP1205: this * cannot be spelled out for several shards

SELECT status AS oid, COUNT(*) FROM orders GROUP BY oid;
-- SP1205: 'oid' in GROUP BY is both a column and an alias

-- SP1206: orderings.

SELECT uid FROM users ORDER BY likes;
-- SP1206: values of type json cannot be ordered over several shards

SELECT DISTINCT flags FROM users;
-- SP1206: BIT column 'flags' cannot be grouped or made distinct over several shards

SELECT DISTINCT name FROM users ORDER BY age;
-- SP1206: DISTINCT is ordered by something that is not selected

SELECT * FROM users ORDER BY 2;
-- SP1206: an ordinal beside * cannot be used over several shards

SELECT name FROM users ORDER BY 3;
-- SP1206: Unknown column '3' in the list of columns to order by

SELECT uid AS x, name AS x FROM users ORDER BY x;
-- SP1206: Column 'x' is ambiguous

SELECT age AS a FROM users ORDER BY a + 1;
-- SP1206: alias 'a' inside an expression cannot be used over several shards

SELECT status, COUNT(*) FROM orders GROUP BY status ORDER BY NULL;
-- SP1206: ORDER BY NULL cannot be used over several shards

SELECT country, MAX(role) AS highest FROM users GROUP BY country ORDER BY highest;
-- SP1206: MAX of ENUM column 'role' cannot be ordered by

-- SP1207: writes that cannot be split.

UPDATE users SET age = 1 ORDER BY uid LIMIT 5;
-- SP1207: UPDATE with ORDER BY or LIMIT cannot be applied over several shards

DELETE FROM orders LIMIT 5;
-- SP1207: DELETE with ORDER BY or LIMIT cannot be applied over several shards

DELETE FROM orders WHERE status = 'old' RETURNING oid;
-- SP1207: RETURNING cannot be applied over several shards

DELETE FROM tags WHERE id = 1 RETURNING id;
-- SP1207: RETURNING cannot be applied over several shards

INSERT INTO users (uid, name) VALUES (42, 'a'), (142, 'b') RETURNING uid;
-- SP1207: RETURNING cannot be applied over several shards

INSERT INTO tags (tag) VALUES ('a') RETURNING id;
-- SP1207: RETURNING cannot be applied over several shards

INSERT INTO orders (uid, oid) SELECT id, 1 FROM notes;
-- SP1207: INSERT into a sharded table takes values, not a SELECT

INSERT INTO countries SELECT * FROM countries;
-- SP1207: INSERT ... SELECT into a reference table is not supported

INSERT INTO notes (note) SELECT name FROM users;
-- SP1207: INSERT ... SELECT reads tables of other shards

INSERT INTO notes (note) SELECT action FROM audit;
-- SP1207: INSERT ... SELECT reads tables of other shards

UPDATE countries c JOIN notes n ON n.note = c.name SET c.name = 'x';
-- SP1207: a reference table cannot be written together with other tables

UPDATE notes n JOIN audit a ON a.id = n.id SET n.note = a.action;
-- SP1207: the tables of this statement live on different shards

-- SP1208: a row stays where its key puts it.

UPDATE users SET uid = 5 WHERE uid = 42;
-- SP1208: the sharding key 'uid' of a row cannot be changed; delete and insert it

UPDATE users u JOIN profiles p ON p.uid = u.uid SET p.uid = 5 WHERE u.uid = 42;
-- SP1208: the sharding key 'uid' of a row cannot be changed; delete and insert it

INSERT INTO users (uid, name) VALUES (42, 'a') ON DUPLICATE KEY UPDATE uid = 5;
-- SP1208: ON DUPLICATE KEY UPDATE must not change the sharding key 'uid'

-- SP1209: no key at all.

INSERT INTO users (name) VALUES ('a');
-- SP1209: INSERT into sharded table 'users' gives no sharding key 'uid'

INSERT INTO users SET name = 'a';
-- SP1209: INSERT into sharded table 'users' gives no sharding key 'uid'

INSERT INTO users () VALUES ();
-- SP1209: INSERT into sharded table 'users' gives no sharding key 'uid'

-- SP1210: a key whose place cannot be told.

INSERT INTO users (uid, name) VALUES (1 + 1, 'a');
-- SP1210: sharding key 'uid' must be a literal, not 1 + 1

INSERT INTO users (uid, name) VALUES (42, 'a'), (LAST_INSERT_ID(), 'b');
-- SP1210: sharding key 'uid' must be a literal, not CAST(3 AS UNSIGNED)

INSERT INTO users (uid, name) VALUES (DEFAULT, 'a');
-- SP1210: sharding key 'uid' must be a literal, not DEFAULT

INSERT INTO users (uid, name) VALUES (1.5, 'a');
-- SP1210: the value 1.5 for sharding key 'uid' does not tell where the row belongs

INSERT INTO users (uid, name) VALUES ('x', 'a');
-- SP1210: the value 'x' for sharding key 'uid' does not tell where the row belongs

INSERT INTO users SET uid = NULL, name = 'a';
-- SP1210: use INSERT ... VALUES for table 'users'

INSERT INTO events VALUES ('24-6-30', 'a');
-- SP1210: the value '24-6-30' for sharding key 'day' does not tell where the row belongs

INSERT INTO logins VALUES (1.5, 1);
-- SP1210: the value 1.5 for sharding key 'token' does not tell where the row belongs

-- Not what stands between the first quote and the last.
INSERT INTO logins VALUES ('c', 1), ('a' 'b', 2);
-- SP1210: the value 'a' 'b' for sharding key 'token' does not tell where the row belongs

INSERT INTO logins VALUES ('c', 1), ('a' || 'b', 2);
-- SP1210: the value 'a' || 'b' for sharding key 'token' does not tell where the row belongs

-- SP1211 to SP1213: as a server would say of a partition, of NULL and of a number.

INSERT INTO events VALUES ('2025-01-01', 'a');
-- SP1211: Table has no partition for value 2025-01-01 of sharding key 'day'

INSERT INTO users (uid, name) VALUES (NULL, 'a');
-- SP1212: Column 'uid' cannot be null

INSERT INTO shelves (number) VALUES (256);
-- SP1213: Out of range value for column 'number' at row 1

INSERT INTO shelves (number) VALUES (1), (-1);
-- SP1213: Out of range value for column 'number' at row 1

-- SP1214: shards would each count by themselves.

INSERT INTO tickets (uid, title) VALUES (1, 'a');
-- SP1214: the AUTO_INCREMENT column 'id' of sharded table 'tickets' must be given a value

INSERT INTO tickets (id, uid, title) VALUES (NULL, 1, 'a');
-- SP1214: the AUTO_INCREMENT column 'id' must be given a number other than zero

INSERT INTO tickets (id, uid, title) VALUES (1, 1, 'a'), (0, 2, 'b');
-- SP1214: the AUTO_INCREMENT column 'id' must be given a number other than zero

INSERT INTO tickets (id, uid, title) VALUES (0.0, 1, 'a');
-- SP1214: the AUTO_INCREMENT column 'id' must be given a number other than zero

INSERT INTO tickets (id, uid, title) VALUES ('', 1, 'a');
-- SP1214: the AUTO_INCREMENT column 'id' must be given a number other than zero

INSERT INTO tickets (id, uid, title) VALUES (NULLIF(1, 1), 1, 'a');
-- SP1214: the AUTO_INCREMENT column 'id' must be given a number other than zero

-- SP1215: copies of a reference table must stay equal.

INSERT INTO tags (tag) VALUES (UUID());
-- SP1215: UUID() could differ between the copies of a reference table

UPDATE countries SET name = RAND();
-- SP1215: RAND() could differ between the copies of a reference table

UPDATE tags SET tag = @@hostname;
-- SP1215: a server variable could differ between the copies of a reference table

DELETE FROM tags LIMIT 1;
-- SP1215: LIMIT could choose different rows in the copies of a reference table

-- SP1216: not supported.

(SELECT name FROM users) LIMIT 5;
-- SP1216: this SELECT cannot be run on several shards

WITH t AS (SELECT 1) UPDATE users SET age = 1 WHERE uid = 42;
-- SP1216: WITH is supported in front of a SELECT only

WITH t AS (SELECT 1 FROM countries) DELETE FROM users WHERE uid = 42;
-- SP1216: WITH is supported in front of a SELECT only

DO @x := (SELECT COUNT(*) FROM users);
-- SP1216: a subquery in DO is not supported

SELECT LAST_INSERT_ID(5);
-- SP1216: LAST_INSERT_ID(expression) is supported in INSERT and UPDATE only

CALL tidy();
-- SP1216: CALL is not supported

LOCK TABLES users READ;
-- SP1216: LOCK is not supported

LOAD DATA LOCAL INFILE 'x' INTO TABLE users;
-- SP1216: LOAD DATA into 'users' is not supported: its rows belong on several shards

SELEKT 1;
-- SP1104: You have an error in your SQL syntax near 'SELEKT 1'

LOAD DATA INFILE 'x' INTO TABLE users;
-- SP1014: LOAD DATA without LOCAL would read a file of a shard's server

HANDLER users OPEN;
-- SP1216: HANDLER is not supported

CREATE VIEW recent AS SELECT * FROM notes;
-- SP1216: CREATE VIEW is not supported

CREATE TRIGGER t BEFORE INSERT ON notes FOR EACH ROW SET NEW.note = '';
-- SP1216: CREATE TRIGGER is not supported

SHOW MASTER STATUS;
-- SP1216: SHOW MASTER is a question to one server: ask the shards

SELECT NEXTVAL(s);
-- SP1216: sequences are not supported yet

SELECT NEXTVAL(s) FROM notes;
-- SP1216: sequences are not supported yet

INSERT INTO notes PARTITION (p0) (note) VALUES ('a');
-- SP1216: INSERT with PARTITION is not supported

-- SP1220: schema changes.

ALTER TABLE users DROP COLUMN uid;
-- SP1220: the sharding key 'uid' of 'users' cannot be altered

ALTER TABLE users MODIFY uid INT;
-- SP1220: the sharding key 'uid' of 'users' cannot be altered

ALTER TABLE users RENAME TO people;
-- SP1220: 'users' is named in the config and cannot be renamed

ALTER TABLE options RENAME TO users;
-- SP1220: 'users' is named in the config

RENAME TABLE users TO people;
-- SP1220: 'users' is named in the config and cannot be renamed

RENAME TABLE people TO users;
-- SP1220: 'users' is named in the config and cannot be renamed

RENAME TABLE options TO choices, sizes TO users;
-- SP1220: 'users' is named in the config and cannot be renamed

CREATE TABLE users LIKE notes;
-- SP1220: 'notes' and 'users' live on different shards

CREATE TABLE users AS SELECT * FROM notes;
-- SP1220: 'users' cannot be created from a SELECT: it is spread over shards

CREATE TABLE options AS SELECT * FROM notes;
-- SP1220: CREATE TABLE ... SELECT reads tables of other shards

CREATE TEMPORARY TABLE users (uid INT);
-- SP1220: a temporary table may not hide 'users', which is spread over shards

-- Other ids that planning gives: privileges, names and syntax.

GRANT ALL ON app.* TO app;
-- SP1014: GRANT is not for the proxy: do it on the shards' servers

SELECT name INTO OUTFILE '/tmp/x' FROM users WHERE uid = 42;
-- SP1014: INTO OUTFILE would write a file on a shard's server

SELECT 1; SELECT 2;
-- SP1104: You have an error in your SQL syntax near ';': one statement at a time

DROP DATABASE app;
-- SP1014: DROP DATABASE is not for the proxy: do it on the shards' servers

SELECT * FROM other.users;
-- SP1101: Unknown database 'other'

SELECT * FROM Users;
-- SP1103: Table 'app.Users' doesn't exist

INSERT INTO users (uid, name) VALUES (42);
-- SP1108: Column count doesn't match value count at row 1

INSERT INTO users (uid, name) VALUES (42, 'a'), (43);
-- SP1108: Column count doesn't match value count at row 2

-- What sqlglot does not take for an aggregate.
SELECT JSON_ARRAYAGG(age) FROM users;
-- SP1203: JSON_ARRAYAGG cannot be merged from several shards

DELETE FROM users USING users JOIN orders o ON o.uid = users.uid WHERE users.age > 5;
-- SP1216: DELETE ... USING is not supported; write DELETE t FROM t JOIN ...

ALTER TABLE users DROP COLUMN IF EXISTS uid;
-- SP1220: the sharding key 'uid' of 'users' cannot be altered
