<?php
// mysqli with mysqlnd.
declare(strict_types=1);

require __DIR__ . '/lib/runner.php';
require __DIR__ . '/lib/types.php';
require __DIR__ . '/lib/checks.php';

final class MysqliClient implements Client
{
    private function __construct(public readonly mysqli $db)
    {
    }

    public static function open(array $options = []): static
    {
        mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
        $db = mysqli_init();
        $db->options(MYSQLI_OPT_INT_AND_FLOAT_NATIVE, true);
        $db->options(MYSQLI_INIT_COMMAND, "SET time_zone = '+00:00'");
        $db->options(MYSQLI_OPT_LOCAL_INFILE, isset($options['infile']));
        if (isset($options['timeout'])) {
            $db->options(MYSQLI_OPT_READ_TIMEOUT, $options['timeout']);
        }
        $flags = isset($options['compress']) ? MYSQLI_CLIENT_COMPRESS : 0;
        if (isset($options['ca'])) {
            $db->options(MYSQLI_OPT_SSL_VERIFY_SERVER_CERT, true);
            $db->ssl_set(null, null, $options['ca'], null, null);
            $flags |= MYSQLI_CLIENT_SSL;
        }
        $db->real_connect(
            isset($options['socket']) ? 'localhost' : (isset($options['persistent']) ? 'p:' : '') . env('HOST'),
            $options['user'] ?? env('USER'),
            $options['password'] ?? env('PASSWORD'),
            $options['database'] ?? env('DATABASE'),
            (int) env('PORT'),
            $options['socket'] ?? null,
            $flags,
        );
        $db->set_charset('utf8mb4');
        return new self($db);
    }

    public function rows(string $sql): array
    {
        return $this->db->query($sql)->fetch_all(MYSQLI_ASSOC);
    }

    public function run(string $sql): int
    {
        $this->db->query($sql);
        return (int) $this->db->affected_rows;
    }

    public function prepared(string $sql, array $parameters): array
    {
        return $this->execute($sql, $parameters)->get_result()->fetch_all(MYSQLI_ASSOC);
    }

    public function runPrepared(string $sql, array $parameters): int
    {
        return (int) $this->execute($sql, $parameters)->affected_rows;
    }

    private function execute(string $sql, array $parameters): mysqli_stmt
    {
        $statement = $this->db->prepare($sql);
        if ($parameters !== []) {
            $types = array_map(fn ($value) => is_int($value) ? 'i' : (is_float($value) ? 'd' : 's'), $parameters);
            $statement->bind_param(implode('', $types), ...$parameters);
        }
        $statement->execute();
        return $statement;
    }

    public function lastId(): int
    {
        return (int) $this->db->insert_id;
    }

    public function begin(bool $isReadOnly = false): void
    {
        $this->db->begin_transaction($isReadOnly ? MYSQLI_TRANS_START_READ_ONLY : 0);
    }

    public function commit(): void
    {
        $this->db->commit();
    }

    public function rollback(): void
    {
        $this->db->rollback();
    }

    public function results(string $sql): array
    {
        $this->db->multi_query($sql);
        $results = [];
        do {
            $rows = $this->db->store_result();
            $results[] = $rows ? array_map(fn ($row) => $row[0], $rows->fetch_all(MYSQLI_NUM)) : $this->db->affected_rows;
        } while ($this->db->more_results() && $this->db->next_result());
        return $results;
    }

    public function stream(string $sql): Generator
    {
        yield from $this->db->query($sql, MYSQLI_USE_RESULT);
    }

    public static function code(Throwable $error): int
    {
        return $error->getCode();
    }

    public static function errorClass(): string
    {
        return mysqli_sql_exception::class;
    }
}

function check_prepared(string $client): void
{
    $connection = $client::open();
    $people = table($connection, 'people', PEOPLE);
    $insert = $connection->db->prepare("INSERT INTO $people VALUES (?, ?, ?)");
    $byId = $connection->db->prepare("SELECT name, note FROM $people WHERE id = ?");
    $count = $connection->db->prepare("SELECT COUNT(*) FROM $people WHERE id <= ?");
    $insert->bind_param('iss', $id, $name, $note);
    for ($id = 1; $id <= 30; $id++) {
        [$name, $note] = ["person $id", $id % 3 ? "\0" . chr($id) : null];
        $insert->execute();
        same('affected rows', 1, $insert->affected_rows);
        $byId->bind_param($id % 2 ? 'i' : 's', $id);
        $byId->execute();
        same('row', [['name' => "person $id", 'note' => $note]], $byId->get_result()->fetch_all(MYSQLI_ASSOC));
        $count->execute([$id]);
        $count->bind_result($counted);
        $count->fetch();
        same('count', $id, $counted);
        $count->free_result();
    }
    array_map(fn ($statement) => $statement->close(), [$insert, $byId, $count]);
    $echo = $connection->db->prepare('SELECT CAST(? AS CHAR(100))');
    foreach ([42, 'text 😀', null, 1.5, PHP_INT_MIN, '', null, '7'] as $value) {
        $echo->bind_param(is_int($value) ? 'i' : (is_float($value) ? 'd' : 's'), $value);
        $echo->execute();
        same('echo', $value === null ? null : (string) $value, $echo->get_result()->fetch_row()[0]);
    }
    long_data($connection);
    cursor($connection, $people);
    fails($client, 'wrong SQL', 1064, fn () => $connection->db->prepare('SELEC ?'));
    same('afterwards', 30, one($connection, "SELECT COUNT(*) FROM $people"));
}

/** A value sent in pieces ahead of the execution. */
function long_data(MysqliClient $connection): void
{
    $sent = $connection->db->prepare('SELECT LENGTH(?), ?');
    [$value, $number] = [null, 7];
    $sent->bind_param('bi', $value, $number);
    $sent->send_long_data(0, str_repeat('a', 100_000));
    $sent->send_long_data(0, str_repeat('b', 100_000));
    $sent->execute();
    same('long data', [200_000, 7], $sent->get_result()->fetch_row());
}

/** Rows that stay at the server until they are asked for. */
function cursor(MysqliClient $connection, string $people): void
{
    $statement = $connection->db->prepare("SELECT id FROM $people WHERE id <= ? ORDER BY id");
    $statement->attr_set(MYSQLI_STMT_ATTR_CURSOR_TYPE, MYSQLI_CURSOR_TYPE_READ_ONLY);
    $statement->attr_set(MYSQLI_STMT_ATTR_PREFETCH_ROWS, 1);
    $statement->execute([20]);
    $statement->bind_result($id);
    $ids = [];
    while ($statement->fetch()) {
        $ids[] = $id;
    }
    same('rows of a cursor', range(1, 20), $ids);
}

function check_reset(string $client): void
{
    $connection = $client::open();
    $people = table($connection, 'people', PEOPLE);
    $scratch = name('scratch');
    $connection->run("SET @kept = 'user variable', SESSION sql_mode = 'NO_ZERO_DATE'");
    $connection->run("CREATE TEMPORARY TABLE $scratch (id INT)");
    $connection->begin();
    $connection->run("INSERT INTO $people (id, name) VALUES (1, 'open')");
    $connection->db->change_user(env('USER'), env('PASSWORD'), env('DATABASE'));
    same('open transaction', 0, one($client::open(), "SELECT COUNT(*) FROM $people"));
    same('user variable', null, one($connection, 'SELECT @kept'));
    holds('sql_mode', one($connection, 'SELECT @@SESSION.sql_mode') !== 'NO_ZERO_DATE');
    fails($client, 'temporary table', 1146, fn () => $connection->run("SELECT * FROM $scratch"));
    same('schema', env('DATABASE'), one($connection, 'SELECT DATABASE()'));
    fails($client, 'change to a wrong password', 1045, fn () => $client::open()->db->change_user(env('USER'), 'wrong', null));
}

$checks = common_checks(MysqliClient::class);
$kill = $checks['kill'];
$checks['kill'] = function () use ($kill) {
    $kill();
    $connection = MysqliClient::open(['timeout' => 1]);
    $begin = microtime(true);
    try {
        $connection->rows('SELECT SLEEP(30)');
    } catch (mysqli_sql_exception | ErrorException $error) {
        holds('it took ' . (microtime(true) - $begin) . ' s', microtime(true) - $begin < 10);
        return;
    }
    throw new Exception('the time-out did not end the statement');
};
run_checks($checks);
