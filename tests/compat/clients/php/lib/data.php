<?php
// The checks of values, of many rows, and of statements in a row.
declare(strict_types=1);

const BATCH = 1000;
const STREAMED = 200_000;
const LARGE = 17_000_000;
const TEXT = "😀 e\u{301} ﷽ 𝄞 日本語 \u{202e} ﬀ";

function check_types_text(string $client): void
{
    $connection = $client::open();
    $table = table($connection, 'types_text', type_definition());
    for ($row = 0; $row < TYPE_ROWS; $row++) {
        $literals = [$row];
        foreach (array_combine(array_column(type_columns(), 1), type_row($row)) as $type => $value) {
            $literals[] = type_literal($type, $value);
        }
        same('affected rows', 1, $connection->run("INSERT INTO $table VALUES (" . implode(', ', $literals) . ')'));
    }
    compare_types($connection->rows("SELECT * FROM $table ORDER BY id"));
}

function check_types_prepared(string $client): void
{
    $connection = $client::open();
    $table = table($connection, 'types_prepared', type_definition());
    $places = implode(', ', array_map(fn ($column) => type_place($column[1]), type_columns()));
    for ($row = 0; $row < TYPE_ROWS; $row++) {
        $values = [$row, ...array_values(type_row($row))];
        same('affected rows', 1, $connection->runPrepared("INSERT INTO $table VALUES (?, $places)", $values));
    }
    compare_types($connection->prepared("SELECT * FROM $table WHERE id < ? ORDER BY id", [TYPE_ROWS]));
}

function compare_types(array $rows): void
{
    same('rows', TYPE_ROWS, count($rows));
    $faults = [];
    foreach ($rows as $number => $row) {
        foreach (type_row($number) as $name => $expected) {
            if ($row[$name] !== $expected) {
                $faults[] = "$name in row $number: " . show($row[$name]) . ' instead of ' . show($expected);
            }
        }
    }
    holds(implode('; ', $faults), $faults === []);
}

function check_unicode(string $client): void
{
    $connection = $client::open();
    $table = table($connection, 'unicode', 'id INT PRIMARY KEY, `größe_日本` VARCHAR(100)');
    $connection->run("INSERT INTO $table VALUES (1, '" . TEXT . "')");
    $rows = $connection->rows("SELECT `größe_日本`, '😀e\u{301}' AS `señal_e\u{301}` FROM $table");
    same('row', [['größe_日本' => TEXT, "señal_e\u{301}" => "😀e\u{301}"]], $rows);
    same('found by value', 1, one($connection, "SELECT COUNT(*) FROM $table WHERE `größe_日本` LIKE '😀%𝄞%'"));
    same('bytes', 8, one($connection, "SELECT LENGTH('😀𝄞')"));
    try {
        $connection->rows("SELECT `žluťoučký_日本` FROM $table");
    } catch (Throwable $error) {
        same('unknown column', 1054, $client::code($error));
        holds('message ' . $error->getMessage(), str_contains($error->getMessage(), 'žluťoučký_日本'));
        return;
    }
    throw new Exception('unknown column: no error');
}

function check_batch(string $client): void
{
    $connection = $client::open();
    $orders = table($connection, 'orders', ORDERS);
    $rows = array_map(fn ($id) => "($id, 'item $id 😀', " . $id % 7 . ')', range(0, BATCH - 1));
    same('affected rows', BATCH, $connection->run("INSERT INTO $orders VALUES " . implode(', ', $rows)));
    counted($connection, $orders, 'item 999 😀');
    same('affected rows of an update', BATCH, $connection->run("UPDATE $orders SET quantity = quantity + 1"));
    same('affected rows of a delete', BATCH, $connection->run("DELETE FROM $orders"));
}

function counted(Client $connection, string $orders, string $last): void
{
    same('rows', BATCH, one($connection, "SELECT COUNT(*) FROM $orders"));
    same('sum', '2997', one($connection, "SELECT SUM(quantity) FROM $orders"));
    same('a row', $last, one($connection, "SELECT item FROM $orders WHERE id = 999"));
}

function check_keys(string $client): void
{
    $connection = $client::open();
    $table = table($connection, 'keys', 'id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(20)');
    $connection->run("INSERT INTO $table (name) VALUES ('a')");
    same('key of one row', 1, $connection->lastId());
    same('LAST_INSERT_ID()', 1, one($connection, 'SELECT LAST_INSERT_ID()'));
    $connection->run("INSERT INTO $table (name) VALUES ('b'), ('c')");
    same('first key of several rows', 2, $connection->lastId());
    $connection->runPrepared("INSERT INTO $table (name) VALUES (?)", ['d']);
    same('key of a prepared statement', 4, $connection->lastId());
    same('names', ['a', 'b', 'c', 'd'], column($connection, "SELECT name FROM $table ORDER BY id"));
}

function check_stream(string $client): void
{
    $connection = $client::open();
    $people = table($connection, 'people', PEOPLE);
    foreach (array_chunk(range(0, STREAMED - 1), 10_000) as $ids) {
        $rows = implode(',', array_map(fn ($id) => "($id,'person $id')", $ids));
        same('affected rows', 10_000, $connection->run("INSERT INTO $people (id, name) VALUES $rows"));
    }
    unset($rows);
    $before = memory_get_usage();
    $id = 0;
    foreach ($connection->stream("SELECT id, name FROM $people ORDER BY id") as $row) {
        same('row', ['id' => $id, 'name' => "person $id"], $row);
        $id++;
        if ($id === STREAMED / 2) {
            holds('it holds them all', memory_get_usage() - $before < 2_000_000);
        }
    }
    same('rows', STREAMED, $id);
    same('second statement', 1, one($connection, 'SELECT 1'));
}

function check_large(string $client): void
{
    $connection = $client::open();
    $table = table($connection, 'large', 'id INT PRIMARY KEY, value LONGBLOB NOT NULL');
    $value = random_bytes(LARGE);
    same('affected rows', 1, $connection->run("INSERT INTO $table VALUES (1, X'" . bin2hex($value) . "')"));
    holds('the value by text', one($connection, "SELECT value FROM $table WHERE id = 1") === $value);
    same('affected rows', 1, $connection->runPrepared("INSERT INTO $table VALUES (2, ?)", [$value]));
    $rows = $connection->prepared("SELECT value FROM $table WHERE id = ?", [2]);
    holds('the value by a prepared statement', $rows[0]['value'] === $value);
    $connection->run("DROP TABLE $table");
}

function check_multi(string $client): void
{
    $connection = $client::open();
    $table = table($connection, 'multi', 'id INT PRIMARY KEY, name VARCHAR(20)');
    $sql = "SELECT 1; INSERT INTO $table VALUES (1, 'a;b'), (2, 'c'); SELECT name FROM $table ORDER BY id; SELECT 4";
    same('results', [[1], 2, ['a;b', 'c'], [4]], $connection->results($sql));
    fails($client, 'error in the middle', 1146, fn () => $connection->results("SELECT 1; SELECT * FROM {$table}_none; SELECT 3"));
    same('afterwards', 1, one($connection, 'SELECT 1'));
    $procedure = name('procedure');
    $connection->run("DROP PROCEDURE IF EXISTS $procedure");
    $body = "BEGIN SELECT a; SELECT a + 1, 'zwei'; SET b = a * 2; END";
    $connection->run("CREATE PROCEDURE $procedure(IN a INT, OUT b INT) $body");
    same('results of CALL', [[21], [22]], array_slice($connection->results("CALL $procedure(21, @b)"), 0, 2));
    same('OUT parameter', 42, one($connection, 'SELECT @b'));
    $connection->run("DROP PROCEDURE $procedure");
}

function check_infile(string $client): void
{
    $file = tempnam(sys_get_temp_dir(), 'compat');
    try {
        file_put_contents($file, implode('', array_map(fn ($id) => "$id\titem $id é😀\t" . $id % 7 . "\n", range(0, BATCH - 1))));
        $connection = $client::open(['infile' => true]);
        $orders = table($connection, 'orders', ORDERS);
        $sql = "LOAD DATA LOCAL INFILE '$file' INTO TABLE $orders CHARACTER SET utf8mb4 (id, item, quantity)";
        same('affected rows', BATCH, $connection->run($sql));
        counted($connection, $orders, 'item 999 é😀');
    } finally {
        unlink($file);
    }
}
