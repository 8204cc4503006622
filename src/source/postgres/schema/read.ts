import type { SchemaStatement } from '../../../change/change.ts';
import type { Connection } from '../../../engine/postgres/connect.ts';
export interface SchemaScript {
  readonly beforeRows: readonly SchemaStatement[];
  readonly afterRows: readonly SchemaStatement[];
}
export async function readSchema(
  _connection: Connection,
  _wanted: (table: { schema: string; name: string }) => boolean,
): Promise<SchemaScript> {
  return { beforeRows: [], afterRows: [] };
}
