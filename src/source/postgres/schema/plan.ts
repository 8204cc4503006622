import type { SchemaStatement } from '../../../change/change.ts';
import { type Dependencies, type Dependency, maker } from './dependencies.ts';
import { type Address, type Item, isBuiltIn, isIn, type Kind, ownersOf, stages } from './item.ts';
import { type Node, orderByNeeds, reach } from './order.ts';

export interface Plan {
  readonly beforeRows: readonly SchemaStatement[];
  readonly afterRows: readonly SchemaStatement[];
  /** What is not created though nothing it belongs to is left out; `missing` is what it needs and no item makes, or undefined
   *  where it needs itself in a circle. */
  readonly dropped: readonly { readonly item: Item; readonly missing: Address | undefined }[];
}

const ranks = new Map(Object.keys(stages).map((kind, rank) => [kind, rank]));
const rankOf = (kind: Kind): number => ranks.get(kind) ?? 0;
const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** By kind, then by name: two databases with the same objects give the same script, whatever their oids are. */
const compare = (a: Item, b: Item): number =>
  rankOf(a.kind) - rankOf(b.kind) || compareText(a.object, b.object) || compareText(a.sql, b.sql);

/** Decides which items are created, in which order, and on which side of the rows. An item goes when something goes that it
 *  needs. A circle is opened where a member can be made in two steps (a view: first its columns, later its query); the
 *  members of a circle that cannot be opened are dropped. */
export function plan(given: readonly Item[], dependencies: Dependencies): Plan {
  let items = given.toSorted(compare);
  const circular = new Set<Address>();
  for (;;) {
    const links = link(items, dependencies, circular);
    const nodes = links.kept.map((item): Node => ({ id: item.id, needs: links.needs.get(item.id) ?? [] }));
    const { order, circles } = orderByNeeds(nodes);
    if (circles.length === 0) return { ...splitAtRows(order, links), dropped: links.dropped };
    const members = new Set(circles.flat());
    const apart = items.flatMap((item) => (members.has(item.id) && item.apart ? item.apart() : [item]));
    if (apart.length === items.length) for (const id of members) circular.add(id);
    items = apart.toSorted(compare);
  }
}

interface Links extends Pick<Plan, 'dropped'> {
  readonly kept: readonly Item[];
  /** Item -> items, each list in the order of `kept`. */
  readonly needs: ReadonlyMap<Address, readonly Address[]>;
}

function link(items: readonly Item[], dependencies: Dependencies, circular: ReadonlySet<Address>): Links {
  const places = new Map(items.map((item, place) => [item.id, place]));
  const makerOf = (at: Address): Address | undefined => maker(dependencies, (id) => places.has(id), at);
  const needs = new Map<Address, Set<Address>>();
  const add = (id: Address, on: Address): void => {
    const known = needs.get(id);
    if (known) known.add(on);
    else needs.set(id, new Set([on]));
  };
  const missing = new Map<Address, Address | undefined>([...circular].map((id) => [id, undefined]));
  const need = (id: Address, on: Address): void => {
    const made = makerOf(on);
    if (made === undefined && !isBuiltIn(on) && !missing.has(id)) missing.set(id, on);
    if (made !== undefined && made !== id) add(id, made);
  };
  for (const item of items) for (const on of [...ownersOf(item), ...(item.needs ?? [])]) need(item.id, on);
  for (const [from, edges] of dependencies.all()) {
    const id = makerOf(from);
    // What an extension's members need is the extension's own affair.
    if (id === undefined || (isIn('extension', id) && id !== from)) continue;
    for (const edge of edges) if (saysOrder(from, edge)) need(id, edge.on);
  }
  const needsOf = (id: Address): Iterable<Address> => needs.get(id) ?? [];
  // A materialized view is filled after those that it reads, also by way of plain views.
  for (const item of items.filter(({ kind }) => kind === 'refresh'))
    for (const read of reach(ownersOf(item), needsOf)) {
      const refresh = `${read}#refresh`;
      if (refresh !== item.id && places.has(refresh)) add(item.id, refresh);
    }
  const gone = withDependants(items, needs, missing);
  const isGone = (at: Address): boolean => {
    const made = makerOf(at);
    return made === undefined ? !isBuiltIn(at) : gone.has(made);
  };
  const place = (id: Address): number => places.get(id) ?? 0;
  return {
    kept: items.filter((item) => !gone.has(item.id)),
    needs: new Map([...needs].map(([id, on]) => [id, [...on].toSorted((a, b) => place(a) - place(b))])),
    dropped: items
      .filter((item) => gone.has(item.id) && !item.onlyIfNeeded && !ownersOf(item).some(isGone))
      .map((item) => ({ item, missing: gone.get(item.id) })),
  };
}

/** Whether an edge says that what it leads to must be created first. Between relations none does: child and parent, index and
 *  table, sequence and owning column are joined by statements of their own, or by what their items need. */
const saysOrder = (from: Address, edge: Dependency): boolean =>
  edge.type !== 'P' && !(isIn('relation', from) && isIn('relation', edge.on));

/** What is missing something, and whatever needs that; then what was only wanted for others and is not. The value is the need
 *  that is not met; none in a circle. */
function withDependants(
  items: readonly Item[],
  needs: ReadonlyMap<Address, ReadonlySet<Address>>,
  missing: ReadonlyMap<Address, Address | undefined>,
): ReadonlyMap<Address, Address | undefined> {
  const dependants = new Map<Address, Address[]>(items.map((item) => [item.id, []]));
  for (const [id, all] of needs) for (const on of all) dependants.get(on)?.push(id);
  const gone = new Map(missing);
  const spread = (): void => {
    for (const [id] of gone) for (const next of dependants.get(id) ?? []) if (!gone.has(next)) gone.set(next, id);
  };
  spread();
  const owners = new Map(items.map((item) => [item.id, ownersOf(item)]));
  for (const item of items) {
    const isNeeded = (dependants.get(item.id) ?? []).some((id) => !gone.has(id) && !owners.get(id)?.includes(item.id));
    if (item.onlyIfNeeded && !isNeeded) gone.set(item.id, undefined);
  }
  spread();
  return gone;
}

/** Before the rows stands what rows cannot be copied without, and what nothing keeps from standing there. */
function splitAtRows(order: readonly Address[], { kept, needs }: Links): Pick<Plan, 'beforeRows' | 'afterRows'> {
  const byId = new Map(kept.map((item) => [item.id, item]));
  const needsOf = (id: Address): readonly Address[] => needs.get(id) ?? [];
  const stage = ({ kind }: Item): (typeof stages)[Kind] => stages[kind];
  const early = kept.filter((item) => stage(item) === 'early').map((item) => item.id);
  const before = new Set(reach(early, needsOf));
  const ordered = order.map((id) => byId.get(id)).filter((item) => item !== undefined);
  for (const item of ordered)
    if (stage(item) === 'either' && needsOf(item.id).every((id) => before.has(id))) before.add(item.id);
  const statements = (isBefore: boolean): SchemaStatement[] =>
    ordered.filter(({ id }) => before.has(id) === isBefore).map(({ object, sql }) => ({ object, sql }));
  return { beforeRows: statements(true), afterRows: statements(false) };
}
