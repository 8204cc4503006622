import { tableName } from '../../../change/table.ts';
import { type Found, some } from '../../../engine/postgres/access.ts';
import { quoteIdentifier, quoteTable } from '../../../engine/postgres/identifier.ts';
import type { SequenceFacts, ServerFacts, TableFacts } from '../facts.ts';

/** What our role needs and no more: to stream, and to read exactly the tables and sequences that are copied. */
export function checkPrivileges(
  server: ServerFacts,
  { tables, sequences }: { readonly tables: readonly TableFacts[]; readonly sequences: readonly SequenceFacts[] },
): Found[] {
  const role = quoteIdentifier(server.role);
  const closed = (check: string, message: string, cure: string): Found => ({
    severity: 'blocker',
    check,
    message,
    cure,
    code: 'SOURCE_PRIVILEGE',
  });
  const findings: Found[] = [];
  if (!server.replication)
    findings.push(closed('role-replication', `Role ${server.role} may not stream`, `ALTER ROLE ${role} REPLICATION;`));
  if (server.closedFunctions.length > 0)
    findings.push(
      closed(
        'function-privileges',
        `Role ${server.role} may not call ${some(server.closedFunctions)}`,
        server.closedFunctions.map((one) => `GRANT EXECUTE ON FUNCTION ${one} TO ${role};`).join('\n'),
      ),
    );
  const schemas = [...new Set([...tables, ...sequences].filter((one) => !one.schemaOpen).map((one) => one.schema))];
  if (schemas.length > 0)
    findings.push(
      closed(
        'schema-privileges',
        `Role ${server.role} may not look into schema ${some(schemas)}`,
        `GRANT USAGE ON SCHEMA ${schemas.map(quoteIdentifier).join(', ')} TO ${role};`,
      ),
    );
  const unreadable = tables.filter((table) => !table.readable);
  if (unreadable.length > 0)
    findings.push(
      closed(
        'table-privileges',
        `Role ${server.role} may not read ${some(unreadable.map(tableName))}`,
        `GRANT SELECT ON${unreadable.map((table) => `\n  ${quoteTable(table)}`).join(',')}\nTO ${role};`,
      ),
    );
  const unknown = sequences.filter((sequence) => !sequence.readable);
  if (unknown.length > 0)
    findings.push(
      closed(
        'sequence-privileges',
        `Role ${server.role} may not read where ${some(unknown.map(tableName))} stands`,
        `GRANT SELECT ON SEQUENCE${unknown.map((sequence) => `\n  ${quoteTable(sequence)}`).join(',')}\nTO ${role};`,
      ),
    );
  const hidden = tables.filter((table) => table.rowsHidden);
  if (hidden.length > 0)
    findings.push(
      closed(
        'row-security',
        `Row-level policies hide rows of ${some(hidden.map(tableName))} from role ${server.role}`,
        `ALTER ROLE ${role} BYPASSRLS;`,
      ),
    );
  return findings;
}
