// Runs SQL scripts, such as those that PostgreSQL tests itself with, at a primary while it is replicated, and compares both sides behind
// each: `npm run adversary -- FOLDER [SCRIPT...]`, with a folder of .sql files. Each script has a database of its own, made from one in
// which FOLDER/test_setup.sql and the scripts that BASE names ran. PRIMARY=15 and SECONDARY=15 take Debian's server. Needs psql.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { openPostgresServer } from '../../src/demo/postgres-server.ts';
import type { ChangeoverError } from '../../src/error.ts';
import { digests, schemaOf } from '../end-to-end/sides.ts';
import { openLane } from '../fixtures/lane.ts';
import { run } from '../servers/postgres.ts';

const scriptMsMax = 120_000;
const shownMax = 12;

const [given, ...words] = process.argv.slice(2);
if (given === undefined) throw new RangeError('Say which folder has the scripts');
const folder = resolve(given);
const older = { home: '/usr/lib/postgresql/15' };
const settings = { wal_level: 'logical', max_prepared_transactions: '5' };
await using primary = await openPostgresServer({ settings, ...(process.env.PRIMARY === '15' && older) });
await using secondary = await openPostgresServer({ settings, ...(process.env.SECONDARY === '15' && older) });

const setUp = 'test_setup';
const scripts = globSync('*.sql', { cwd: folder })
  .map((file) => basename(file, '.sql'))
  .filter((name) => name !== setUp && (words.length === 0 || words.includes(name)))
  .toSorted();

// Roles are each server's own: those of the scripts are there before, or their objects would have other owners.
const texts = scripts.map((name) => readFileSync(join(folder, `${name}.sql`), 'latin1')).join('\n');
const roles = new Set([...texts.matchAll(/^create\s+(?:role|user|group)\s+(\w+|"[^"]+")/gim)].map(([, role]) => role));
for (const role of roles) await run(secondary.url(), `CREATE ROLE ${role} SUPERUSER`).catch(() => undefined);

await run(primary.url(), `CREATE DATABASE base TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'`);
for (const name of [setUp, ...(process.env.BASE ?? '').split(' ').filter(Boolean)])
  if (existsSync(join(folder, `${name}.sql`))) await play(name, primary.url('base'));

let differing = 0;
for (const [at, name] of scripts.entries()) {
  const database = `script_${at}`;
  await run(primary.url(), `CREATE DATABASE ${database} TEMPLATE base`);
  await run(
    secondary.url(),
    `CREATE DATABASE ${database} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'`,
  );
  const sides = { primary: primary.url(database), secondary: secondary.url(database), name: `adversary_${at}` };
  const found = await differences(name, sides).catch((error: ChangeoverError) => [told(error)]);
  if (found.length > 0) differing += 1;
  console.log(`${found.length === 0 ? 'alike  ' : 'DIFFERS'} ${name}`);
  for (const line of found.slice(0, shownMax)) console.log(`        ${line.replaceAll('\n', '\n        ')}`);
  if (found.length > shownMax) console.log(`        and ${found.length - shownMax} more`);
  await run(secondary.url(), `DROP DATABASE ${database} WITH (FORCE)`);
  await run(primary.url(), `DROP DATABASE ${database} WITH (FORCE)`).catch(() => undefined);
}
console.log(`${scripts.length - differing} of ${scripts.length} scripts leave both sides alike`);
process.exitCode = differing > 0 ? 1 : 0;

async function differences(script: string, sides: Parameters<typeof openLane>[0]['sides']): Promise<readonly string[]> {
  await using lane = openLane({ sides });
  await lane.caughtUp();
  await play(script, sides.primary);
  await lane.caughtUp();
  const [rows, rowsThere] = [await digests(sides.primary), await digests(sides.secondary)];
  const [schema, schemaThere] = [
    await schemaOf(sides.primary, 'statements'),
    await schemaOf(sides.secondary, 'statements'),
  ];
  const lines = (digest: typeof rows): string[] =>
    Object.entries(digest).map(([table, of]) => `rows of ${table}: ${of}`);
  return [...apart(lines(rows), lines(rowsThere)), ...apart(schema, schemaThere)];
}

function apart(here: readonly string[], there: readonly string[]): readonly string[] {
  const [ours, theirs] = [new Set(here), new Set(there)];
  return [
    ...here.filter((line) => !theirs.has(line)).map((line) => `only at the primary: ${line}`),
    ...there.filter((line) => !ours.has(line)).map((line) => `only at the secondary: ${line}`),
  ];
}

function told(error: ChangeoverError): string {
  return error.code === undefined ? String(error.stack) : `${error.code} ${error.message}`;
}

/** As psql does it: statement by statement, whatever fails; with another rendering than ours of nearly everything. */
async function play(script: string, url: string): Promise<void> {
  const child = spawn('psql', ['--no-psqlrc', '--quiet', '--file', join(folder, `${script}.sql`), url], {
    stdio: 'ignore',
    timeout: scriptMsMax,
    env: {
      ...process.env,
      PGTZ: 'America/Los_Angeles',
      PGDATESTYLE: 'Postgres, MDY',
      PGOPTIONS: '-c intervalstyle=postgres_verbose',
      // What PostgreSQL's own scripts ask for.
      PG_ABS_SRCDIR: dirname(folder),
      PG_ABS_BUILDDIR: tmpdir(),
      PG_LIBDIR: '/nowhere',
      PG_DLSUFFIX: '.so',
    },
  });
  await once(child, 'exit');
}
