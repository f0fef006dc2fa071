// Checks of values: types, characters, large ones, many of them. What `driver` and its sessions are is in drivers.mjs.

import { Readable } from 'node:stream';

import { equal, holds, inSteps, named, needs, target } from './compat.mjs';
import * as types from './types.mjs';

export const ORDERS = 'id BIGINT PRIMARY KEY, person BIGINT NOT NULL, item VARCHAR(100), amount DECIMAL(12,2)';
const order = (id) => [id, id % 7, `item ${id}`, `${id}.25`];

export const typesText = (driver) => everyType(driver, 'query');
export const typesPrepared = (driver) => everyType(driver, 'execute');

async function everyType(driver, way) {
  needs(way === 'query' || driver.prepares, 'the driver has no prepared statements');
  const session = await driver.connect(driver.exactTypes);
  await session.query("SET time_zone = '+00:00'");
  // A sharded table where there is one, so that rows of every type are merged.
  const table = await session.create('orders', types.DEFINITION);
  for (const row of types.parameters(driver.integer)) {
    equal(Number((await session[way](types.INSERT(table), row)).affected), 1, 'affected rows');
  }
  const { rows } = await session[way](`SELECT * FROM ${table} WHERE id > ? ORDER BY id`, [0]);
  types.compare(rows, { exactFloats: way === 'execute' });
  await session.end();
}

export async function unicode(driver) {
  const session = await driver.connect();
  const column = 'Größe_名前_e\u0301';
  const table = await session.create('unicode', `id INT PRIMARY KEY, \`${column}\` VARCHAR(100) COLLATE utf8mb4_bin UNIQUE`);
  const values = ['\u{1F469}\u200D\u{1F4BB}\u{1F600}', 'e\u0301\u0323', '\u00e9', '名前', '\u{10FFFF}', 'עברית'];
  const expected = values.map((value, index) => ({ id: index, [column]: value }));
  await inSteps(async (step) => {
    for (const way of driver.prepares ? ['query', 'execute'] : ['query']) {
      await step(way, async () => {
        await session.query(`DELETE FROM ${table}`);
        for (const [id, value] of values.entries()) await session[way](`INSERT INTO ${table} VALUES (?, ?)`, [id, value]);
        equal((await session[way](`SELECT id, \`${column}\` FROM ${table} ORDER BY id`, [])).rows, expected, 'values');
        const { rows } = await session[way](`SELECT CHAR_LENGTH(?) AS n, HEX(?) AS h`, ['e\u0301😀', '😀']);
        equal({ n: Number(rows[0].n), h: rows[0].h }, { n: 3, h: 'F09F9880' }, 'what the server got');
      });
    }
    await step('message', async () => {
      await session.query(`DELETE FROM ${table}`);
      await session.query(`INSERT INTO ${table} VALUES (98, '名前')`);
      const error = await driver.refused(() => session.query(`INSERT INTO ${table} VALUES (99, '名前')`), 1062);
      holds(error.message.includes("'名前'"), `no 名前 in the message: ${error.message}`);
      const unknown = await driver.refused(() => session.query('SELECT 1 FROM `täble_名前`'), 1146);
      holds(unknown.message.includes('täble_名前'), `no täble_名前 in the message: ${unknown.message}`);
    });
  });
  await session.end();
}

export async function prepared(driver) {
  needs(driver.prepares, 'the driver has no prepared statements');
  const session = await driver.connect();
  const table = await session.create('orders', ORDERS);
  await inSteps(async (step) => {
    await step('many executions', async () => {
      const insert = await session.prepare(`INSERT INTO ${table} VALUES (?, ?, ?, ?)`);
      const select = await session.prepare(`SELECT item, amount FROM ${table} WHERE id = ?`);
      for (let id = 1; id <= 50; id += 1) {
        const item = [`item ${id}`, null, id * 1.5, Buffer.from('bytes')][id % 4];
        const text = [`item ${id}`, null, String(id * 1.5), 'bytes'][id % 4];
        const written = await insert.execute([id, id % 3 ? 7 : '7', item, id % 5 ? `${id}.25` : null]);
        equal(Number(written.affected), 1, 'affected rows');
        const { rows } = await select.execute([id % 2 ? id : String(id)]);
        equal(rows, [{ item: text, amount: id % 5 ? `${id}.25` : null }], `row ${id}`);
      }
      equal((await select.execute([1000])).rows, [], 'no such row');
      await insert.close();
      equal((await select.execute([1])).rows.length, 1, 'rows after the other was closed');
      await select.close();
    });
    await step('several rows', async () => {
      const statement = await session.prepare(`SELECT id FROM ${table} WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT ?`);
      const { rows } = await statement.execute([10, 40, driver.limit(3)]);
      equal(rows.map(({ id }) => Number(id)), [40, 39, 38], 'ids');
      await statement.close();
    });
    await step('changing types', async () => {
      const statement = await session.prepare("SELECT CONCAT(?, '') AS value");
      for (const value of ['text', 1, null, 2.5, 'é😀', '']) {
        const [row] = (await statement.execute([value])).rows;
        equal(row.value === null ? null : String(row.value), value === null ? null : String(value), 'value');
      }
      await statement.close();
    });
    await step('wrong SQL', () => driver.refused(() => session.prepare('SELEKT ?'), 1064));
    await step('unknown table', () => driver.refused(() => session.prepare(`SELECT * FROM ${named('nowhere')} WHERE id = ?`), 1146));
    await step('afterwards', async () => equal((await session.execute('SELECT 1 AS one', [])).rows, [{ one: 1 }], 'SELECT 1'));
  });
  await session.end();
}

export async function batch(driver) {
  const session = await driver.connect();
  const table = await session.create('orders', ORDERS);
  const rows = Array.from({ length: 1000 }, (_, index) => order(index + 1));
  const { affected } = await session.batch(table, rows);
  if (affected !== undefined) equal(Number(affected), 1000, 'affected rows');
  const sum = await session.query(`SELECT COUNT(*) AS n, SUM(amount) AS amount, MAX(item) AS item FROM ${table}`);
  const { n, amount, item } = sum.rows[0];
  equal([Number(n), Number(amount), item], [1000, 500_750, 'item 999'], 'what is there');
  const changed = await session.query(`UPDATE ${table} SET item = 'x' WHERE id <= 600`);
  equal(Number(changed.affected), 600, 'affected rows of UPDATE');
  equal(Number((await session.query(`DELETE FROM ${table} WHERE person = 1`)).affected), 143, 'affected rows of DELETE');
  await session.end();
}

export async function keys(driver) {
  const session = await driver.connect();
  const table = await session.create('keys', 'id BIGINT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(20)');
  const insert = async (names, way = 'query') => {
    const sql = `INSERT INTO ${table} (name) VALUES ${names.map(() => '(?)').join(', ')}`;
    const { insertId, affected } = await session[way](sql, names);
    equal(Number(affected), names.length, 'affected rows');
    const { rows } = await session.query('SELECT LAST_INSERT_ID() AS id');
    equal(Number(rows[0].id), Number(insertId), 'LAST_INSERT_ID()');
    const ids = (await session.query(`SELECT id FROM ${table} WHERE id >= ? ORDER BY id`, [insertId])).rows.map(({ id }) => Number(id));
    equal(ids, names.map((_, index) => Number(insertId) + index), 'keys');
    return Number(insertId);
  };
  const first = await insert(['one']);
  equal((await insert(['two', 'three', 'four'])) > first, true, 'keys grow');
  if (driver.prepares) await insert(['five', 'six'], 'execute');
  await session.query(`INSERT INTO ${table} VALUES (5000000000, 'far')`);
  equal((await insert(['farther'])) > 5_000_000_000, true, 'a key of more than 32 bits');
  await session.end();
}

export async function stream(driver) {
  const session = await driver.connect();
  const table = await session.create('orders', ORDERS);
  const count = 200_000;
  for (let start = 1; start <= count; start += 5_000) {
    const rows = Array.from({ length: 5_000 }, (_, index) => `(${start + index}, 1, 'item', ${start + index})`);
    await session.query(`INSERT INTO ${table} VALUES ${rows.join(', ')}`);
  }
  let [next, sum] = [1, 0];
  for await (const row of session.stream(`SELECT id, amount FROM ${table} ORDER BY id`)) {
    if (Number(row.id) !== next) throw new Error(`row ${next} has the id ${row.id}`);
    next += 1;
    sum += Number(row.amount);
  }
  equal([next - 1, sum], [count, (count * (count + 1)) / 2], 'rows and their sum');
  equal((await session.query('SELECT 1 AS one')).rows, [{ one: 1 }], 'a second statement');
  await session.end();
}

export async function large(driver) {
  const session = await driver.connect(driver.largePackets);
  const table = await session.create('large', 'id INT PRIMARY KEY, value LONGBLOB');
  const value = Buffer.alloc(17_000_000, Buffer.from(Array.from({ length: 251 }, (_, byte) => byte)));
  await inSteps(async (step) => {
    for (const [id, way] of (driver.prepares ? ['query', 'execute'] : ['query']).entries()) {
      await step(way, async () => {
        equal(Number((await session[way](`INSERT INTO ${table} VALUES (?, ?)`, [id, value])).affected), 1, 'affected rows');
        const { rows } = await session[way](`SELECT value, LENGTH(value) AS n FROM ${table} WHERE id = ?`, [id]);
        equal(Number(rows[0].n), value.length, 'length at the server');
        holds(value.equals(rows[0].value), `${rows[0].value.length} bytes came back, not those that went`);
      });
    }
  });
  await session.end();
}

export async function multi(driver) {
  const session = await driver.connect({ multipleStatements: true });
  await inSteps(async (step) => {
    await step('several statements', async () => {
      const table = await session.create('multi', 'id INT PRIMARY KEY');
      const results = await session.several(`SELECT 1 AS one; INSERT INTO ${table} VALUES (1), (2); SELECT id FROM ${table} ORDER BY id`);
      equal([results[0].rows, Number(results[1].affected), results[2].rows], [[{ one: 1 }], 2, [{ id: 1 }, { id: 2 }]], 'results');
    });
    await step('an error in the second', async () => {
      await driver.refused(() => session.several('SELECT 1; SELECT nothing_there; SELECT 2'), 1054);
      equal((await session.query('SELECT 3 AS three')).rows, [{ three: 3 }], 'the connection afterwards');
    });
    await step('CALL', async () => {
      const procedure = named('both');
      await session.query(`DROP PROCEDURE IF EXISTS ${procedure}`);
      await session.query(`CREATE PROCEDURE ${procedure}(IN a INT, OUT b INT)
        BEGIN SELECT a AS first; SELECT a + 1 AS second, 'x' AS x; SET b = a + 2; END`);
      const results = await session.several(`CALL ${procedure}(40, @b)`);
      equal(results.slice(0, 2).map(({ rows }) => rows), [[{ first: 40 }], [{ second: 41, x: 'x' }]], 'results');
      equal(Number((await session.query('SELECT @b AS b')).rows[0].b), 42, 'OUT parameter');
    });
  });
  await session.end();
}

export async function infile(driver) {
  const text = Array.from({ length: 1000 }, (_, index) => `${order(index + 1).join('\t')}\n`).join('');
  const session = await driver.connect(driver.infile(() => Readable.from([Buffer.from(text)])));
  const load = async (name) => {
    const table = await session.create(name, ORDERS);
    const { affected } = await session.query(`LOAD DATA LOCAL INFILE ? INTO TABLE ${table}`, [driver.infileName(text)]);
    equal(Number(affected), 1000, 'affected rows');
    const { rows } = await session.query(`SELECT COUNT(*) AS n, SUM(amount) AS amount FROM ${table}`);
    equal([Number(rows[0].n), Number(rows[0].amount)], [1000, 500_750], 'what is there');
  };
  await inSteps(async (step) => {
    await step('one table', () => load('loaded'));
    if (target.sharded) await step('a sharded table', () => load('orders'));
    await step('afterwards', async () => equal((await session.query('SELECT 1 AS one')).rows, [{ one: 1 }], 'SELECT 1'));
  });
  await session.end();
}
