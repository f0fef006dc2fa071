// Checks of transactions and errors. What `driver` and its sessions are is in drivers.mjs.

import { equal, inSteps, named, target } from './compat.mjs';
import { ORDERS } from './data.mjs';

/** Where the table is sharded, the ids 1 and 5 are on different shards. */
export async function transactions(driver) {
  const session = await driver.connect();
  const other = await driver.connect();
  const table = await session.create('orders', ORDERS);
  const insert = (id) => session.query(`INSERT INTO ${table} VALUES (?, 1, 'x', 1)`, [id]);
  const ids = async (on) => (await on.query(`SELECT id FROM ${table} ORDER BY id`)).rows.map(({ id }) => Number(id));
  await inSteps(async (step) => {
    const clean = (what, action) => step(what, async () => {
      try {
        await action();
      } finally {
        await session.query('ROLLBACK');
        await session.query('SET autocommit = 1');
        await session.query(`DELETE FROM ${table}`);
      }
    });
    await clean('commit', async () => {
      await session.begin();
      for (const id of [1, 2, 5, 6]) await insert(id);
      equal([await ids(session), await ids(other)], [[1, 2, 5, 6], []], 'before, here and there');
      await session.commit();
      equal([await ids(session), await ids(other)], [[1, 2, 5, 6], [1, 2, 5, 6]], 'after, here and there');
    });
    await clean('rollback', async () => {
      await session.begin();
      await insert(1);
      await session.query(`INSERT INTO ${table} VALUES (2, 1, 'x', 1), (5, 1, 'x', 1)`);
      await session.rollback();
      equal([await ids(session), await ids(other)], [[], []], 'here and there');
    });
    await clean('savepoint', async () => {
      await session.begin();
      await insert(1);
      await session.query('SAVEPOINT a');
      await insert(5);
      await session.query('ROLLBACK TO SAVEPOINT a');
      await insert(6);
      await session.query('RELEASE SAVEPOINT a');
      await session.commit();
      equal(await ids(other), [1, 6], 'there');
    });
    await clean('isolation level', async () => {
      await session.query('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ');
      await session.begin();
      equal(await ids(session), [], 'first look');
      await other.query(`INSERT INTO ${table} VALUES (7, 1, 'x', 1)`);
      equal(await ids(session), [], 'second look');
      await session.commit();
      await session.query('SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED');
      await session.begin();
      equal(await ids(session), [7], 'third look');
      await other.query(`DELETE FROM ${table} WHERE id = 7`);
      equal(await ids(session), [], 'fourth look');
      await session.commit();
    });
    await clean('autocommit', async () => {
      await session.query('SET autocommit = 0');
      await insert(1);
      equal(await ids(other), [], 'there, before');
      await session.query('COMMIT');
      await insert(2);
      await session.query('ROLLBACK');
      await session.query('SET autocommit = 1');
      await insert(3);
      equal(await ids(other), [1, 3], 'there, after');
    });
    await clean('read only', async () => {
      await session.query('START TRANSACTION READ ONLY');
      await driver.refused(() => insert(1), 1792);
    });
  });
  await session.end();
  await other.end();
}

export async function errors(driver) {
  const session = await driver.connect();
  const table = await session.create('orders', ORDERS);
  await session.query(`INSERT INTO ${table} VALUES (1, 1, 'x', 1)`);
  const statements = {
    'duplicate key': [`INSERT INTO ${table} VALUES (1, 1, 'x', 1)`, 1062, '23000'],
    'unknown table': [`SELECT * FROM ${named('nowhere')}`, 1146, '42S02'],
    syntax: ['SELEKT 1', 1064, '42000'],
    'unknown column': [`SELECT nothing_there FROM ${table}`, 1054, '42S22'],
    'no value': [`INSERT INTO ${table} VALUES (2, NULL, 'x', 1)`, 1048, '23000'],
    'too long': [`INSERT INTO ${table} VALUES (2, 1, REPEAT('x', 101), 1)`, 1406, '22001'],
  };
  const logins = {
    'wrong password': [{ password: 'wrong' }, 1045],
    'unknown user': [{ user: named('nobody').slice(0, 32) }, 1045],
    'unknown schema': [{ database: named('nowhere') }, 1049],
  };
  await inSteps(async (step) => {
    for (const [what, [sql, errno, state]] of Object.entries(statements)) {
      await step(what, async () => {
        equal((await driver.refused(() => session.query(sql), errno)).sqlState, state, 'SQLSTATE');
        if (driver.prepares) await driver.refused(() => session.execute(sql, []), errno);
      });
      await step(`after ${what}`, async () => equal((await session.query('SELECT 1 AS one')).rows, [{ one: 1 }], 'SELECT 1'));
    }
    for (const [what, [options, errno]] of Object.entries(logins)) {
      await step(what, () => driver.refused(() => driver.connect({ ...options, ...(target.ca ? driver.tls() : {}) }), errno));
    }
  });
  await session.end();
}
