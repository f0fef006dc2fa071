// Every column type, with values at its limits, and how to tell that a value came back as it went.

import { equal, holds } from './compat.mjs';

const ALL_BYTES = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
const DOCUMENT = { name: 'Zoë 😀', list: [1, 2.5, null, true], deep: { empty: {}, 'ключ': '"\\/\n' } };

// Where the table is sharded, these are on different shards.
const IDS = [1, 5, 6];

// [column, SQL type, kind, value, value]; integers are texts, as the largest do not fit a JavaScript number.
const COLUMNS = [
  ['c_tiny', 'TINYINT', 'integer', '-128', '127'],
  ['c_utiny', 'TINYINT UNSIGNED', 'integer', '0', '255'],
  ['c_small', 'SMALLINT', 'integer', '-32768', '32767'],
  ['c_usmall', 'SMALLINT UNSIGNED', 'integer', '0', '65535'],
  ['c_medium', 'MEDIUMINT', 'integer', '-8388608', '8388607'],
  ['c_umedium', 'MEDIUMINT UNSIGNED', 'integer', '0', '16777215'],
  ['c_int', 'INT', 'integer', '-2147483648', '2147483647'],
  ['c_uint', 'INT UNSIGNED', 'integer', '0', '4294967295'],
  ['c_big', 'BIGINT', 'integer', '-9223372036854775808', '9223372036854775807'],
  ['c_ubig', 'BIGINT UNSIGNED', 'integer', '0', '18446744073709551615'],
  ['c_decimal', 'DECIMAL(65,30)', 'string', '-99999999999999999999999999999999999.999999999999999999999999999999',
    '0.000000000000000000000000000001'],
  ['c_float', 'FLOAT', 'float', -3.25e38, 0.15625],
  ['c_double', 'DOUBLE', 'double', -1.7976931348623157e308, 0.1],
  ['c_date', 'DATE', 'string', '1000-01-01', '9999-12-31'],
  ['c_time', 'TIME(6)', 'moment', '-838:59:58.000001', '101:02:03.999999'],
  ['c_datetime', 'DATETIME(6)', 'moment', '1000-01-01 00:00:00.000000', '9999-12-31 23:59:59.999999'],
  ['c_timestamp', 'TIMESTAMP(6) NULL', 'moment', '1970-01-02 00:00:00.000001', '2038-01-19 03:14:07.999999'],
  ['c_year', 'YEAR', 'integer', '1901', '2155'],
  ['c_char', 'CHAR(10)', 'string', '', 'Größe 😀'],
  ['c_varchar', 'VARCHAR(300)', 'string', "it's \\ \"quoted\"\n\t\u0000\u001a%_;--", 'é'.repeat(300)],
  ['c_text', 'TEXT', 'string', '', 'e\u0301\u{1F469}\u200D\u{1F4BB} '.repeat(500)],
  ['c_binary', 'BINARY(4)', 'bytes', Buffer.from([0, 0, 0, 0]), Buffer.from([255, 39, 92, 0])],
  ['c_varbinary', 'VARBINARY(300)', 'bytes', Buffer.alloc(0), ALL_BYTES],
  ['c_blob', 'BLOB', 'bytes', ALL_BYTES, Buffer.concat(Array(200).fill(ALL_BYTES))],
  ['c_enum', "ENUM('small','medium','größer')", 'string', 'small', 'größer'],
  ['c_set', "SET('a','b','c d')", 'set', '', 'a,c d'],
  ['c_bit', 'BIT(64)', 'bytes', Buffer.alloc(8), Buffer.from('fedcba9876543210', 'hex')],
  ['c_json', 'JSON', 'json', [], DOCUMENT],
].map(([name, type, kind, ...values]) => ({ name, type, kind, values }));

export const DEFINITION = ['id BIGINT PRIMARY KEY', ...COLUMNS.map(({ name, type }) => `${name} ${type}`)].join(', ');

/** Three rows as parameters, by the columns' order: the one value, the other, and NULL in every column. */
export function parameters(integer = (text) => text) {
  const convert = { integer, json: JSON.stringify };
  const row = (index) => COLUMNS.map(({ kind, values }) => (convert[kind] ?? ((value) => value))(values[index]));
  return [[IDS[0], ...row(0)], [IDS[1], ...row(1)], [IDS[2], ...COLUMNS.map(() => null)]];
}

export const INSERT = (table) => `INSERT INTO ${table} VALUES (?${', ?'.repeat(COLUMNS.length)})`;

/** Compare the rows of the table, ordered by id, with what went in. `exactFloats`: a FLOAT came in its binary form. */
export function compare(rows, { exactFloats }) {
  equal(rows.map((row) => Number(row.id)), IDS, 'ids');
  const wrong = [];
  for (const [index, row] of rows.entries()) {
    for (const { name, kind, values } of COLUMNS) {
      const expected = index < 2 ? values[index] : null;
      try {
        if (expected === null) equal(row[name], null, 'NULL');
        else SAME[kind](row[name], expected, exactFloats);
      } catch (error) {
        wrong.push(`${name} in row ${index + 1}: ${error.message}`);
      }
    }
  }
  holds(wrong.length === 0, wrong.join(' | '));
}

const SAME = {
  integer: (actual, expected) => equal(String(actual), expected, typeof actual),
  string: (actual, expected) => equal(actual, expected, 'text'),
  // Some drivers leave out microseconds that are all zero.
  moment: (actual, expected) => equal(actual.replace(/\.0+$/, ''), expected.replace(/\.0+$/, ''), 'text'),
  set: (actual, expected) => equal(Array.isArray(actual) ? actual.join(',') : actual, expected, 'text'),
  // In a text, servers give six digits of a FLOAT.
  float: (actual, expected, exact) =>
    holds(Math.abs(Number(actual) / Math.fround(expected) - 1) < (exact ? 1e-15 : 1e-5), `expected ${expected}, got ${actual}`),
  double: (actual, expected) => equal(Number(actual), expected, 'number'),
  bytes: (actual, expected) => holds(Buffer.isBuffer(actual) && actual.equals(expected), `expected ${expected.length} bytes
    ${expected.toString('hex', 0, 16)}, got ${actual?.length} ${Buffer.isBuffer(actual) ? actual.toString('hex', 0, 16) : actual}`),
  // Drivers parse a JSON column where they can tell it from a text.
  json: (actual, expected) => equal(typeof actual === 'string' ? JSON.parse(actual) : actual, expected, 'document'),
};
