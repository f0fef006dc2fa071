import knex from 'knex';

import { equal, eventually, holds, inSteps, named, refused, target } from './lib/compat.mjs';
import { ORDERS as ORDERS_COLUMNS } from './lib/data.mjs';
import { runDriver, SessionBase } from './lib/drivers.mjs';
import { itemsOf, ORDERS, PEOPLE, TOTALS } from './lib/people.mjs';
import { transactions } from './lib/work.mjs';

const PEOPLE_TABLE = named('people');
const ORDERS_TABLE = named('orders');
const TAGS_TABLE = named('tags');

function open({ connectionLimit = 1, ...options } = {}) {
  const { host, port, user, password, database } = target;
  return knex({
    client: 'mysql2',
    connection: { host, port, user, password, database, ...options },
    pool: { min: 0, max: connectionLimit },
    // It would print what is expected here: wrong passwords, ended connections.
    log: { warn: () => {}, error: () => {}, deprecate: () => {}, debug: () => {} },
  });
}

const result = ([answer]) =>
  Array.isArray(answer) ? { rows: answer.map((row) => ({ ...row })) } : { affected: answer.affectedRows, insertId: answer.insertId };

/** One connection: Knex with a pool of one, or a transaction on a larger pool. */
class Session extends SessionBase {
  constructor(native, transaction) {
    super();
    this.native = native;
    this.on = transaction ?? native;
  }

  query = async (sql, values = []) => result(await this.on.raw(sql, values));
  several = async (sql) => (await this.on.raw(sql))[0].map((answer) => result([answer]));
  stream = (sql) => this.on.raw(sql).stream({ highWaterMark: 100 });
  begin = () => this.query('START TRANSACTION');
  commit = () => this.query('COMMIT');
  rollback = () => this.query('ROLLBACK');
  release = () => this.on.rollback().catch(() => {});
  end = () => this.native.destroy();
  destroy = () => this.native.destroy();

  async batch(table, rows) {
    const columns = ['id', 'person', 'item', 'amount'];
    const records = rows.map((row) => Object.fromEntries(row.map((value, index) => [columns[index], value])));
    // It gives one number for each of its statements, which is a generated key if there is one.
    equal((await this.on.batchInsert(table, records, 250)).length, 4, 'statements');
    return {};
  }
}

async function connect(options) {
  const session = new Session(open(options));
  await session.query('SELECT 1');
  return session;
}

/** Migrations that are not read from files. */
const source = (steps) => ({
  getMigrations: async () => Object.keys(steps),
  getMigrationName: (name) => name,
  getMigration: async (name) => steps[name],
});

const MIGRATIONS = source({
  '01_tables': {
    async up(db) {
      await db.schema.createTable(PEOPLE_TABLE, (table) => {
        table.bigInteger('id').primary();
        table.string('name', 100).notNullable();
        table.string('email', 100);
        table.date('born');
        table.integer('visits').defaultTo(0);
        table.json('settings');
      });
      await db.schema.createTable(ORDERS_TABLE, (table) => {
        table.bigInteger('id').primary();
        const person = table.bigInteger('person_id');
        // A foreign key cannot point to a row on another shard.
        if (!target.sharded) person.references('id').inTable(PEOPLE_TABLE);
        table.string('item', 50);
        table.decimal('amount', 12, 2);
        table.index(['person_id', 'item'], 'by_person');
      });
      await db.schema.createTable(TAGS_TABLE, (table) => {
        table.increments('id');
        table.string('label', 50).unique();
        table.integer('uses').defaultTo(1);
        table.timestamp('created').nullable();
      });
    },
    async down(db) {
      await db.schema.dropTable(TAGS_TABLE).dropTable(ORDERS_TABLE).dropTable(PEOPLE_TABLE);
    },
  },
  '02_nickname': {
    async up(db) {
      await db.schema.alterTable(PEOPLE_TABLE, (table) => {
        table.string('nick', 20).defaultTo('none');
        table.index('nick', 'by_nick');
      });
      await db.schema.alterTable(PEOPLE_TABLE, (table) => table.renameColumn('nick', 'nickname'));
    },
    async down(db) {
      await db.schema.alterTable(PEOPLE_TABLE, (table) => {
        table.dropIndex('nickname', 'by_nick');
        table.dropColumn('nickname');
      });
    },
  },
});

const migrating = { migrationSource: MIGRATIONS, tableName: named('migrations') };

async function remade(db) {
  await db.schema.dropTableIfExists(TAGS_TABLE).dropTableIfExists(ORDERS_TABLE).dropTableIfExists(PEOPLE_TABLE);
  await db.schema.dropTableIfExists(named('migrations')).dropTableIfExists(named('migrations_lock'));
  const [, run] = await db.migrate.latest(migrating);
  return run;
}

async function schema(driver) {
  const { native: db } = await driver.connect();
  equal(await remade(db), ['01_tables', '02_nickname'], 'migrations run');
  await inSteps(async (step) => {
    await step('tables', async () => {
      equal([await db.schema.hasTable(ORDERS_TABLE), await db.schema.hasTable(named('nowhere'))], [true, false], 'tables');
      equal([await db.schema.hasColumn(PEOPLE_TABLE, 'nickname'), await db.schema.hasColumn(PEOPLE_TABLE, 'nick')], [true, false], 'columns');
    });
    await step('columns', async () => {
      const { id, name, nickname } = await db(PEOPLE_TABLE).columnInfo();
      equal([id.type, name.maxLength, name.nullable, nickname.maxLength, nickname.defaultValue?.replaceAll("'", '')],
        ['bigint', 100, false, 20, 'none'], 'columns');
    });
    await step('migrations', async () => {
      equal(await db.migrate.currentVersion(migrating), '02', 'version');
      equal((await db.migrate.rollback(migrating, true))[1], ['02_nickname', '01_tables'], 'rolled back');
      equal(await db.schema.hasTable(ORDERS_TABLE), false, 'the table is still there');
    });
  });
}

async function use(driver) {
  const { native: db } = await driver.connect({ connectionLimit: 5 });
  await remade(db);
  const [people, orders, tags] = [() => db(PEOPLE_TABLE), () => db(ORDERS_TABLE), () => db(TAGS_TABLE)];
  const joined = () => people().join(ORDERS_TABLE, `${ORDERS_TABLE}.person_id`, `${PEOPLE_TABLE}.id`);
  await inSteps(async (step) => {
    await step('create', async () => {
      await people().insert({ ...PEOPLE[0], settings: JSON.stringify({ theme: 'dark' }) });
      await people().insert(PEOPLE.slice(1));
      await db.batchInsert(ORDERS_TABLE, ORDERS, 10);
      equal([(await people().count('* as n'))[0].n, (await orders().count('* as n'))[0].n], [12, 36], 'counts');
    });
    await step('read', async () => {
      const { name, settings } = await people().where({ id: 1 }).first();
      equal([name, typeof settings === 'string' ? JSON.parse(settings) : settings], ['Ada1', { theme: 'dark' }], 'person');
      const found = await people().where('name', 'like', 'Ada%').orderBy('born', 'desc').limit(2).offset(1).pluck('name');
      equal(found, ['Ada5', 'Ada1'], 'people by LIKE');
      equal(await orders().whereIn('id', [101, 104, 999]).orderBy('id').pluck('item'), ['tea', 'tea'], 'orders by id');
    });
    await step('join', async () => {
      const items = await joined().where(`${PEOPLE_TABLE}.id`, 3).orderBy(`${ORDERS_TABLE}.id`).pluck('item');
      equal(items, itemsOf(3), 'items');
    });
    await step('aggregation', async () => {
      const totals = await orders().select('item').count('* as n').sum('amount as amount').groupBy('item').orderBy('item');
      equal(totals.map((row) => ({ ...row, amount: Number(row.amount) })), TOTALS, 'totals');
      const [{ sum, max }] = await orders().sum('amount as sum').max('id as max');
      equal([Number(sum), max], [684, 136], 'sum and maximum');
      equal(await orders().distinct('item').orderBy('item').pluck('item'), ['bread', 'tea', 'wine'], 'items');
    });
    await step('update', async () => {
      equal(await people().where({ id: 2 }).update({ name: 'Zoë 😀' }), 1, 'rows');
      await people().where({ id: 2 }).increment('visits', 5);
      const { name, visits } = await people().where({ id: 2 }).first();
      equal([name, visits], ['Zoë 😀', 5], 'person');
      equal(await orders().where({ item: 'tea' }).update({ item: 'green tea' }), 12, 'rows of many');
    });
    await step('upsert', async () => {
      await people().insert([{ id: 5, name: 'again' }, { id: 50, name: 'new' }]).onConflict('id').merge(['name']);
      await people().insert({ id: 50, name: 'ignored' }).onConflict('id').ignore();
      equal(await people().whereIn('id', [5, 50]).orderBy('id').pluck('name'), ['again', 'new'], 'names');
    });
    await step('generated keys', async () => {
      const [first] = await tags().insert({ label: 'one' });
      const [second] = await tags().insert([{ label: 'two' }, { label: 'three' }]);
      equal([second > first, (await tags().where({ id: second }).first()).label], [true, 'two'], 'keys');
      await refused(() => tags().insert({ label: 'one' }), 1062);
    });
    await step('delete', async () => {
      equal(await orders().whereIn('item', ['green tea', 'wine']).del(), 24, 'rows');
      equal((await orders().count('* as n'))[0].n, 12, 'rows left');
    });
  });
}

async function ownTransactions(driver) {
  await transactions(driver);
  const session = await driver.connect({ connectionLimit: 3 });
  await session.create('orders', ORDERS_COLUMNS);
  const db = session.native;
  const insert = (id, on) => on(ORDERS_TABLE).insert({ id, person: 1 });
  await inSteps(async (step) => {
    await step('helper', () => db.transaction(async (trx) => {
      await insert(1, trx);
      equal([await trx(ORDERS_TABLE).pluck('id'), await db(ORDERS_TABLE).pluck('id')], [[1], []], 'inside and outside');
    }, { isolationLevel: 'read committed' }));
    await step('helper, failing', async () => {
      const error = new Error('on purpose');
      const end = await db.transaction(async (trx) => {
        await insert(2, trx);
        throw error;
      }).catch((caught) => caught);
      holds(end === error, `ended with ${end}`);
    });
    await step('nested', () => db.transaction(async (trx) => {
      await insert(5, trx);
      await trx.transaction(async (inner) => {
        await insert(6, inner);
        throw new Error('on purpose');
      }).catch(() => {});
      equal(await trx(ORDERS_TABLE).where({ id: 5 }).forUpdate().pluck('id'), [5], 'row read for update');
    }));
    await step('afterwards', async () => equal(await db(ORDERS_TABLE).orderBy('id').pluck('id'), [1, 5], 'ids'));
  });
}

await runDriver({
  connect,
  pool(options) {
    const db = open(options);
    return {
      session: async () => new Session(db, await db.transaction()),
      query: (sql, values) => new Session(db).query(sql, values),
      close: () => db.destroy(),
    };
  },
  refused,
  prepares: false,
  tls: (ssl) => ({ ssl: { ca: target.ca, rejectUnauthorized: true, verifyIdentity: true, ...ssl } }),
  inClear: {},
  compressed: (socket) => ({ compress: true, stream: socket }),
  infile: (file) => ({ infileStreamFactory: file }),
  infileName: () => 'orders.tsv',
  exactTypes: { supportBigNumbers: true, bigNumberStrings: true, dateStrings: true },
  timeouts: {
    'timeout with cancel': async (driver) => {
      // The cancel comes from a connection of its own, over which Knex sends KILL QUERY.
      const session = await driver.connect({ connectionLimit: 2 });
      const end = await session.native.raw('SELECT SLEEP(30)').timeout(200, { cancel: true }).catch((error) => error.name);
      equal(end, 'KnexTimeoutError', 'error');
      // A KILL is answered when it is on its way, not when the statement has ended.
      const left = await driver.connect();
      await eventually(async () => {
        const sleeps = (await left.query('SHOW FULL PROCESSLIST')).rows.filter(({ Info }) => Info === 'SELECT SLEEP(30)');
        equal(sleeps.length, 0, 'sleeping statements');
        return true;
      });
    },
  },
  checks: {
    types_prepared: 'Knex has no prepared statements',
    prepared: 'Knex has no prepared statements',
    transactions: ownTransactions,
    reset: 'Knex hands connections on as they are',
    orm_schema: schema,
    orm_use: use,
  },
});
