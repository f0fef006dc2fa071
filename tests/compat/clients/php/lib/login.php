<?php
// The checks of connections: how they come about, are kept, and are ended.
declare(strict_types=1);

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

function check_compress(string $client): void
{
    $connection = $client::open(['compress' => true]);
    $text = str_repeat('compressible ', 100_000);
    holds('a long text', one($connection, "SELECT '$text'") === $text);
    $status = "SHOW STATUS LIKE 'Compression'";
    same('Compression', 'ON', $connection->rows($status)[0]['Value'] ?? null);
    same('Compression of a plain connection', 'OFF', $client::open()->rows($status)[0]['Value'] ?? null);
}
