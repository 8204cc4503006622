import type { SchemaStatement } from '../../../change/change.ts';

/** Object identifiers of the catalogs themselves: the same in every version. */
const catalogs = {
  cast: 2605,
  collation: 3456,
  constraint: 2606,
  default: 2604,
  dictionary: 3600,
  extension: 3079,
  operator: 2617,
  policy: 3256,
  relation: 1259,
  routine: 1255,
  rule: 2618,
  schema: 2615,
  searchConfiguration: 3602,
  statistics: 3381,
  trigger: 2620,
  type: 1247,
} as const;
export type Catalog = keyof typeof catalogs;

/** Where an object stands in the catalog, as pg_depend names it: `1259/16400`. With a suffix (`1259/16400#setval`) it names a
 *  further statement about that object. */
export type Address = string;

export const address = (catalog: Catalog, oid: string, suffix = ''): Address =>
  `${catalogs[catalog]}/${oid}${suffix && `#${suffix}`}`;

export const isIn = (catalog: Catalog, at: Address): boolean => at.startsWith(`${catalogs[catalog]}/`);

/** Below it lies what initdb made, which every database has. FirstNormalObjectId of the server's source. */
export const firstOwnOid = 16_384;
export const isBuiltIn = (at: Address): boolean => Number(at.split(/[/#]/)[1]) < firstOwnOid;

/** When a kind of object is created. `early`: before the rows. `late`: after them. `either`: before them where nothing that
 *  it needs is late. The order of the kinds decides where needs do not. */
export const stages = {
  schema: 'early',
  extension: 'early',
  collation: 'either',
  search: 'either',
  type: 'either',
  // Before the tables: a domain inside an array or composite of a column takes no more checks.
  domainCheck: 'early',
  // All that can be are there before the rows: the body of one that a check calls may call another, which nobody tracks.
  routine: 'either',
  operator: 'either',
  cast: 'either',
  sequence: 'early',
  table: 'early',
  column: 'early',
  check: 'early',
  attach: 'early',
  key: 'late',
  index: 'late',
  attachIndex: 'late',
  identity: 'late',
  statistics: 'late',
  ownedBy: 'late',
  setval: 'late',
  lateCheck: 'late',
  foreignKey: 'late',
  view: 'late',
  rule: 'late',
  trigger: 'late',
  enabled: 'late',
  // Before the policies, which would keep rows from a forced owner.
  refresh: 'late',
  policy: 'late',
  comment: 'late',
  grant: 'late',
  // Last: whoever is not the owner any more could not do the rest.
  owner: 'late',
} as const satisfies Record<string, 'early' | 'either' | 'late'>;
export type Kind = keyof typeof stages;

/** A statement with its place in the catalog. What pg_depend says about that place is added by `plan`. */
export interface Item extends SchemaStatement {
  readonly id: Address;
  readonly kind: Kind;
  /** The object, or objects, that this one belongs to: goes where one of them goes, unmentioned. */
  readonly of?: Address | readonly Address[];
  /** Needed beyond what pg_depend says. */
  readonly needs?: readonly Address[];
  /** Is worth nothing by itself: made only where something else needs it. */
  readonly onlyIfNeeded?: boolean;
  /** Stands in for this item where it needs itself in a circle. */
  readonly apart?: () => readonly Item[];
}

/** Whether the table with this oid is created. */
export type IsCopied = (table: string) => boolean;

export const ownersOf = ({ of = [] }: Item): readonly Address[] => [of].flat();

/** An object that is not created at the other side, for people. */
export interface LeftOut {
  readonly object: string;
  readonly reason: string;
}
