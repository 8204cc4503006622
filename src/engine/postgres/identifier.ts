/** Quotes a name. https://www.postgresql.org/docs/current/sql-syntax-lexical.html */
export const quoteIdentifier = (name: string): string => `"${name.replaceAll('"', '""')}"`;

export const quoteTable = (table: { readonly schema: string; readonly name: string }): string =>
  `${quoteIdentifier(table.schema)}.${quoteIdentifier(table.name)}`;

/** Quotes a text constant, whatever standard_conforming_strings says. */
export const quoteLiteral = (text: string): string => {
  const quoted = `'${text.replaceAll("'", "''")}'`;
  return text.includes('\\') ? `E${quoted.replaceAll('\\', '\\\\')}` : quoted;
};

/** ` (a, b)`, to stand behind a table's name; empty for no columns, which SQL has no list for: then the rows are as empty. */
export const columnList = (columns: readonly { readonly name: string }[]): string =>
  columns.length === 0 ? '' : ` (${columns.map((column) => quoteIdentifier(column.name)).join(', ')})`;
