import { randomUUID } from 'node:crypto';
import type { SequenceAt, Sequences } from '../../change/change.ts';
import type { Connection } from '../../engine/postgres/connect.ts';
import { sqlState } from '../../engine/postgres/failure.ts';
import { quoteTable } from '../../engine/postgres/identifier.ts';
import type { Wanted } from './coverage.ts';
import type { LogicalMessage } from './pgoutput.ts';

/** Enough for few round trips, few enough for the locks of one statement. */
const sequencesPerQueryMax = 500;
/** Whoever alters a sequence is not waited for: it is looked at again soon. */
const lockMsMax = 500;
const mark = 'sequences ';
/** What the server says of a lock that it did not get in time, and of what was dropped meanwhile.
 *  https://www.postgresql.org/docs/current/errcodes-appendix.html */
const passing = new Set(['55P03', '42P01', '3F000']);

interface Seen {
  readonly key: string;
  /** Another one: it is told again. */
  readonly state: string;
  readonly value: SequenceAt;
}

/** Looks at all sequences again and again, and lets what changed into the stream at a place of its own: a message there says only which
 *  look it was, and what it saw is remembered here. Nobody else can write values that way. */
export class SequenceSampler {
  readonly #wanted: Wanted;
  /** What each was seen as last, by its name. */
  #known = new Map<string, string>();
  readonly #looks = new Map<string, Sequences>();

  constructor(wanted: Wanted) {
    this.#wanted = wanted;
  }

  /** What is locked, or dropped just now, waits for the next look. */
  async look(connection: Connection): Promise<void> {
    const seen = await this.#see(connection).catch((error: unknown) => {
      if (!passing.has(sqlState(error) ?? '')) throw error;
    });
    if (!seen) return;
    const changed = seen.filter(({ key, state }) => this.#known.get(key) !== state);
    this.#known = new Map(seen.map(({ key, state }) => [key, state]));
    if (changed.length === 0) return;
    const look = randomUUID();
    this.#looks.set(look, { kind: 'sequences', values: changed.map(({ value }) => value) });
    await connection.rows(`SELECT pg_catalog.pg_logical_emit_message(true, 'changeover', $1)`, [mark + look]);
  }

  async #see(connection: Connection): Promise<readonly Seen[]> {
    await connection.rows(`SET lock_timeout = ${lockMsMax}`);
    const rows = await connection.rows(sequencesSql);
    const sequences = rows
      .map((row) => row.map((text) => text ?? ''))
      .filter(([, , , schema = '', name = '']) => name === '' || this.#wanted({ schema, name }))
      .map(([schema = '', name = '', file = '']) => ({ schema, name, file, key: quoteTable({ schema, name }) }));
    const seen: Seen[] = [];
    for (let at = 0; at < sequences.length; at += sequencesPerQueryMax) {
      const some = sequences.slice(at, at + sequencesPerQueryMax);
      const queries = some.map(({ key }, place) => `SELECT ${place}, last_value, is_called FROM ${key}`);
      for (const [place, last, called] of await connection.rows(queries.join(' UNION ALL '))) {
        const one = some[Number(place)];
        if (!one) continue;
        const { schema, name, file, key } = one;
        const value = { schema, name, last: last ?? '', called: called === 't' };
        // In another file it was altered, and may have stood elsewhere meanwhile.
        seen.push({ key, state: `${file} ${last} ${called}`, value });
      }
    }
    return seen;
  }

  /** What was seen by the look that a message tells of. Undefined: it is none of ours. */
  seenBy({ prefix, content }: LogicalMessage): Sequences | undefined {
    if (prefix !== 'changeover') return undefined;
    const text = content.toString();
    if (!text.startsWith(mark)) return undefined;
    const look = text.slice(mark.length);
    const seen = this.#looks.get(look);
    this.#looks.delete(look);
    return seen;
  }
}

/** With the table that a sequence belongs to. Not those that somebody is changing. */
const sequencesSql = `
SELECT n.nspname, c.relname, c.relfilenode, tn.nspname, t.relname
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.objsubid = 0
    AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
  LEFT JOIN pg_catalog.pg_class t ON t.oid = d.refobjid LEFT JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
 WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND n.nspname !~ '^(pg_|information_schema$|changeover$)'
   AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_table_privilege(c.oid, 'SELECT')
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE l.relation = c.oid AND l.mode = 'AccessExclusiveLock'
     AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()))
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e
     WHERE e.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND e.objid = c.oid AND e.deptype = 'e')
 ORDER BY c.oid`;
