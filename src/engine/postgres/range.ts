import type { Key } from '../../change/key.ts';
import type { Table } from '../../change/table.ts';
import { quoteIdentifier, quoteLiteral } from './identifier.ts';

/** Keys behind `after` and up to `upTo`, in the order of the key's types. Undefined: from the first, to the last. */
export interface KeyRange {
  readonly after: Key | undefined;
  readonly upTo: Key | undefined;
}

/** SQL that is true of the rows in the range. Undefined: of all. Only where both sides sort the key's types alike. */
export function rangeSql(table: Table, { after, upTo }: KeyRange): string | undefined {
  const keys = table.columns.filter(({ key }) => key);
  const names = keys.map(({ name }) => quoteIdentifier(name)).join(', ');
  const bound = (key: Key): string =>
    keys.map(({ type }, place) => `${quoteLiteral(key[place] ?? '')}::${type}`).join(', ');
  const conditions = [
    ...(after ? [`ROW(${names}) > ROW(${bound(after)})`] : []),
    ...(upTo ? [`ROW(${names}) <= ROW(${bound(upTo)})`] : []),
  ];
  return conditions.length === 0 ? undefined : conditions.join(' AND ');
}
