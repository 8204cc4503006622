import { type CatalogColumn, notNullOf } from './columns.ts';
import { callsOwnCode } from './dependencies.ts';
import { address, type Item } from './item.ts';
import { broughtFrom, isWritten, type Subject, subjectOf } from './subject.ts';

/** What follows the type of a written column. */
export function columnRest(subject: Subject, column: CatalogColumn): string {
  const parts: string[] = [];
  // None for a partition since version 17: its identity is its parent's, and attaching brings it.
  const identity = subject.identities.get(`${column.relation}/${column.number}`);
  if (column.generated !== '')
    parts.push(`GENERATED ALWAYS AS (${column.default}) ${column.generated === 'v' ? 'VIRTUAL' : 'STORED'}`);
  else if (column.default !== '' && !isDefaultApart(subject, column)) parts.push(`DEFAULT ${column.default}`);
  else if (column.identity !== '' && identity !== undefined)
    parts.push(`GENERATED ${column.identity === 'a' ? 'ALWAYS' : 'BY DEFAULT'} AS IDENTITY (${identity})`);
  const notNull = notNullOf(column);
  const isBrought = notNull !== undefined && !notNull.local && !subject.standsAlone;
  if (column.isNotNull === 'true' && !isBrought && notNull?.valid !== false)
    parts.push(
      `${notNull?.name ? `CONSTRAINT ${notNull.name} ` : ''}NOT NULL${notNull?.noInherit ? ' NO INHERIT' : ''}`,
    );
  return parts.map((part) => ` ${part}`).join('');
}

const isDefaultApart = (subject: Subject, column: CatalogColumn): boolean =>
  callsOwnCode(subject.dependencies, address('default', column.defaultOid));

/** What a column needs beyond the CREATE TABLE: a default that calls own code, and where a child differs from its parent. */
export const columnItems = (subject: Subject): readonly Item[] =>
  subject.own.flatMap((column) => [...defaultItems(subject, column), ...notNullItems(subject, column)]);

function defaultItems(subject: Subject, column: CatalogColumn): Item[] {
  if (column.generated !== '' || column.identity !== '' || column.default === defaultAtBirth(subject, column))
    return [];
  const change = column.default === '' ? 'DROP DEFAULT' : `SET DEFAULT ${column.default}`;
  return [
    {
      id: column.defaultOid
        ? address('default', column.defaultOid)
        : address('relation', column.relation, `default ${column.number}`),
      kind: 'column',
      object: `default of column ${subject.table.name}.${column.name}`,
      sql: `ALTER TABLE ONLY ${subject.table.name} ALTER COLUMN ${column.name} ${change}`,
      of: subject.self,
    },
  ];
}

/** The default that CREATE TABLE gives the column: its own if that is written there, else what a parent has by then. */
function defaultAtBirth(subject: Subject, column: CatalogColumn): string {
  if (isWritten(subject, column) && column.default !== '' && !isDefaultApart(subject, column)) return column.default;
  const [parent, brought] = broughtFrom(subject, column);
  return parent === undefined || brought === undefined ? '' : defaultAtBirth(subjectOf(subject, parent), brought);
}

function notNullItems(subject: Subject, column: CatalogColumn): Item[] {
  if (column.isNotNull === 'false') return [];
  const { table, self } = subject;
  const notNull = notNullOf(column);
  const item = (kind: Item['kind'], sql: string): Item => ({
    id: address('relation', column.relation, `not null ${column.number}`),
    kind,
    object: `not null of column ${table.name}.${column.name}`,
    sql: `ALTER TABLE ${sql}`,
    of: self,
  });
  if (notNull?.valid === false) {
    const isOwn = notNull.local || subject.standsAlone;
    const rest = notNull.noInherit ? ' NO INHERIT' : '';
    return isOwn
      ? [item('lateCheck', `${table.name} ADD CONSTRAINT ${notNull.full} NOT NULL ${column.name}${rest} NOT VALID`)]
      : [];
  }
  if (isWritten(subject, column)) return [];
  // Since version 18 the constraint goes down to the children by itself; ONLY would make one that does not. Before, it is a mark
  // on each column alone.
  if (notNull === undefined) {
    const [, brought] = broughtFrom(subject, column);
    // One that its parent gets by such a statement comes too late for the child.
    const isOwn = brought === undefined || brought.isNotNull === 'false' || brought.isLocal === 'false';
    return isOwn ? [item('column', `ONLY ${table.name} ALTER COLUMN ${column.name} SET NOT NULL`)] : [];
  }
  if (!notNull.local) return [];
  const rest = notNull.noInherit ? ' NO INHERIT' : '';
  return notNull.name || rest
    ? [item('column', `${table.name} ADD CONSTRAINT ${notNull.full} NOT NULL ${column.name}${rest}`)]
    : [item('column', `${table.name} ALTER COLUMN ${column.name} SET NOT NULL`)];
}

const storages: Readonly<Record<string, string>> = { p: 'PLAIN', e: 'EXTERNAL', m: 'MAIN', x: 'EXTENDED' };
const compressions: Readonly<Record<string, string>> = { p: 'pglz', l: 'lz4' };

/** Storage, compression and planner settings, where they are not the type's own. All tables exist by then, so that no child takes
 *  over what its parent is given here. */
export function settingsItems(subject: Subject): readonly Item[] {
  const actions = subject.own.flatMap((column) => {
    const changes = [
      ...(column.storage === column.plainStorage ? [] : [`SET STORAGE ${storages[column.storage] ?? 'DEFAULT'}`]),
      ...(column.compression === '' ? [] : [`SET COMPRESSION ${compressions[column.compression] ?? 'default'}`]),
      ...(column.target === '' ? [] : [`SET STATISTICS ${column.target}`]),
      ...(column.options === '' ? [] : [`SET (${column.options})`]),
    ];
    return changes.map((change) => `ALTER COLUMN ${column.name} ${change}`);
  });
  if (actions.length === 0) return [];
  return [
    {
      id: address('relation', subject.table.oid, 'settings'),
      kind: 'column',
      object: `column settings of table ${subject.table.name}`,
      sql: `ALTER TABLE ONLY ${subject.table.name} ${actions.join(', ')}`,
      of: subject.self,
    },
  ];
}
