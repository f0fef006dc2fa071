// Checks of how a driver connects: logins, TLS, sockets, compression, pools, resets, statements that are cut short.
// What `driver` and its sessions are is in drivers.mjs.

import net from 'node:net';

import { equal, eventually, holds, inSteps, named, needs, target, within } from './compat.mjs';

export async function connect(driver) {
  const session = await driver.connect();
  equal((await session.query('SELECT 1 AS one')).rows, [{ one: 1 }], 'SELECT 1');
  await session.end();
}

export async function connectSha2(driver) {
  needs(target.sha2User, 'no such user here');
  const login = { user: target.sha2User, password: target.sha2Password };
  const user = async (options) => {
    const session = await driver.connect({ ...login, ...options });
    const { rows } = await session.query('SELECT CURRENT_USER() AS user');
    equal(rows[0].user.split('@')[0], target.sha2User, 'user');
    await session.end();
  };
  await inSteps(async (step) => {
    // First in clear: after one full exchange of the password the server remembers it and asks for no key.
    await step('in clear', () => user(driver.inClear));
    if (target.ca) await step('over TLS', () => user(driver.tls()));
    await step('wrong password', () => driver.refused(() => driver.connect({ ...login, ...driver.inClear, password: 'wrong' }), 1045));
  });
}

export async function connectTls(driver) {
  needs(target.ca, 'the server has no TLS');
  const wire = await listener();
  const session = await driver.connect({ ...driver.tls(), port: wire.port });
  const secret = 'encrypted or not '.repeat(2_000);
  holds((await session.query('SELECT ? AS value', [secret])).rows[0].value === secret, 'another value came back');
  await session.end();
  wire.close();
  holds(wire.sent() > secret.length && !wire.sawText(secret.slice(0, 100)), 'the statement went over the wire in clear');
  let trusted;
  try {
    trusted = await driver.connect(driver.tls({ ca: undefined }));
  } catch {
    return;
  }
  await trusted.end();
  throw new Error('a certificate of an unknown authority was taken');
}

/** A relay before the server that listens to what the client sends. */
async function listener() {
  const sent = [];
  const relay = net.createServer((client) => {
    const server = net.connect(target.port, target.host);
    client.on('data', (data) => sent.push(data));
    client.on('error', () => server.destroy());
    server.on('error', () => client.destroy());
    client.pipe(server).pipe(client);
  });
  await new Promise((resolve) => { relay.listen(0, '127.0.0.1', resolve); });
  return {
    port: relay.address().port,
    close: () => relay.close(),
    sent: () => Buffer.concat(sent).length,
    sawText: (text) => Buffer.concat(sent).includes(text),
  };
}

export async function connectSocket(driver) {
  needs(target.socket, 'no socket here');
  const session = await driver.connect({ host: undefined, port: undefined, socketPath: target.socket });
  equal((await session.query('SELECT 1 AS one')).rows, [{ one: 1 }], 'SELECT 1');
  await session.end();
}

export async function compress(driver) {
  needs(driver.compressed, 'the driver has no compression');
  let socket;
  const session = await driver.connect(driver.compressed(() => {
    socket = net.connect(target.port, target.host);
    return socket;
  }));
  const before = [socket.bytesRead, socket.bytesWritten];
  const value = 'shard '.repeat(100_000);
  const { rows } = await session.query('SELECT ? AS value, 1 AS one', [value]);
  holds(rows[0].value === value, 'another value came back');
  const [read, written] = [socket.bytesRead - before[0], socket.bytesWritten - before[1]];
  holds(read < 100_000 && written < 100_000, `${value.length} bytes took ${written} out and ${read} back: not compressed`);
  equal((await session.query('SELECT 2 AS two')).rows, [{ two: 2 }], 'a short statement');
  await session.end();
}

export async function reset(driver) {
  const session = await driver.connect();
  await session.create('kept', 'id INT PRIMARY KEY');
  const spoil = async (on) => {
    await on.query('SET @spoilt = 1');
    await on.query(`CREATE TEMPORARY TABLE ${named('spoilt')} (id INT)`);
    await on.query("SET SESSION sql_mode = 'STRICT_ALL_TABLES'");
    await on.begin();
    await on.query(`INSERT INTO ${named('kept')} VALUES (1)`);
  };
  const clean = async (on) => {
    const { rows } = await on.query('SELECT @spoilt AS variable, @@sql_mode = ? AS mode', ['STRICT_ALL_TABLES']);
    equal({ variable: rows[0].variable, mode: Number(rows[0].mode) }, { variable: null, mode: 0 }, 'variables');
    await driver.refused(() => on.query(`SELECT * FROM ${named('spoilt')}`), 1146);
    equal((await on.query(`SELECT * FROM ${named('kept')}`)).rows, [], 'the open transaction');
  };
  await inSteps(async (step) => {
    for (const [how, clear] of Object.entries(driver.resets ?? {})) {
      await step(how, async () => {
        await spoil(session);
        try {
          await clear(session);
          await clean(session);
        } finally {
          await session.query('ROLLBACK').catch(() => {});
        }
      });
    }
    if (!driver.cleaningPool) return;
    const pool = driver.pool({ ...driver.cleaningPool, connectionLimit: 1 });
    await step('pool', async () => {
      const first = await pool.session();
      driver.needsCleaningPool?.(first);
      await spoil(first);
      await first.release();
      const second = await pool.session();
      await clean(second);
      await second.release();
    });
    await pool.close();
  });
  await session.end();
}

export async function pool(driver) {
  const many = driver.pool({ connectionLimit: 10 });
  await inSteps(async (step) => {
    await step('20 tasks', async () => {
      const ids = new Set();
      const task = async (number) => {
        for (let round = 0; round < 50; round += 1) {
          const { rows } = await many.query('SELECT ? AS n, CONNECTION_ID() AS id', [number * 1000 + round]);
          equal(Number(rows[0].n), number * 1000 + round, 'answer');
          ids.add(String(rows[0].id));
        }
      };
      await Promise.all(Array.from({ length: 20 }, (_, number) => task(number)));
      holds(ids.size >= 2 && ids.size <= 10, `${ids.size} connections for 20 tasks and a limit of 10`);
    });
    await step('KILL', async () => {
      const session = await many.session();
      const { id } = (await session.query('SELECT CONNECTION_ID() AS id')).rows[0];
      const other = await driver.connect();
      await other.query(`KILL ${id}`);
      await other.end();
      await eventually(async () => {
        try {
          await session.query('SELECT 1');
          return false;
        } catch {
          return true;
        }
      });
      await session.release();
      for (let round = 0; round < 30; round += 1) {
        const { rows } = await many.query('SELECT CONNECTION_ID() AS id');
        holds(String(rows[0].id) !== String(id), 'the ended connection answers');
      }
    });
  });
  await many.close();
}

export async function kill(driver) {
  const session = await driver.connect();
  await inSteps(async (step) => {
    await step('KILL QUERY', async () => {
      const { id } = (await session.query('SELECT CONNECTION_ID() AS id')).rows[0];
      const sleep = session.query('SELECT SLEEP(30) AS slept').then(({ rows }) => `slept ${rows[0].slept}`, driver.numberOf);
      const other = await driver.connect();
      const running = async () =>
        (await other.query('SHOW FULL PROCESSLIST')).rows.some((row) => String(row.Id) === String(id) && row.Info?.includes('SLEEP'));
      await eventually(running);
      await other.query(`KILL QUERY ${id}`);
      const end = await within(10_000, () => sleep);
      // A SLEEP alone says that it was woken: some servers by an error, some by a 1.
      holds([1317, 'slept 1'].includes(end), `SLEEP ended with ${end}`);
      equal((await session.query('SELECT 1 AS one')).rows, [{ one: 1 }], 'the connection afterwards');
    });
    for (const [what, cut] of Object.entries(driver.timeouts ?? {})) {
      await step(what, async () => {
        const begin = Date.now();
        await within(10_000, () => cut(driver));
        holds(Date.now() - begin < 10_000, `took ${Date.now() - begin} ms`);
      });
    }
  });
}
