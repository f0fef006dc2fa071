-- Schema changes reach every shard that holds, or will hold, the table; names in the text lose the logical schema.

CREATE TABLE users (uid BIGINT NOT NULL PRIMARY KEY, name VARCHAR(40));
-- route: ddl, every shard of the table
-- s0 s1 s2 s3: CREATE TABLE users (uid BIGINT NOT NULL PRIMARY KEY, name VARCHAR(40))

CREATE TABLE IF NOT EXISTS app.orders (uid BIGINT NOT NULL, oid BIGINT NOT NULL, PRIMARY KEY (uid, oid));
-- route: ddl, every shard of the table
-- s0 s1 s2 s3: CREATE TABLE IF NOT EXISTS orders (uid BIGINT NOT NULL, oid BIGINT NOT NULL, PRIMARY KEY (uid, oid))

CREATE TABLE countries (code CHAR(2));
-- route: ddl, every shard of the table
-- s0 s1 s2 s3: CREATE TABLE countries (code CHAR(2))

CREATE TABLE notes (id INT);
-- route: ddl, every shard of the table
-- s1: CREATE TABLE notes (id INT)

CREATE TABLE anything (id INT);
-- route: ddl, every shard of the table
-- s0: CREATE TABLE anything (id INT)

CREATE TABLE profiles LIKE users;
-- route: ddl, every shard of the table
-- s0 s1 s2 s3: CREATE TABLE profiles LIKE users

CREATE TABLE copy_of_notes AS SELECT * FROM options;
-- route: ddl, every shard of the table
-- s0: CREATE TABLE copy_of_notes AS SELECT * FROM options

CREATE TEMPORARY TABLE scratch (id INT);
-- route: ddl, every shard of the table
-- s0: CREATE TEMPORARY TABLE scratch (id INT)

ALTER TABLE users ADD COLUMN nick VARCHAR(40);
-- route: ddl, every shard of the table
-- s0 s1 s2 s3: ALTER TABLE users ADD COLUMN nick VARCHAR(40)

ALTER TABLE `app`.`notes` ADD INDEX (note);
-- route: ddl, every shard of the table
-- s1: ALTER TABLE `notes` ADD INDEX (note)

CREATE UNIQUE INDEX by_name ON users (uid, name);
-- route: ddl, every shard of the table
-- s0 s1 s2 s3: CREATE UNIQUE INDEX by_name ON users (uid, name)

DROP INDEX by_name ON users;
-- route: ddl, every shard of the table
-- s0 s1 s2 s3: DROP INDEX by_name ON users

DROP TABLE users;
-- route: ddl, every shard of the table
-- s0 s1 s2 s3: DROP TABLE `users`

DROP TABLE IF EXISTS users, notes, options;
-- route: ddl, every shard of the table
-- s0 s1 s2 s3: DROP TABLE IF EXISTS `users`
-- s1: DROP TABLE IF EXISTS `notes`
-- s0: DROP TABLE IF EXISTS `options`

TRUNCATE orders;
-- route: ddl, every shard of the table
-- s0 s1 s2 s3: TRUNCATE orders

TRUNCATE TABLE notes;
-- route: ddl, every shard of the table
-- s1: TRUNCATE TABLE notes

RENAME TABLE options TO choices;
-- route: ddl, every shard of the table
-- s0: RENAME TABLE options TO choices

DROP VIEW recent;
-- route: ddl, every shard of the table
-- s0: DROP VIEW recent
