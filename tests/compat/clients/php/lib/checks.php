<?php
// The checks that differ between the extensions by nothing but the calls they make.
declare(strict_types=1);

require __DIR__ . '/client.php';
require __DIR__ . '/login.php';
require __DIR__ . '/data.php';
require __DIR__ . '/work.php';

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
