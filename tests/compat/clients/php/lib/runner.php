<?php
// What the PHP programs share: the environment, the comparisons, and the runner of checks.
declare(strict_types=1);

final class Skip extends Exception
{
}

/** A variable of tests/compat/README.md; empty where it is not set. */
function env(string $name): string
{
    return (string) getenv("COMPAT_$name");
}

/** The full name of one of the program's tables or procedures. */
function name(string $suffix): string
{
    return env('PREFIX') . "_$suffix";
}

function env_or_skip(string $name, string $reason): string
{
    return env($name) !== '' ? env($name) : throw new Skip($reason);
}

function same(string $what, mixed $expected, mixed $actual): void
{
    if ($expected !== $actual) {
        throw new Exception("$what: " . show($actual) . ' instead of ' . show($expected));
    }
}

function holds(string $what, bool $isSo): void
{
    if (!$isSo) {
        throw new Exception($what);
    }
}

function show(mixed $value): string
{
    $text = json_encode($value, JSON_UNESCAPED_UNICODE | JSON_INVALID_UTF8_SUBSTITUTE | JSON_PRESERVE_ZERO_FRACTION);
    return preg_replace('/^(.{200}).+$/us', '$1…', (string) $text);
}

/** Run the checks in turn and print the line of each. */
function run_checks(array $checks): void
{
    ini_set('mysqlnd.net_read_timeout', '60'); // a check that gets no answer fails
    set_error_handler(fn ($level, $text) => throw new ErrorException($text, 0, $level));
    foreach ($checks as $name => $check) {
        try {
            $check();
            $line = "ok\t";
        } catch (Skip $reason) {
            $line = "skip\t" . $reason->getMessage();
        } catch (Throwable $error) {
            $line = "fail\t" . get_class($error) . ': ' . $error->getMessage() . place($error);
        }
        echo "$name\t", trim(preg_replace('/\s*[\r\n]+\s*/', ' ', $line), "\n"), "\n";
    }
}

/** Where in a check the error came up. */
function place(Throwable $error): string
{
    $frames = [['file' => $error->getFile(), 'line' => $error->getLine()], ...$error->getTrace()];
    foreach ($frames as $frame) {
        $file = basename($frame['file'] ?? '');
        if ($file !== '' && $file !== 'runner.php') {
            return " [$file:{$frame['line']}]";
        }
    }
    return '';
}
