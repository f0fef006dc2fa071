<?php
// The checks that differ between the extensions by nothing but the calls they make.
declare(strict_types=1);

const BATCH = 1000;
const STREAMED = 200_000;
const LARGE = 17_000_000;
const PEOPLE = 'id BIGINT PRIMARY KEY, name VARCHAR(200) NOT NULL, note VARBINARY(200) NULL';
const ORDERS = 'id BIGINT PRIMARY KEY, item VARCHAR(200) NOT NULL, quantity INT NOT NULL';
const TEXT = "😀 e\u{301} ﷽ 𝄞 日本語 \u{202e} ﬀ";

/** A connection by one of the extensions. */
interface Client
{
    /** Options: user, password, database, ca, verify, socket, compress, infile, persistent, timeout. */
    public static function open(array $options = []): static;

    /** All rows of a text statement, by column name. */
    public function rows(string $sql): array;

    /** Run a text statement; its affected rows. */
    public function run(string $sql): int;

    /** All rows of a statement that the server prepares. */
    public function prepared(string $sql, array $parameters): array;

    /** The affected rows of a statement that the server prepares. */
    public function runPrepared(string $sql, array $parameters): int;

    public function lastId(): int;

    /** Begin a transaction, read-only or not, by the extension's own call. */
    public function begin(bool $isReadOnly = false): void;

    public function commit(): void;

    public function rollback(): void;

    /** All results of a text: lists of the first column of rows, or numbers of affected rows. */
    public function results(string $sql): array;

    /** The rows of a text statement one by one, as they come from the server. */
    public function stream(string $sql): Generator;

    /** The server's number of an error. */
    public static function code(Throwable $error): int;

    public static function errorClass(): string;
}

function one(Client $client, string $sql): mixed
{
    $rows = $client->rows($sql);
    same("rows of $sql", 1, count($rows));
    return array_values($rows[0])[0];
}

function column(Client $client, string $sql): array
{
    return array_map(fn ($row) => array_values($row)[0], $client->rows($sql));
}

/** An empty table of that suffix; its full name. */
function table(Client $client, string $suffix, string $columns): string
{
    $table = name($suffix);
    $client->run("DROP TABLE IF EXISTS $table");
    $client->run("CREATE TABLE $table ($columns)");
    return $table;
}

function fails(string $client, string $what, int $expected, callable $action): void
{
    try {
        $action();
    } catch (Throwable $error) {
        same('class of the error ' . $error->getMessage(), $client::errorClass(), get_class($error));
        same("$what ({$error->getMessage()})", $expected, $client::code($error));
        return;
    }
    throw new Exception("$what: no error");
}

/** The checks in the order of tests/compat/README.md, for a class of clients; its own come on top. */
function common_checks(string $client): array
{
    $checks = ['connect', 'connect_sha2', 'connect_tls', 'connect_socket', 'types_text', 'types_prepared', 'unicode', 'prepared',
        'transactions', 'batch', 'keys', 'stream', 'large', 'errors', 'reset', 'pool', 'kill', 'multi', 'infile', 'compress'];
    $all = [];
    foreach ($checks as $check) {
        $all[$check] = fn () => "check_$check"($client);
    }
    foreach (['orm_schema', 'orm_use'] as $check) {
        $all[$check] = fn () => throw new Skip('a driver, not an ORM');
    }
    return $all;
}

function check_connect(string $client): void
{
    $connection = $client::open();
    same('SELECT 1', 1, one($connection, 'SELECT 1'));
    same('schema', env('DATABASE'), one($connection, 'SELECT DATABASE()'));
    same('character set', 'utf8mb4', one($connection, 'SELECT @@character_set_client'));
}

function check_connect_sha2(string $client): void
{
    $login = [
        'user' => env_or_skip('SHA2_USER', 'the server has no user of caching_sha2_password'),
        'password' => env('SHA2_PASSWORD'),
    ];
    same('in clear', 1, one($client::open($login), 'SELECT 1'));
    if (env('CA') !== '') {
        same('over TLS', 1, one($client::open($login + ['ca' => env('CA')]), 'SELECT 1'));
    }
    fails($client, 'wrong password', 1045, fn () => $client::open(['password' => 'wrong'] + $login));
}

function check_connect_tls(string $client): void
{
    $ca = env_or_skip('CA', 'the server has no TLS');
    same('SELECT 1', 1, one($client::open(['ca' => $ca]), 'SELECT 1'));
    $other = '/etc/ssl/certs/ca-certificates.crt'; // the machine's own authorities, who have not signed it
    try {
        $client::open(['ca' => is_file($other) ? $other : __FILE__]);
    } catch (Throwable) {
        return;
    }
    throw new Exception('the certificate was not verified');
}

function check_connect_socket(string $client): void
{
    $socket = env_or_skip('SOCKET', 'the server has no unix socket');
    same('SELECT 1', 1, one($client::open(['socket' => $socket]), 'SELECT 1'));
}

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

/** Always two rows; where the table is sharded, the ids 1 and 5 are on different shards. */
function check_transactions(string $client): void
{
    [$connection, $other] = [$client::open(), $client::open()];
    $orders = table($connection, 'orders', ORDERS);
    $quantity = "SELECT quantity FROM $orders ORDER BY id";
    $connection->begin();
    $connection->run("INSERT INTO $orders VALUES (1, 'a', 1), (5, 'b', 1)");
    $connection->rollback();
    same('after rollback', [], column($connection, $quantity));
    $connection->begin();
    $connection->run("INSERT INTO $orders VALUES (1, 'a', 1), (5, 'b', 1)");
    same('seen by others before commit', [], column($other, $quantity));
    $connection->run('SAVEPOINT before_three');
    $connection->run("UPDATE $orders SET quantity = 3");
    $connection->run('ROLLBACK TO SAVEPOINT before_three');
    same('after rollback to savepoint', [1, 1], column($connection, $quantity));
    $connection->commit();
    same('after commit', [1, 1], column($other, $quantity));

    $connection->run('SET autocommit = 0');
    $connection->run("UPDATE $orders SET quantity = 4");
    same('autocommit off', [1, 1], column($other, $quantity));
    $connection->run('SET autocommit = 1');
    same('autocommit on', [4, 4], column($other, $quantity));
    $quantity = "SELECT quantity FROM $orders WHERE id = 1";
    foreach (['READ COMMITTED' => 11, 'REPEATABLE READ' => 10] as $level => $second) {
        $other->run("UPDATE $orders SET quantity = 10 WHERE id = 1");
        $connection->run("SET SESSION TRANSACTION ISOLATION LEVEL $level");
        $connection->begin();
        same('first read', 10, one($connection, $quantity));
        $other->run("UPDATE $orders SET quantity = 11 WHERE id = 1");
        same("second read at $level", $second, one($connection, $quantity));
        $connection->commit();
    }
    $connection->begin(isReadOnly: true);
    fails($client, 'read-only', 1792, fn () => $connection->run("UPDATE $orders SET quantity = 12 WHERE id = 1"));
    $connection->rollback();
    same('unchanged', 11, one($connection, $quantity));
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

function check_errors(string $client): void
{
    $connection = $client::open();
    $people = table($connection, 'people', PEOPLE);
    $insert = "INSERT INTO $people (id, name) VALUES (1, 'a')";
    $connection->run($insert);
    $none = name('none');
    $wrong = [1062 => $insert, 1146 => "SELECT * FROM $none", 1064 => 'SELEC 1', 1054 => "SELECT nothing FROM $people"];
    foreach ($wrong as $code => $sql) {
        fails($client, $sql, $code, fn () => $connection->run($sql));
        same('afterwards', 1, one($connection, 'SELECT 1'));
        fails($client, "prepared $sql", $code, fn () => $connection->runPrepared($sql, []));
    }
    fails($client, 'wrong password', 1045, fn () => $client::open(['password' => 'wrong']));
    fails($client, 'unknown schema', 1049, fn () => $client::open(['database' => env('DATABASE') . '_none']));
}

/** The pool of PHP is the process's own list of persistent connections, so the tasks are processes. */
function check_pool(string $client): void
{
    $people = table($client::open(), 'people', PEOPLE);
    $children = [];
    for ($task = 0; $task < 20; $task++) {
        $child = pcntl_fork();
        if ($child === 0) {
            exit(worked($client, $people, $task) ? 0 : 1);
        }
        $children[] = $child;
    }
    foreach ($children as $child) {
        pcntl_waitpid($child, $status);
        same('status of a task', 0, $status);
    }
    same('rows', 500, one($client::open(), "SELECT COUNT(*) FROM $people"));
    $killed = one($client::open(['persistent' => true]), 'SELECT CONNECTION_ID()');
    same('the same again', $killed, one($client::open(['persistent' => true]), 'SELECT CONNECTION_ID()'));
    $client::open()->run("KILL $killed");
    holds('replaced', one($client::open(['persistent' => true]), 'SELECT CONNECTION_ID()') !== $killed);
}

function worked(string $client, string $people, int $task): bool
{
    try {
        for ($i = 0; $i < 25; $i++) {
            $id = $task * 1000 + $i;
            $connection = $client::open(['persistent' => true]);
            same('affected rows', 1, $connection->run("INSERT INTO $people (id, name) VALUES ($id, 'person $id')"));
            same('name', "person $id", one($connection, "SELECT name FROM $people WHERE id = $id"));
        }
        return true;
    } catch (Throwable $error) {
        fwrite(STDERR, $error->getMessage() . "\n");
        return false;
    }
}

function check_kill(string $client): void
{
    $connection = $client::open();
    $id = one($connection, 'SELECT CONNECTION_ID()');
    $child = pcntl_fork();
    if ($child === 0) {
        usleep(500_000); // the statement has to be under way, and nothing tells when it is
        $client::open()->run("KILL QUERY $id");
        posix_kill(getmypid(), SIGKILL); // or the parent's connection would be closed from here
    }
    $begin = microtime(true);
    try {
        $slept = one($connection, 'SELECT SLEEP(30)'); // MySQL answers 1, MariaDB error 1317
    } catch (Throwable $error) {
        $slept = $client::code($error);
    }
    pcntl_waitpid($child, $status);
    holds('answer ' . show($slept), in_array($slept, [1, 1317], true));
    holds('it took ' . (microtime(true) - $begin) . ' s', microtime(true) - $begin < 10);
    same('afterwards', 2, one($connection, 'SELECT 2'));
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

function check_compress(string $client): void
{
    $connection = $client::open(['compress' => true]);
    $text = str_repeat('compressible ', 100_000);
    holds('a long text', one($connection, "SELECT '$text'") === $text);
    $status = "SHOW STATUS LIKE 'Compression'";
    same('Compression', 'ON', $connection->rows($status)[0]['Value'] ?? null);
    same('Compression of a plain connection', 'OFF', $client::open()->rows($status)[0]['Value'] ?? null);
}
