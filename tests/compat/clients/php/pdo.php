<?php
// PDO with mysqlnd.
declare(strict_types=1);

require __DIR__ . '/lib/runner.php';
require __DIR__ . '/lib/types.php';
require __DIR__ . '/lib/checks.php';

final class PdoClient implements Client
{
    private function __construct(public readonly PDO $pdo)
    {
    }

    public static function open(array $options = []): static
    {
        $place = isset($options['socket']) ? "unix_socket={$options['socket']}" : 'host=' . env('HOST') . ';port=' . env('PORT');
        $attributes = [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION, PDO::ATTR_DEFAULT_FETCH_MODE => PDO::FETCH_ASSOC];
        $attributes[PDO::MYSQL_ATTR_INIT_COMMAND] = "SET time_zone = '+00:00'";
        if (isset($options['ca'])) {
            $attributes += [PDO::MYSQL_ATTR_SSL_CA => $options['ca'], PDO::MYSQL_ATTR_SSL_VERIFY_SERVER_CERT => true];
        }
        $names = ['compress' => PDO::MYSQL_ATTR_COMPRESS, 'infile' => PDO::MYSQL_ATTR_LOCAL_INFILE, 'persistent' => PDO::ATTR_PERSISTENT];
        foreach ($names as $name => $attribute) {
            if (isset($options[$name])) {
                $attributes[$attribute] = true;
            }
        }
        $dsn = "mysql:$place;dbname=" . ($options['database'] ?? env('DATABASE')) . ';charset=utf8mb4';
        return new self(new PDO($dsn, $options['user'] ?? env('USER'), $options['password'] ?? env('PASSWORD'), $attributes));
    }

    public function rows(string $sql): array
    {
        return $this->pdo->query($sql)->fetchAll();
    }

    public function run(string $sql): int
    {
        $statement = $this->pdo->query($sql);
        return $statement->rowCount();
    }

    public function prepared(string $sql, array $parameters): array
    {
        return $this->execute($sql, $parameters)->fetchAll();
    }

    public function runPrepared(string $sql, array $parameters): int
    {
        return $this->execute($sql, $parameters)->rowCount();
    }

    /** Prepared by the server: by default PDO puts the values into the text itself. */
    public function prepare(string $sql): PDOStatement
    {
        $this->pdo->setAttribute(PDO::ATTR_EMULATE_PREPARES, false);
        try {
            return $this->pdo->prepare($sql);
        } finally {
            $this->pdo->setAttribute(PDO::ATTR_EMULATE_PREPARES, true);
        }
    }

    private function execute(string $sql, array $parameters): PDOStatement
    {
        $statement = $this->prepare($sql);
        foreach ($parameters as $index => $value) {
            $value = is_float($value) ? var_export($value, true) : $value; // or it goes with as few digits as echo shows
            $type = is_int($value) ? PDO::PARAM_INT : ($value === null ? PDO::PARAM_NULL : PDO::PARAM_STR);
            $statement->bindValue($index + 1, $value, $type);
        }
        $statement->execute();
        return $statement;
    }

    public function lastId(): int
    {
        return (int) $this->pdo->lastInsertId();
    }

    public function begin(bool $isReadOnly = false): void
    {
        if ($isReadOnly) {
            $this->pdo->exec('SET TRANSACTION READ ONLY');
        }
        $this->pdo->beginTransaction();
    }

    public function commit(): void
    {
        $this->pdo->commit();
    }

    public function rollback(): void
    {
        $this->pdo->rollBack();
    }

    public function results(string $sql): array
    {
        $statement = $this->pdo->query($sql);
        $results = [];
        do {
            $results[] = $statement->columnCount() ? $statement->fetchAll(PDO::FETCH_COLUMN) : $statement->rowCount();
        } while ($statement->nextRowset());
        return $results;
    }

    public function stream(string $sql): Generator
    {
        $this->pdo->setAttribute(PDO::MYSQL_ATTR_USE_BUFFERED_QUERY, false);
        yield from $this->pdo->query($sql);
        $this->pdo->setAttribute(PDO::MYSQL_ATTR_USE_BUFFERED_QUERY, true);
    }

    public static function code(Throwable $error): int
    {
        return (int) ($error instanceof PDOException && $error->errorInfo ? $error->errorInfo[1] : $error->getCode());
    }

    public static function errorClass(): string
    {
        return PDOException::class;
    }
}

function check_prepared(string $client): void
{
    $connection = $client::open();
    $people = table($connection, 'people', PEOPLE);
    $insert = $connection->prepare("INSERT INTO $people VALUES (:id, :name, :note)");
    $byId = $connection->prepare("SELECT name, note FROM $people WHERE id = ?");
    $count = $connection->prepare("SELECT COUNT(*) FROM $people WHERE id <= ?");
    for ($id = 1; $id <= 30; $id++) {
        $note = $id % 3 ? "\0" . chr($id) : null;
        $insert->execute(['id' => $id, 'name' => "person $id", 'note' => $note]);
        same('affected rows', 1, $insert->rowCount());
        $byId->bindValue(1, $id % 2 ? $id : (string) $id, $id % 2 ? PDO::PARAM_INT : PDO::PARAM_STR);
        $byId->execute();
        same('row', [['name' => "person $id", 'note' => $note]], $byId->fetchAll());
        $count->execute([$id]);
        same('count', $id, $count->fetchColumn());
        $count->closeCursor();
    }
    $echo = $connection->prepare('SELECT CAST(? AS CHAR(100))');
    foreach ([42, 'text 😀', null, '1.5', PHP_INT_MIN, '', null, '7'] as $value) {
        $echo->bindValue(1, $value, is_int($value) ? PDO::PARAM_INT : ($value === null ? PDO::PARAM_NULL : PDO::PARAM_STR));
        $echo->execute();
        same('echo', $value === null ? null : (string) $value, $echo->fetchColumn());
        $echo->closeCursor();
    }
    // Refused when it is prepared: had PDO fallen back to its emulation, it would be when it is executed.
    fails($client, 'wrong SQL', 1064, fn () => $connection->prepare('SELEC ?'));
    unset($insert, $byId, $count, $echo);
    $emulated = $connection->pdo->prepare("SELECT name FROM $people WHERE id = ?");
    $emulated->execute([7]);
    same('emulated', 'person 7', $emulated->fetchColumn());
    same('afterwards', 30, one($connection, "SELECT COUNT(*) FROM $people"));
}

function check_reset(): void
{
    throw new Skip('the extension has no reset');
}

run_checks(common_checks(PdoClient::class));
