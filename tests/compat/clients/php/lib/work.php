<?php
// The checks of transactions and of errors.
declare(strict_types=1);

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
