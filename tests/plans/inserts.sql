-- Rows go to the shards that their keys name.

INSERT INTO orders (uid, oid, total) VALUES (1, 10, 9.95);
-- route: insert, one shard, by its sharding key
-- s2: INSERT INTO orders (uid, oid, total) VALUES (1, 10, 9.95)

INSERT INTO orders VALUES (1, 10, 9.95, 'new', '2024-01-01');
-- route: insert, one shard, by its sharding key
-- s2: INSERT INTO orders VALUES (1, 10, 9.95, 'new', '2024-01-01')

INSERT INTO app.orders (uid, oid) VALUES (1, 10);
-- route: insert, one shard, by its sharding key
-- s2: INSERT INTO orders (uid, oid) VALUES (1, 10)

INSERT INTO orders (uid, oid) VALUES (1, 10), (2, 10), (3, 10), (4, 10), (1, 11);
-- route: insert, the shards that the sharding key names
-- s2: INSERT INTO orders (uid, oid) VALUES (1, 10), (3, 10), (1, 11)
-- s1: INSERT INTO orders (uid, oid) VALUES (2, 10), (4, 10)
-- merge: counts added up

INSERT INTO users (uid, name) VALUES (42, 'a'), (142, 'b, (c)'), (43, "d'");
-- route: insert, the shards that the sharding key names
-- s0: INSERT INTO users (uid, name) VALUES (42, 'a'), (43, "d'")
-- s1: INSERT INTO users (uid, name) VALUES (142, 'b, (c)')
-- merge: counts added up

INSERT INTO users (uid, name) VALUES (42, CONCAT('a', 'b')), (142, NOW());
-- route: insert, the shards that the sharding key names
-- s0: INSERT INTO users (uid, name) VALUES (42, CONCAT('a', 'b'))
-- s1: INSERT INTO users (uid, name) VALUES (142, NOW())
-- merge: counts added up

INSERT INTO users SET uid = 142, name = 'b';
-- route: insert, one shard, by its sharding key
-- s1: INSERT INTO users SET uid = 142, name = 'b'

INSERT IGNORE INTO users (name, uid) VALUES ('a', 42), ('b', 142);
-- route: insert, the shards that the sharding key names
-- s0: INSERT IGNORE INTO users (name, uid) VALUES ('a', 42)
-- s1: INSERT IGNORE INTO users (name, uid) VALUES ('b', 142)
-- merge: counts added up

INSERT INTO users (uid, name) VALUES (42, 'a'), (142, 'b') ON DUPLICATE KEY UPDATE name = VALUES(name);
-- route: insert, the shards that the sharding key names
-- s0: INSERT INTO users (uid, name) VALUES (42, 'a') ON DUPLICATE KEY UPDATE name = VALUES(name)
-- s1: INSERT INTO users (uid, name) VALUES (142, 'b') ON DUPLICATE KEY UPDATE name = VALUES(name)
-- merge: counts added up

INSERT INTO users (uid, name) VALUES (42, 'a') ON DUPLICATE KEY UPDATE name = VALUES(name), age = age + 1;
-- route: insert, one shard, by its sharding key
-- s0: INSERT INTO users (uid, name) VALUES (42, 'a') ON DUPLICATE KEY UPDATE name = VALUES(name), age = age + 1

REPLACE INTO users (uid, name) VALUES (42, 'a'), (142, 'b');
-- route: insert, the shards that the sharding key names
-- s0: REPLACE INTO users (uid, name) VALUES (42, 'a')
-- s1: REPLACE INTO users (uid, name) VALUES (142, 'b')
-- merge: counts added up

INSERT INTO users (name, uid) VALUES ('a, (b', 42), ("it's", 142), ('x\'y', 242);
-- route: insert, the shards that the sharding key names
-- s0: INSERT INTO users (name, uid) VALUES ('a, (b', 42)
-- s1: INSERT INTO users (name, uid) VALUES ("it's", 142)
-- s2: INSERT INTO users (name, uid) VALUES ('x\'y', 242)
-- merge: counts added up

INSERT INTO users(uid,name)VALUE(42,'a'),(142,'b');
-- route: insert, the shards that the sharding key names
-- s0: INSERT INTO users(uid,name)VALUE(42,'a')
-- s1: INSERT INTO users(uid,name)VALUE(142,'b')
-- merge: counts added up

-- Keys are read in every form that is stored as the same value.
INSERT INTO orders (uid, oid) VALUES (-1, 1);
-- route: insert, one shard, by its sharding key
-- s1: INSERT INTO orders (uid, oid) VALUES (-1, 1)

INSERT INTO orders (uid, oid) VALUES ('1', 1);
-- route: insert, one shard, by its sharding key
-- s2: INSERT INTO orders (uid, oid) VALUES ('1', 1)

INSERT INTO orders (uid, oid) VALUES ((1), 1);
-- route: insert, one shard, by its sharding key
-- s2: INSERT INTO orders (uid, oid) VALUES ((1), 1)

INSERT INTO orders (uid, oid) VALUES (TRUE, 1), ('9007199254740993', 2);
-- route: insert, the shards that the sharding key names
-- s2: INSERT INTO orders (uid, oid) VALUES (TRUE, 1)
-- s1: INSERT INTO orders (uid, oid) VALUES ('9007199254740993', 2)
-- merge: counts added up

INSERT INTO logins VALUES ('abc', 1), ('abc ', 2), (5, 3);
-- route: insert, the shards that the sharding key names
-- s1: INSERT INTO logins VALUES ('abc', 1), ('abc ', 2)
-- s0: INSERT INTO logins VALUES (5, 3)
-- merge: counts added up

INSERT INTO events VALUES ('2024-06-30', 'a'), ('2024-07-01', 'b');
-- route: insert, the shards that the sharding key names
-- s0: INSERT INTO events VALUES ('2024-06-30', 'a')
-- s1: INSERT INTO events VALUES ('2024-07-01', 'b')
-- merge: counts added up

INSERT INTO shelves (number) VALUES (255);
-- route: insert, one shard, by its sharding key
-- s3: INSERT INTO shelves (number) VALUES (255)

-- The session's own values are filled in.
INSERT INTO logins VALUES ('abc', LAST_INSERT_ID());
-- route: insert, one shard, by its sharding key
-- s1: INSERT INTO logins VALUES ('abc', CAST(3 AS UNSIGNED))

INSERT INTO users (uid, name) VALUES (42, 'a') RETURNING uid;
-- route: insert, one shard, by its sharding key
-- s0: INSERT INTO users (uid, name) VALUES (42, 'a') RETURNING uid

-- An AUTO_INCREMENT column of a sharded table gets its value from the client.
INSERT INTO tickets (id, uid, title) VALUES (7, 1, 'a');
-- route: insert, one shard, by its sharding key
-- s2: INSERT INTO tickets (id, uid, title) VALUES (7, 1, 'a')

INSERT INTO tickets (id, uid, title) VALUES (7, 1, 'a'), (8, 2, 'b');
-- route: insert, the shards that the sharding key names
-- s2: INSERT INTO tickets (id, uid, title) VALUES (7, 1, 'a')
-- s1: INSERT INTO tickets (id, uid, title) VALUES (8, 2, 'b')
-- merge: counts added up

-- Reference tables are written everywhere, unsharded ones where they live.
INSERT INTO countries VALUES ('DE', 'Germany');
-- route: insert, every shard
-- s0 s1 s2 s3: INSERT INTO countries VALUES ('DE', 'Germany')
-- merge: the count of one copy

INSERT INTO tags (tag) VALUES ('new'), ('old');
-- route: insert, every shard
-- s0 s1 s2 s3: INSERT INTO tags (tag) VALUES ('new'), ('old')
-- merge: the count of one copy

INSERT INTO notes (note) VALUES ('a'), (UUID());
-- route: insert, one named shard
-- s1: INSERT INTO notes (note) VALUES ('a'), (UUID())

INSERT INTO options VALUES ('a', 'b');
-- route: insert, one named shard
-- s0: INSERT INTO options VALUES ('a', 'b')

INSERT INTO notes (note) SELECT note FROM notes;
-- route: insert, one named shard
-- s1: INSERT INTO notes (note) SELECT note FROM notes

INSERT INTO notes (note) SELECT name FROM countries;
-- route: insert, one named shard
-- s1: INSERT INTO notes (note) SELECT name FROM countries

INSERT INTO users (uid, name) VALUES (42, 'a'), (142, 'b') AS new ON DUPLICATE KEY UPDATE name = new.name;
-- route: insert, the shards that the sharding key names
-- s0: INSERT INTO users (uid, name) VALUES (42, 'a') AS new ON DUPLICATE KEY UPDATE name = new.name
-- s1: INSERT INTO users (uid, name) VALUES (142, 'b') AS new ON DUPLICATE KEY UPDATE name = new.name
-- merge: counts added up

-- Comments between rows are no part of them.
INSERT INTO users (uid, name) VALUES (42, 'a') /* x */, (142, 'b') -- y
;
-- route: insert, the shards that the sharding key names
-- s0: INSERT INTO users (uid, name) VALUES (42, 'a')
-- s1: INSERT INTO users (uid, name) VALUES (142, 'b')
-- merge: counts added up
