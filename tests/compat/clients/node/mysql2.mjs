import mysql from 'mysql2/promise';

import { equal, holds, refused, target } from './lib/compat.mjs';
import { runDriver, SessionBase } from './lib/drivers.mjs';

const USUAL = {
  host: target.host,
  port: target.port,
  user: target.user,
  password: target.password,
  database: target.database,
};

const result = ([answer]) =>
  Array.isArray(answer) ? { rows: answer.map((row) => ({ ...row })) } : { affected: answer.affectedRows, insertId: answer.insertId };

class Session extends SessionBase {
  constructor(native) {
    super();
    this.native = native;
  }

  query = async (sql, values) => result(await this.native.query(sql, values));
  execute = async (sql, values) => result(await this.native.execute(sql, values));
  several = async (sql) => (await this.native.query(sql))[0].map((answer) => result([answer]));
  stream = (sql) => this.native.connection.query(sql).stream({ highWaterMark: 100 });
  batch = async (table, rows) => result(await this.native.query(`INSERT INTO ${table} VALUES ?`, [rows]));
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

const connect = async (options) => new Session(await mysql.createConnection({ ...USUAL, ...options }));

await runDriver({
  connect,
  pool(options) {
    const pool = mysql.createPool({ ...USUAL, ...options });
    return {
      session: async () => new Session(await pool.getConnection()),
      query: async (sql, values) => result(await pool.query(sql, values)),
      close: () => pool.end(),
    };
  },
  refused,
  prepares: true,
  tls: (ssl) => ({ ssl: { ca: target.ca, rejectUnauthorized: true, verifyIdentity: true, ...ssl } }),
  inClear: {},
  compressed: (open) => ({ compress: true, stream: open }),
  infile: (open) => ({ infileStreamFactory: open }),
  infileName: () => 'orders.tsv',
  exactTypes: { supportBigNumbers: true, bigNumberStrings: true, dateStrings: true },
  // The driver sends a number as a DOUBLE, which MySQL does not take in a LIMIT.
  limit: String,
  cleaningPool: { resetOnRelease: true },
  resets: {
    'COM_RESET_CONNECTION': ({ native }) => native.reset(),
    'COM_CHANGE_USER': ({ native }) => native.changeUser({ user: target.user, password: target.password, database: target.database }),
  },
  timeouts: {
    timeout: async (driver) => {
      const session = await driver.connect();
      try {
        await session.query({ sql: 'SELECT SLEEP(30)', timeout: 200 });
      } catch (error) {
        return equal(error.code, 'PROTOCOL_SEQUENCE_TIMEOUT', 'error');
      }
      return holds(false, 'nothing ended the statement');
    },
  },
});
