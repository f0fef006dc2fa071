import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { promisify } from 'node:util';

import mysql from 'mysql';

import { equal, holds, refused, target } from './lib/compat.mjs';
import { runDriver, SessionBase } from './lib/drivers.mjs';

const USUAL = {
  host: target.host,
  port: target.port,
  user: target.user,
  password: target.password,
  database: target.database,
  charset: 'utf8mb4',
};

const result = (answer) =>
  Array.isArray(answer) ? { rows: answer.map((row) => ({ ...row })) } : { affected: answer.affectedRows, insertId: answer.insertId };

// The driver is of the time of callbacks; its errors are of the class Error.
const called = (object, method) => promisify(object[method]).bind(object);

class Session extends SessionBase {
  constructor(native) {
    super();
    this.native = native;
    // What nobody listens to would end the process.
    native.on('error', () => {});
  }

  query = async (sql, values) => result(await called(this.native, 'query')(sql, values));
  several = async (sql) => (await called(this.native, 'query')(sql)).map(result);
  stream(sql) {
    // Its streams are older than asynchronous iteration.
    const rows = new PassThrough({ objectMode: true });
    const old = this.native.query(sql).stream({ highWaterMark: 100 });
    old.on('error', (error) => rows.destroy(error));
    return old.pipe(rows);
  }

  batch = async (table, rows) => result(await called(this.native, 'query')(`INSERT INTO ${table} VALUES ?`, [rows]));
  begin = () => called(this.native, 'beginTransaction')();
  commit = () => called(this.native, 'commit')();
  rollback = () => called(this.native, 'rollback')();
  release = () => this.native.release();
  end = () => called(this.native, 'end')();
  destroy = () => this.native.destroy();
}

async function connect(options) {
  const session = new Session(mysql.createConnection({ ...USUAL, ...options }));
  await called(session.native, 'connect')();
  return session;
}

async function unable() {
  try {
    await (await connect()).end();
  } catch (error) {
    if (error.code === 'ER_NOT_SUPPORTED_AUTH_MODE') return 'the driver knows mysql_native_password alone, and this user has another plugin';
  }
  return '';
}

const files = fs.mkdtempSync(path.join(os.tmpdir(), 'compat-'));
process.on('exit', () => fs.rmSync(files, { recursive: true }));

await runDriver({
  connect,
  pool(options) {
    const pool = mysql.createPool({ ...USUAL, ...options });
    return {
      session: async () => new Session(await called(pool, 'getConnection')()),
      query: async (sql, values) => result(await called(pool, 'query')(sql, values)),
      close: () => called(pool, 'end')(),
    };
  },
  refused,
  prepares: false,
  tls: (ssl) => ({ ssl: { ca: target.ca, rejectUnauthorized: true, ...ssl } }),
  infile: () => ({ localInfile: true }),
  infileName: (text) => {
    const file = path.join(files, 'orders.tsv');
    fs.writeFileSync(file, text);
    return file;
  },
  exactTypes: { supportBigNumbers: true, bigNumberStrings: true, dateStrings: true },
  resets: {
    'COM_CHANGE_USER': ({ native }) =>
      called(native, 'changeUser')({ user: target.user, password: target.password, database: target.database }),
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
  checks: { connect_sha2: 'the driver does not know caching_sha2_password' },
}, { unable });
