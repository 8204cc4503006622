import type { CatalogColumn } from './columns.ts';
import { callsOwnCode } from './dependencies.ts';
import { address, type Item } from './item.ts';
import { broughtFrom, isWritten, type Subject, subjectOf } from './subject.ts';

/** What follows the type of a written column. */
export function columnRest(subject: Subject, column: CatalogColumn): string {
  const parts: string[] = [];
  // None for a partition since version 17: its identity is its parent's, and attaching brings it.
  const identity = subject.identities.get(`${subject.table.oid}/${column.number}`);
  if (column.generated) parts.push(`GENERATED ALWAYS AS (${column.default}) ${column.generated}`);
  else if (column.default && !isDefaultApart(subject, column)) parts.push(`DEFAULT ${column.default}`);
  else if (column.identity && identity) parts.push(`GENERATED ${column.identity} AS IDENTITY (${identity})`);
  const constraint = column.notNull?.constraint;
  const isBrought = constraint !== undefined && !constraint.local && !subject.standsAlone;
  if (column.notNull && !isBrought && constraint?.valid !== false) {
    if (constraint?.usual === false) parts.push(`CONSTRAINT ${constraint.name}`);
    parts.push(constraint?.noInherit ? 'NOT NULL NO INHERIT' : 'NOT NULL');
  }
  return parts.map((part) => ` ${part}`).join('');
}

const isDefaultApart = (subject: Subject, { defaultOid }: CatalogColumn): boolean =>
  defaultOid !== undefined && callsOwnCode(subject.dependencies, address('default', defaultOid));

/** What a column needs beyond the CREATE TABLE: a default that calls own code, and where a child differs from its parent. */
export const columnItems = (subject: Subject): readonly Item[] =>
  subject.own.flatMap((column) => [...defaultItems(subject, column), ...notNullItems(subject, column)]);

function defaultItems(subject: Subject, column: CatalogColumn): Item[] {
  if (column.generated || column.identity || column.default === defaultAtBirth(subject, column)) return [];
  const change = column.default === undefined ? 'DROP DEFAULT' : `SET DEFAULT ${column.default}`;
  return [
    {
      id: column.defaultOid
        ? address('default', column.defaultOid)
        : address('relation', subject.table.oid, `default ${column.number}`),
      kind: 'column',
      object: `default of column ${subject.table.name}.${column.name}`,
      sql: `ALTER TABLE ONLY ${subject.table.name} ALTER COLUMN ${column.name} ${change}`,
      of: subject.self,
    },
  ];
}

/** The default that CREATE TABLE gives the column: its own if that is written there, else what a parent has by then. */
function defaultAtBirth(subject: Subject, column: CatalogColumn): string | undefined {
  if (isWritten(subject, column) && column.default && !isDefaultApart(subject, column)) return column.default;
  const [parent, brought] = broughtFrom(subject, column);
  return parent === undefined || brought === undefined
    ? undefined
    : defaultAtBirth(subjectOf(subject, parent), brought);
}

/** Whether CREATE TABLE makes the column NOT NULL, before version 18: as it is written there, else as a parent has it by then. */
function isNotNullAtBirth(subject: Subject, column: CatalogColumn): boolean {
  if (isWritten(subject, column)) return column.notNull !== undefined;
  const [parent, brought] = broughtFrom(subject, column);
  return parent !== undefined && brought !== undefined && isNotNullAtBirth(subjectOf(subject, parent), brought);
}

function notNullItems(subject: Subject, column: CatalogColumn): Item[] {
  if (!column.notNull) return [];
  const { table, self, standsAlone } = subject;
  const { constraint } = column.notNull;
  const item = (kind: Item['kind'], sql: string): Item => ({
    id: address('relation', table.oid, `not null ${column.number}`),
    kind,
    object: `not null of column ${table.name}.${column.name}`,
    sql: `ALTER TABLE ${sql}`,
    of: self,
  });
  const set = `ALTER COLUMN ${column.name} SET NOT NULL`;
  if (constraint === undefined) {
    // ONLY: a child may do without. Version 18 makes it a constraint that further children would not inherit.
    return isNotNullAtBirth(subject, column) ? [] : [item('column', `ONLY ${table.name} ${set}`)];
  }
  if (!constraint.local && !(standsAlone && !constraint.valid)) return [];
  const tail = constraint.noInherit ? ' NO INHERIT' : '';
  const add = `ADD CONSTRAINT ${constraint.name} NOT NULL ${column.name}${tail}`;
  if (!constraint.valid) return [item('lateCheck', `${table.name} ${add} NOT VALID`)];
  if (isWritten(subject, column)) return [];
  // Since version 18 it goes down to the children by itself; ONLY would make one that does not.
  return [item('column', `${table.name} ${constraint.usual && !constraint.noInherit ? set : add}`)];
}

/** Storage, compression and planner settings, where they are not the type's own. All tables exist by then, so that no child takes
 *  over what its parent is given here. */
export function settingsItems(subject: Subject): readonly Item[] {
  const actions = subject.own.flatMap(({ name, storage, compression, target, options }) =>
    [
      storage && `SET STORAGE ${storage}`,
      compression && `SET COMPRESSION ${compression}`,
      target !== undefined && `SET STATISTICS ${target}`,
      options && `SET (${options})`,
    ]
      .filter(Boolean)
      .map((change) => `ALTER COLUMN ${name} ${change}`),
  );
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
