import type { Found } from '../../../engine/postgres/access.ts';
import type { Connection } from '../../../engine/postgres/connect.ts';
import { quoteIdentifier } from '../../../engine/postgres/identifier.ts';
import { installSql, isInstalled, mayInstall } from '../ddl/install.ts';

/** Whether schema changes will be carried, which takes event triggers. */
export async function checkDdl(
  connection: Connection,
  { slot, publication, role }: { readonly slot: string; readonly publication: string; readonly role: string },
): Promise<readonly Found[]> {
  const lane = { slot, publication };
  if ((await isInstalled(connection, lane)) || (await mayInstall(connection))) return [];
  const ours = quoteIdentifier(role);
  return [
    {
      severity: 'warning',
      check: 'schema-changes',
      message: `Schema changes will not be carried: role ${role} may not create event triggers. The first row of another shape stops the lane`,
      cure: [
        '-- As a superuser, in one session:',
        ...[
          ...installSql(lane),
          `GRANT USAGE ON SCHEMA changeover TO ${ours}`,
          `GRANT SELECT ON changeover.seal, changeover.lane TO ${ours}`,
        ].map((sql) => `${sql};`),
      ].join('\n'),
    },
  ];
}
