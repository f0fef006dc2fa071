// The checks of a driver without an ORM. A program describes its driver as `driver`:
//
//   connect(options)    a session, with options over the usual ones; `tls(ssl)`, `inClear`, `compressed(open)`,
//                       `infile(open)`, `exactTypes`, `largePackets`, `cleaningPool` are such options
//   pool(options)       a pool: session(), query(sql, values), close()
//   refused(action, n)  the driver's own error with the number n
//   numberOf(error)     the server's number of an error
//   prepares            whether it has prepared statements
//   integer(text), limit(number), infileName(text)   these values as parameters
//   checks              by name, in place of those below: functions, or the reason why it cannot be done
//   resets, timeouts    by name: what clears a session, what cuts `SELECT SLEEP(30)` short
//
// A session has query(sql, values) and, with a prepared statement, execute(sql, values), which give {rows, affected,
// insertId}; several(sql) with an array of them; prepare(sql) with execute(values) and close(); stream(sql),
// batch(table, rows), begin(), commit(), rollback(), end(), destroy(), and release() if it is a pool's.

import { named, run } from './compat.mjs';
import * as data from './data.mjs';
import * as login from './login.mjs';
import * as work from './work.mjs';

/** What sessions of every driver can do in the same way. */
export class SessionBase {
  async create(name, definition) {
    await this.query(`DROP TABLE IF EXISTS ${named(name)}`);
    await this.query(`CREATE TABLE ${named(name)} (${definition})`);
    return named(name);
  }
}

export async function runDriver(driver, options) {
  // What a failed check left open would hold locks that the next one waits for.
  const open = new Set();
  const tracked = {
    numberOf: (error) => error.errno,
    ...driver,
    connect: async (extra) => {
      const session = await driver.connect(extra);
      open.add(session);
      return session;
    },
  };
  const cleanUp = async () => {
    for (const session of open) session.destroy();
    open.clear();
  };
  const of = (check) => () => check(tracked);
  const checks = {
    connect: of(login.connect),
    connect_sha2: of(login.connectSha2),
    connect_tls: of(login.connectTls),
    connect_socket: of(login.connectSocket),
    types_text: of(data.typesText),
    types_prepared: of(data.typesPrepared),
    unicode: of(data.unicode),
    prepared: of(data.prepared),
    transactions: of(work.transactions),
    batch: of(data.batch),
    keys: of(data.keys),
    stream: of(data.stream),
    large: of(data.large),
    errors: of(work.errors),
    reset: of(login.reset),
    pool: of(login.pool),
    kill: of(login.kill),
    multi: of(data.multi),
    infile: of(data.infile),
    compress: of(login.compress),
    orm_schema: 'not an ORM',
    orm_use: 'not an ORM',
  };
  for (const [name, own] of Object.entries(driver.checks ?? {})) checks[name] = typeof own === 'string' ? own : of(own);
  await run(checks, { cleanUp, ...options });
}
