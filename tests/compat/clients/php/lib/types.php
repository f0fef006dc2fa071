<?php
// Every column type with the values at its limits, as PHP has them; what is longer than its integers is text.
declare(strict_types=1);

const TYPE_ROWS = 5;

/** Name, type and values of each column. */
function type_columns(): array
{
    $all = implode('', array_map('chr', range(0, 255)));
    return [
        ['tiny', 'TINYINT', [-128, 127, 0]],
        ['tiny_u', 'TINYINT UNSIGNED', [0, 255]],
        ['small', 'SMALLINT', [-32768, 32767]],
        ['small_u', 'SMALLINT UNSIGNED', [0, 65535]],
        ['medium', 'MEDIUMINT', [-8388608, 8388607]],
        ['medium_u', 'MEDIUMINT UNSIGNED', [0, 16777215]],
        ['plain', 'INT', [-2147483648, 2147483647]],
        ['plain_u', 'INT UNSIGNED', [0, 4294967295]],
        ['big', 'BIGINT', [PHP_INT_MIN, PHP_INT_MAX]],
        ['big_u', 'BIGINT UNSIGNED', [0, '18446744073709551615']],
        ['exact', 'DECIMAL(65,30)', [
            '99999999999999999999999999999999999.999999999999999999999999999999',
            '-12345678901234567890123456789012345.000000000000000000000000000001',
            '0.000000000000000000000000000000',
        ]],
        ['single', 'FLOAT', [1.5, -3.40282e38, 1.17549e-38]],
        ['twice', 'DOUBLE', [0.1, -1.7976931348623157e308, 2.2250738585072014e-308]],
        ['day', 'DATE', ['1000-01-01', '9999-12-31', '2024-02-29']],
        ['span', 'TIME(6)', ['-838:59:59.000000', '838:59:59.000000', '-30:00:00.000001', '100:59:59.999999']],
        ['moment', 'DATETIME(6)', ['1000-01-01 00:00:00.000000', '9999-12-31 23:59:59.999999', '2024-02-29 12:00:00.000001']],
        ['stamp', 'TIMESTAMP(6) NULL', ['1970-01-01 00:00:01.000000', '2038-01-19 03:14:07.999999']],
        ['years', 'YEAR', ['1901', '2155']],
        ['fixed', 'CHAR(5)', ['', "a'b\\c", 'żółć😀']],
        ['variable', 'VARCHAR(100)', ['', 'trailing ', "quotes ' \" ` and \\ \n \t \0 end", "e\u{301}😀"]],
        ['long_text', 'TEXT', [str_repeat('x', 65535), '', '𝄞']],
        ['fixed_bin', 'BINARY(4)', ["\0\1\2\3", "\xff\0'\\"]],
        ['variable_bin', 'VARBINARY(256)', [$all, '']],
        ['long_bin', 'BLOB', [$all, '']],
        ['one_of', "ENUM('small','größer','x''y')", ['small', 'größer', "x'y"]],
        ['some_of', "SET('a','b','ü')", ['', 'a,b', 'a,b,ü']],
        ['bits', 'BIT(64)', ['18446744073709551615', 1, '9223372036854775808']],
        ['document', 'JSON', ['{"a": [1, 2.5, "é😀", null, true]}', '[]', 'null']],
    ];
}

function type_definition(): string
{
    return 'id INT PRIMARY KEY, ' . implode(', ', array_map(fn ($column) => "$column[0] $column[1]", type_columns()));
}

/** The values of a row, by column; the last row is NULL throughout, shorter lists repeat. */
function type_row(int $row): array
{
    $values = [];
    foreach (type_columns() as [$name, , $list]) {
        $values[$name] = $row === TYPE_ROWS - 1 ? null : $list[$row % count($list)];
    }
    return $values;
}

/** The value as it stands in the text of a statement. */
function type_literal(string $type, mixed $value): string
{
    return match (true) {
        $value === null => 'NULL',
        is_int($value) => (string) $value,
        is_float($value) => var_export($value, true),
        (bool) preg_match('/^(BIGINT|BIT|DECIMAL)/', $type) => $value,
        (bool) preg_match('/BINARY|BLOB/', $type) => "X'" . bin2hex($value) . "'",
        default => "'" . strtr($value, ['\\' => '\\\\', "'" => "''", "\0" => '\\0']) . "'",
    };
}

/** A parameter for a column: text is no number to a BIT. */
function type_place(string $type): string
{
    return str_starts_with($type, 'BIT') ? 'CAST(? AS UNSIGNED)' : '?';
}
