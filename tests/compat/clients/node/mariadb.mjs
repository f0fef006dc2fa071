import mariadb from 'mariadb';

import { equal, holds, needs, refused, target } from './lib/compat.mjs';
import { runDriver, SessionBase } from './lib/drivers.mjs';

const USUAL = {
  host: target.host,
  port: target.port,
  user: target.user,
  password: target.password,
  database: target.database,
};

// What fits a number is made one: which integers come as BigInt depends on the types that a server gives its literals.
const plain = (value) => (typeof value === 'bigint' && Number.isSafeInteger(Number(value)) ? Number(value) : value);
const row = (answer) => Object.fromEntries(Object.entries(answer).map(([name, value]) => [name, plain(value)]));
const result = (answer) =>
  Array.isArray(answer) ? { rows: answer.map(row) } : { affected: answer.affectedRows, insertId: answer.insertId };

class Session extends SessionBase {
  constructor(native) {
    super();
    this.native = native;
  }

  query = async (sql, values) => result(await this.native.query(sql, values));
  execute = async (sql, values) => result(await this.native.execute(sql, values));
  several = async (sql) => (await this.native.query(sql)).map(result);
  stream = (sql) => this.native.queryStream(sql);
  batch = async (table, rows) => {
    const answer = await this.native.batch(`INSERT INTO ${table} VALUES (${rows[0].map(() => '?')})`, rows);
    return { affected: [answer].flat().reduce((sum, { affectedRows }) => sum + affectedRows, 0) };
  };
  begin = () => this.native.beginTransaction();
  commit = () => this.native.commit();
  rollback = () => this.native.rollback();
  release = () => this.native.release();
  end = () => this.native.end();
  destroy = () => this.native.destroy();

  async prepare(sql) {
    const statement = await this.native.prepare(sql);
    return { execute: async (values) => result(await statement.execute(values)), close: () => statement.close() };
  }
}

const connect = async (options) => new Session(await mariadb.createConnection({ ...USUAL, ...options }));

// The driver asks the server's version, and leaves these alone on MySQL.
const needsMariaDB = ({ native }) => needs(native.info.isMariaDB(), 'the driver does it on MariaDB alone');

const cut = (options, code) => async (driver) => {
  const session = await driver.connect();
  if (options.queryTimeout) needsMariaDB(session);
  const limited = await driver.connect(options);
  try {
    await limited.query('SELECT SLEEP(30)');
  } catch (error) {
    return equal(error.code, code, 'error');
  }
  return holds(false, 'nothing ended the statement');
};

await runDriver({
  connect,
  pool(options) {
    const pool = mariadb.createPool({ ...USUAL, ...options });
    return {
      session: async () => new Session(await pool.getConnection()),
      query: async (sql, values) => result(await pool.query(sql, values)),
      close: () => pool.end(),
    };
  },
  refused: (action, errno) => refused(action, errno, mariadb.SqlError),
  prepares: true,
  tls: (ssl) => ({ ssl: { ca: target.ca, rejectUnauthorized: true, ...ssl } }),
  inClear: { allowPublicKeyRetrieval: true },
  compressed: (open) => ({ compress: true, stream: (done) => done(undefined, open()) }),
  infile: (open) => ({ permitLocalInfile: true, infileStreamFactory: open }),
  infileName: () => 'orders.tsv',
  exactTypes: { dateStrings: true },
  integer: BigInt,
  limit: Number,
  largePackets: { maxAllowedPacket: 64 * 1024 * 1024 },
  cleaningPool: { resetAfterUse: true },
  needsCleaningPool: needsMariaDB,
  resets: {
    'COM_RESET_CONNECTION': ({ native }) => native.reset(),
    'COM_CHANGE_USER': async ({ native }) => {
      needsMariaDB({ native });
      await native.changeUser({ user: target.user, password: target.password, database: target.database });
    },
  },
  timeouts: {
    queryTimeout: cut({ queryTimeout: 200 }, 'ER_STATEMENT_TIMEOUT'),
    socketTimeout: cut({ socketTimeout: 500 }, 'ER_SOCKET_TIMEOUT'),
  },
});
