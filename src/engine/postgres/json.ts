import type { Connection } from './connect.ts';

/** The rows of a query as objects, by the server's JSON: for catalog queries, whose shape we wrote ourselves. `sql` names each
 *  column as the field of T that it fills, and casts to text what a double cannot hold. */
export async function objects<T>(connection: Connection, sql: string, values?: readonly unknown[]): Promise<T[]> {
  const rows = await connection.rows(`SELECT row_to_json(fact) FROM (${sql}) fact`, values);
  return rows.map(([text]) => JSON.parse(text ?? 'null') as T);
}
