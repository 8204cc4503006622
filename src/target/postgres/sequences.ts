import type { Sequences } from '../../change/change.ts';
import { quoteLiteral } from '../../engine/postgres/identifier.ts';
import type { Session } from './session.ts';

/** Sets what is here to the source's values. One that is not here was renamed, dropped or left out, and one whose bounds do not hold the
 *  value was altered since it was looked at: the next look tells. A sequence knows no rollback: it may be ahead of the rows for a moment,
 *  never behind them. */
export async function setSequences(session: Session, { values }: Sequences): Promise<void> {
  await session.rows(
    `SELECT pg_catalog.setval(c.oid::pg_catalog.regclass, v.last, v.called)
       FROM pg_catalog.json_to_recordset(${quoteLiteral(JSON.stringify(values))}::pg_catalog.json)
         v (schema pg_catalog.text, name pg_catalog.text, last pg_catalog.int8, called pg_catalog.bool)
       JOIN pg_catalog.pg_namespace n ON n.nspname = v.schema
       JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = v.name AND c.relkind = 'S'
       JOIN pg_catalog.pg_sequence s ON s.seqrelid = c.oid AND v.last BETWEEN s.seqmin AND s.seqmax`,
    'Setting sequences',
  );
}
