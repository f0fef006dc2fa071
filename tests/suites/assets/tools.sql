CREATE TABLE kinds (
  id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(40), amount DECIMAL(12, 3), ratio DOUBLE, moment DATETIME(6), day DATE,
  span TIME, note TEXT, bits BIT(5), choice ENUM('a', 'b'), many SET('x', 'y', 'z'), bytes VARBINARY(20), big BIGINT UNSIGNED,
  KEY by_name (name(10))
) COMMENT 'of every kind';
INSERT INTO kinds VALUES
  (1, 'ann', 1.5, 0.25, '2024-02-29 12:34:56.789012', '2024-02-29', '-12:00:01', 'it''s\na "note"', b'10101', 'a', 'x,z', x'00ff27', 18446744073709551615),
  (2, 'böb', -1, 1e100, '1999-12-31 23:59:59', '1999-12-31', '838:59:59', '', b'0', 'b', '', '', 0),
  (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
  (4, 'semi;colon -- and # more /* of it */', 0, 0, '2001-01-01 00:00:00', '2001-01-01', '00:00:00', '\\backslash\ttab', b'1', 'a', 'y', 'plain', 1);
CREATE TABLE parents (id INT PRIMARY KEY, name VARCHAR(20) NOT NULL DEFAULT '');
INSERT INTO parents VALUES (1, 'one'), (2, 'two'), (3, 'three'), (4, 'four');
CREATE TABLE children (
  id INT PRIMARY KEY AUTO_INCREMENT, parent_id INT NOT NULL, twice INT AS (parent_id * 2) VIRTUAL,
  CONSTRAINT of_parent FOREIGN KEY (parent_id) REFERENCES parents (id) ON DELETE CASCADE, CHECK (parent_id > 0)
);
INSERT INTO children (parent_id) VALUES (1), (1), (2);
CREATE VIEW named AS SELECT p.name, COUNT(*) AS children FROM parents p JOIN children c ON c.parent_id = p.id GROUP BY p.name;
