<?php
// A connection by either extension, and what the checks do with one.
declare(strict_types=1);

const PEOPLE = 'id BIGINT PRIMARY KEY, name VARCHAR(200) NOT NULL, note VARBINARY(200) NULL';
const ORDERS = 'id BIGINT PRIMARY KEY, item VARCHAR(200) NOT NULL, quantity INT NOT NULL';

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
