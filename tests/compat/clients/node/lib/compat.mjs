// What every program has in common: where to connect, how a check is run and its line printed, how values are compared.

import fs from 'node:fs';
import { isDeepStrictEqual, inspect } from 'node:util';

export const CHECKS = [
  'connect', 'connect_sha2', 'connect_tls', 'connect_socket', 'types_text', 'types_prepared', 'unicode', 'prepared',
  'transactions', 'batch', 'keys', 'stream', 'large', 'errors', 'reset', 'pool', 'kill', 'multi', 'infile', 'compress',
  'orm_schema', 'orm_use',
];
const CHECK_LIMIT_MS = 60_000;

const variable = (name) => process.env[`COMPAT_${name}`] ?? '';

export const target = {
  host: variable('HOST'),
  port: Number(variable('PORT')),
  user: variable('USER'),
  password: variable('PASSWORD'),
  database: variable('DATABASE'),
  sha2User: variable('SHA2_USER'),
  sha2Password: variable('SHA2_PASSWORD'),
  ca: variable('CA') && fs.readFileSync(variable('CA')),
  socket: variable('SOCKET'),
  sharded: variable('SHARDED') === '1',
};

/** The name of one of this program's tables or procedures. */
export const named = (name) => `${variable('PREFIX')}_${name}`;

/** Thrown by a check that cannot be done, with the reason. */
export class Skip extends Error {}

export function needs(condition, reason) {
  if (!condition) throw new Skip(reason);
}

/** Several values that may differ together are compared as one array or object, so that the report shows all of them. */
export function equal(actual, expected, what) {
  if (!isDeepStrictEqual(actual, expected)) {
    throw new Error(`${what}: expected ${brief(expected)}, got ${brief(actual)}`);
  }
}

export function holds(condition, what) {
  if (!condition) throw new Error(what);
}

/** The error that `action` ends in, which must be one of the driver's own (`of`) and have the server's number `errno`. */
export async function refused(action, errno, of = Error, numberOf = (error) => error.errno) {
  let answer;
  try {
    answer = await action();
  } catch (error) {
    if (!(error instanceof of)) throw new Error(`${errno} expected as ${of.name}, got ${error}`, { cause: error });
    if (numberOf(error) !== errno) throw new Error(`${errno} expected, got ${numberOf(error)}: ${error.message}`, { cause: error });
    return error;
  }
  throw new Error(`${errno} expected, got ${brief(answer)}`);
}

/**
 * Parts of a check that do not need each other: all are run, and the failed ones make up the check's detail. A part that
 * cannot be done is left out.
 */
export class Steps {
  #failed = [];

  async step(what, action) {
    try {
      return await action();
    } catch (error) {
      if (error instanceof Skip) return undefined;
      this.#failed.push(`${what}: ${describe(error)}`);
      return undefined;
    }
  }

  end() {
    if (this.#failed.length) throw new Error(this.#failed.join(' | '));
  }
}

/** Run `action` with the steps to report to; throws if one of them failed. */
export async function inSteps(action) {
  const steps = new Steps();
  await action((what, part) => steps.step(what, part));
  steps.end();
}

/** Fails if `action` takes longer than `limit`; what it is at goes on in the background. */
export async function within(limit, action) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done after ${limit / 1000} s`)), limit);
  });
  try {
    return await Promise.race([action(), late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Try until `action` gives something true, for `limit` milliseconds at most. */
export async function eventually(action, limit = 10_000) {
  const end = Date.now() + limit;
  for (;;) {
    const last = Date.now() > end;
    try {
      const result = await action();
      if (result) return result;
      if (last) throw new Error(`not so after ${limit / 1000} s`);
    } catch (error) {
      if (last) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

/**
 * Run a program: `checks` has a function, or the reason why the driver cannot do it, for each name of CHECKS.
 * `unable` may give a reason for which nothing can be done at all; `cleanUp` follows every check, failed or not.
 */
export async function run(checks, { cleanUp = async () => {}, unable = async () => '' } = {}) {
  const unknown = [...Object.keys(checks), ...CHECKS].filter((name) => !(name in checks) || !CHECKS.includes(name));
  holds(unknown.length === 0, `not in the list of checks, or missing: ${unknown}`);
  // A driver that loses an error must not take the other checks along.
  let stray = '';
  process.on('uncaughtException', (error) => { stray ||= describe(error); });
  process.on('unhandledRejection', (error) => { stray ||= describe(error); });
  const reason = await unable();
  const wanted = process.argv.slice(2);
  for (const name of CHECKS.filter((each) => wanted.length === 0 || wanted.includes(each))) {
    stray = '';
    let [verdict, detail] = await outcome(reason || checks[name]);
    await within(5_000, cleanUp).catch(() => {});
    if (verdict === 'ok' && stray) [verdict, detail] = ['fail', `an error that nobody caught: ${stray}`];
    fs.writeSync(1, `${name}\t${verdict}\t${detail.replace(/\s+/g, ' ').slice(0, 1500)}\n`);
  }
  process.exit(0);
}

async function outcome(check) {
  if (typeof check === 'string') return ['skip', check];
  try {
    await within(CHECK_LIMIT_MS, check);
    return ['ok', ''];
  } catch (error) {
    return [error instanceof Skip ? 'skip' : 'fail', describe(error)];
  }
}

function describe(error) {
  if (!(error instanceof Error)) return brief(error);
  const code = error.code ? `${error.code}: ` : '';
  return error.message.startsWith(code) ? error.message : code + error.message;
}

function brief(value) {
  const text = inspect(value, { depth: 4, breakLength: Infinity, maxArrayLength: 12, maxStringLength: 80 });
  return text.length > 600 ? `${text.slice(0, 600)}…` : text;
}
