/** A column as the source announced it, in the order in which rows carry their cells. */
export interface Column {
  readonly name: string;
  /** The source's name of the type, for people and other engines: `numeric(10,2)`; may be empty where the source did not say. */
  readonly type: string;
  /** Part of what identifies a row. */
  readonly key: boolean;
}

/** How a row is recognised when it changes.
 *  `key`: by the columns marked `key`. `full`: by the whole row as it was before. `none`: rows are only ever added. */
export type Identity = 'key' | 'full' | 'none';

/** A table as it was at a position: a row is decoded with the table that its change names (invariant 13). */
export interface Table {
  readonly schema: string;
  readonly name: string;
  readonly identity: Identity;
  readonly columns: readonly Column[];
}

/** For messages and maps: never SQL. Quotes keep `a.b`.`c` and `a`.`b.c` apart. */
export const tableName = (table: { readonly schema: string; readonly name: string }): string =>
  `${JSON.stringify(table.schema)}.${JSON.stringify(table.name)}`.replaceAll(/"([a-z_][a-z0-9_$]*)"/g, '$1');
