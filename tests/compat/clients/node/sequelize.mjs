import { DataTypes, Op, BaseError, QueryTypes, Sequelize, Transaction, ValidationError } from 'sequelize';

import { equal, holds, inSteps, named, refused, target } from './lib/compat.mjs';
import { runDriver, SessionBase } from './lib/drivers.mjs';
import { itemsOf, ORDERS, PEOPLE, TOTALS } from './lib/people.mjs';
import { transactions } from './lib/work.mjs';

function open({ connectionLimit = 1, ...options } = {}) {
  const { host, port, user, password, database, ...dialectOptions } = { ...target, ...options };
  for (const key of ['sha2User', 'sha2Password', 'ca', 'socket', 'sharded']) delete dialectOptions[key];
  return new Sequelize(database, user, password, {
    dialect: 'mysql',
    host,
    port,
    logging: false,
    pool: { max: connectionLimit },
    dialectOptions,
    define: { timestamps: false, freezeTableName: true },
  });
}

/** One connection: Sequelize with a pool of one, or a transaction on a larger pool. */
class Session extends SessionBase {
  constructor(native, transaction) {
    super();
    this.native = native;
    this.transaction = transaction;
  }

  async query(sql, replacements) {
    const [answer, more] = await this.native.query(sql, { replacements, transaction: this.transaction });
    if (Array.isArray(answer)) return { rows: answer };
    return typeof more === 'number' ? { affected: more, insertId: answer } : { affected: more?.affectedRows };
  }

  async execute(sql, bind) {
    let number = 0;
    const numbered = sql.replace(/\?/g, () => `$${(number += 1)}`);
    const [answer, more] = await this.native.query(numbered, { bind });
    return Array.isArray(answer) ? { rows: answer } : { affected: more, insertId: answer };
  }

  async batch(table, rows) {
    const columns = ['id', 'person', 'item', 'amount'];
    const records = rows.map((row) => Object.fromEntries(row.map((value, index) => [columns[index], value])));
    // It does not say how many rows it wrote.
    await this.native.getQueryInterface().bulkInsert(table, records);
    return {};
  }

  begin = () => this.query('START TRANSACTION');
  commit = () => this.query('COMMIT');
  rollback = () => this.query('ROLLBACK');
  release = () => this.transaction.rollback().catch(() => {});
  end = () => this.native.close();
  destroy = () => this.native.close().catch(() => {});
}

const numberOf = (error) => error.original?.errno;

async function connect(options) {
  const session = new Session(open(options));
  await session.native.authenticate();
  return session;
}

function models(sequelize) {
  const Person = sequelize.define(named('people'), {
    id: { type: DataTypes.BIGINT, primaryKey: true },
    name: { type: DataTypes.STRING(100), allowNull: false },
    email: DataTypes.STRING(100),
    born: DataTypes.DATEONLY,
    visits: { type: DataTypes.INTEGER, defaultValue: 0 },
    settings: DataTypes.JSON,
  });
  const Order = sequelize.define(named('orders'), {
    id: { type: DataTypes.BIGINT, primaryKey: true },
    person_id: DataTypes.BIGINT,
    item: DataTypes.STRING(50),
    amount: DataTypes.DECIMAL(12, 2),
    placed: DataTypes.DATE(6),
  }, { indexes: [{ name: 'by_person', fields: ['person_id', 'item'] }] });
  const Tag = sequelize.define(named('tags'), {
    id: { type: DataTypes.INTEGER.UNSIGNED, primaryKey: true, autoIncrement: true },
    label: { type: DataTypes.STRING(50), unique: true },
    uses: { type: DataTypes.INTEGER, defaultValue: 1 },
  }, { timestamps: true, createdAt: 'created', updatedAt: 'updated' });
  // A foreign key cannot point to a row on another shard.
  const constraints = !target.sharded;
  Person.hasMany(Order, { as: 'orders', foreignKey: 'person_id', constraints });
  Order.belongsTo(Person, { as: 'person', foreignKey: 'person_id', constraints });
  return { Person, Order, Tag };
}

async function schema(driver) {
  const { native: sequelize } = await driver.connect();
  const { Order, Person } = models(sequelize);
  const made = sequelize.getQueryInterface();
  await sequelize.sync({ force: true });
  await inSteps(async (step) => {
    await step('tables', async () => {
      const tables = (await made.showAllTables()).map((table) => table.tableName ?? table);
      equal(['people', 'orders', 'tags'].filter((name) => !tables.includes(named(name))), [], 'missing tables');
    });
    await step('describe', async () => {
      const { id, amount, placed } = await Order.describe();
      equal([id.type.replace('(20)', ''), id.primaryKey, amount.type, placed.type, placed.allowNull],
        ['BIGINT', true, 'DECIMAL(12,2)', 'DATETIME(6)', true], 'columns');
    });
    await step('indexes', async () => {
      const index = (await made.showIndex(Order.tableName)).find(({ name }) => name === 'by_person');
      equal([index.unique, index.fields.map(({ attribute }) => attribute)], [false, ['person_id', 'item']], 'index');
    });
    await step('foreign keys', async () => {
      const keys = await made.getForeignKeyReferencesForTable(Order.tableName);
      const expected = target.sharded ? [] : [['person_id', Person.tableName, 'id']];
      equal(keys.map((key) => [key.columnName, key.referencedTableName, key.referencedColumnName]), expected, 'keys');
    });
    await step('alter', async () => {
      await made.addColumn(Person.tableName, 'nick', { type: DataTypes.STRING(20), defaultValue: 'none' });
      await made.renameColumn(Person.tableName, 'nick', 'nickname');
      await made.changeColumn(Person.tableName, 'nickname', { type: DataTypes.STRING(40), allowNull: false, defaultValue: '-' });
      await made.addIndex(Person.tableName, ['nickname'], { name: 'by_nickname' });
      const { nickname } = await Person.describe();
      equal([nickname.type, nickname.allowNull, nickname.defaultValue], ['VARCHAR(40)', false, '-'], 'changed column');
      await made.removeIndex(Person.tableName, 'by_nickname');
      await made.removeColumn(Person.tableName, 'nickname');
      equal('nickname' in (await Person.describe()), false, 'the column is still there');
    });
    await step('sync by alter', () => sequelize.sync({ alter: true }));
    await step('drop', async () => {
      await sequelize.drop();
      equal((await made.showAllTables()).filter((table) => (table.tableName ?? table) === Order.tableName), [], 'tables');
    });
  });
}

async function use(driver) {
  const { native: sequelize } = await driver.connect({ connectionLimit: 5 });
  const { Person, Order, Tag } = models(sequelize);
  await sequelize.sync({ force: true });
  await inSteps(async (step) => {
    await step('create', async () => {
      await Person.create({ ...PEOPLE[0], settings: { theme: 'dark', sizes: [1, 2] } });
      equal(await Person.bulkCreate(PEOPLE.slice(1)).then((made) => made.length), 11, 'people');
      await Order.bulkCreate(ORDERS.map((order) => ({ ...order, placed: new Date('2024-02-29T12:00:00.123Z') })));
      equal([await Person.count(), await Order.count()], [12, 36], 'counts');
    });
    await step('read', async () => {
      const ada = await Person.findByPk(1);
      const settings = typeof ada.settings === 'string' ? JSON.parse(ada.settings) : ada.settings;
      equal([ada.name, ada.born, settings], ['Ada1', '1950-03-10', { theme: 'dark', sizes: [1, 2] }], 'person');
      equal((await Order.findByPk(101)).placed.toISOString(), '2024-02-29T12:00:00.123Z', 'date');
      const found = await Person.findAll({ where: { name: { [Op.like]: 'Ada%' } }, order: [['born', 'DESC']], limit: 2, offset: 1 });
      equal(found.map(({ name }) => name), ['Ada5', 'Ada1'], 'people by LIKE');
      const { count, rows } = await Order.findAndCountAll({ where: { item: 'tea' }, order: ['id'], limit: 3 });
      equal([count, rows.map(({ id }) => Number(id))], [12, [101, 104, 107]], 'orders and their count');
    });
    await step('lazy loading', async () => {
      const person = await Person.findByPk(3);
      equal((await person.getOrders({ order: ['id'] })).map(({ item }) => item), itemsOf(3), 'items');
      equal((await (await Order.findByPk(105)).getPerson()).name, 'Ada5', 'whose order');
    });
    await step('eager loading apart', async () => {
      const people = await Person.findAll({ include: { model: Order, as: 'orders', separate: true, order: ['id'] }, order: ['id'] });
      equal(people.map(({ orders }) => orders.map(({ item }) => item)), PEOPLE.map(({ id }) => itemsOf(id)), 'items');
    });
    await step('eager loading by join', async () => {
      const people = await Person.findAll({ include: { model: Order, as: 'orders' }, order: ['id', ['orders', 'id', 'ASC']] });
      equal(people.map(({ orders }) => orders.map(({ item }) => item)), PEOPLE.map(({ id }) => itemsOf(id)), 'items');
    });
    await step('aggregation', async () => {
      equal([Number(await Order.sum('amount')), Number(await Order.max('id'))], [684, 136], 'sum and maximum');
      const totals = await Order.findAll({
        attributes: ['item', [sequelize.fn('COUNT', sequelize.col('id')), 'n'], [sequelize.fn('SUM', sequelize.col('amount')), 'amount']],
        group: 'item', order: ['item'], raw: true,
      });
      equal(totals.map((row) => ({ ...row, amount: Number(row.amount) })), TOTALS, 'totals');
    });
    await step('update', async () => {
      const person = await Person.findByPk(2);
      await person.update({ name: 'Zoë 😀' });
      await person.increment('visits', { by: 5 });
      equal([(await person.reload()).name, person.visits], ['Zoë 😀', 5], 'person');
      equal(await Order.update({ item: 'green tea' }, { where: { item: 'tea' } }), [12], 'rows updated');
    });
    await step('upsert', async () => {
      await Person.upsert({ ...PEOPLE[4], name: 'again' });
      await Person.upsert({ id: 50, name: 'new' });
      const rows = [{ id: 50, name: 'newer' }, { id: 51, name: 'newest' }];
      await Person.bulkCreate(rows, { updateOnDuplicate: ['name'] });
      const names = await Person.findAll({ where: { id: [5, 50, 51] }, order: ['id'] });
      equal(names.map(({ name }) => name), ['again', 'newer', 'newest'], 'names');
    });
    await step('generated keys', async () => {
      const first = await Tag.create({ label: 'one' });
      const second = await Tag.create({ label: 'two' });
      equal([second.id > first.id, (await Tag.findByPk(second.id)).label], [true, 'two'], 'keys');
      const [found, made] = await Tag.findOrCreate({ where: { label: 'two' } });
      equal([found.id, made], [second.id, false], 'findOrCreate');
      await refused(() => Tag.create({ label: 'one' }), 1062, ValidationError, (error) => error.original.errno);
    });
    await step('delete', async () => {
      await (await Order.findByPk(101)).destroy();
      equal(await Order.destroy({ where: { item: ['green tea', 'wine'] } }), 23, 'rows deleted');
      equal(await Order.count(), 12, 'rows left');
    });
  });
}

async function ownTransactions(driver) {
  await transactions(driver);
  const { native: sequelize } = await driver.connect({ connectionLimit: 3 });
  const Order = sequelize.define(named('orders'), { id: { type: DataTypes.BIGINT, primaryKey: true }, item: DataTypes.STRING(50) });
  await Order.sync({ force: true });
  const insert = (id, transaction) => Order.create({ id, item: 'x' }, { transaction });
  await inSteps(async (step) => {
    await step('managed', () => sequelize.transaction({ isolationLevel: Transaction.ISOLATION_LEVELS.READ_COMMITTED }, async (transaction) => {
      await insert(1, transaction);
      equal([await Order.count({ transaction }), await Order.count()], [1, 0], 'inside and outside');
    }));
    await step('managed, failing', async () => {
      const error = new Error('on purpose');
      const end = await sequelize.transaction(async (transaction) => {
        await insert(2, transaction);
        throw error;
      }).catch((caught) => caught);
      holds(end === error, `ended with ${end}`);
    });
    await step('nested', () => sequelize.transaction(async (transaction) => {
      await insert(5, transaction);
      const inner = await sequelize.transaction({ transaction });
      await insert(6, inner);
      await inner.rollback();
      const locked = await Order.findByPk(5, { transaction, lock: transaction.LOCK.UPDATE });
      equal(Number(locked.id), 5, 'row read for update');
    }));
    await step('afterwards', async () => {
      const ids = await sequelize.query(`SELECT id FROM ${Order.tableName} ORDER BY id`, { type: QueryTypes.SELECT });
      equal(ids.map(({ id }) => Number(id)), [1, 5], 'ids');
    });
  });
}

await runDriver({
  connect,
  pool(options) {
    const sequelize = open(options);
    return {
      session: async () => new Session(sequelize, await sequelize.transaction()),
      query: (sql, values) => new Session(sequelize).query(sql, values),
      close: () => sequelize.close(),
    };
  },
  refused: async (action, errno) => {
    const error = await refused(action, errno, BaseError, numberOf);
    return error.original;
  },
  numberOf,
  prepares: true,
  tls: (ssl) => ({ ssl: { ca: target.ca, rejectUnauthorized: true, verifyIdentity: true, ...ssl } }),
  inClear: {},
  compressed: (socket) => ({ compress: true, stream: socket }),
  exactTypes: { supportBigNumbers: true, bigNumberStrings: true, dateStrings: true, typeCast: true },
  checks: {
    prepared: 'each statement with bind is prepared and kept by mysql2 (types_prepared)',
    transactions: ownTransactions,
    stream: 'Sequelize reads whole results',
    reset: 'Sequelize hands connections on as they are',
    multi: 'Sequelize reads one result',
    infile: 'left to mysql2',
    orm_schema: schema,
    orm_use: use,
  },
});
