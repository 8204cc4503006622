import type { BrokerReader } from '../broker/broker.ts';
import type { Batch } from '../change/change.ts';
import { type Epoch, epoch, type Offset, offset, type Position } from '../change/position.ts';
import type { SourceProfile } from '../change/profile.ts';
import { tableName } from '../change/table.ts';
import type { View } from '../change/view.ts';
import { assert, ChangeoverError } from '../error.ts';
import type { Foothold, SourceInspector } from '../source/source.ts';
import type { TargetInspector } from '../target/target.ts';
import { type Bank, type Bridged, bridge, surveyed } from './bridge.ts';
import { compare } from './compare.ts';

/** A secondary that is ours alone as long as this goes on. */
export interface HeldSite {
  readonly site: string;
  readonly inspector: TargetInspector;
  /** Applies the log up to its end, which is at that position. */
  follow(end: Position, signal: AbortSignal): Promise<void>;
  /** What it holds now. The caller disposes. */
  view(signal: AbortSignal): Promise<View>;
  /** Lets go of it for a moment, for what the inspector does alone. */
  release(): Promise<void>;
}

export interface ResyncOptions {
  readonly primary: string;
  readonly source: SourceInspector;
  readonly log: BrokerReader;
  readonly sites: readonly HeldSite[];
  /** Only of whom holds the log's one writer. Undefined: only says what differs. */
  readonly append: ((owner: Epoch, batch: Batch) => Promise<Offset>) | undefined;
  readonly onTable?: (bridged: Bridged) => void;
}

export interface Resynced {
  /** What makes it necessary. */
  readonly why: string;
  /** Where the log ended, and where it ends now; of a trial, where it would. */
  readonly from: Position;
  readonly to: Position;
  readonly tables: readonly Bridged[];
  /** What a comparison at `to` says of each secondary. Undefined: it was only a trial. */
  readonly proof: readonly SiteProof[] | undefined;
}

export interface SiteProof {
  readonly site: string;
  readonly equal: number;
  readonly rows: number;
  /** Tables that differ, and those that were set aside. */
  readonly different: readonly string[];
  readonly notChecked: readonly string[];
}

/** Brings a lane that lost its place at the primary back, by what differs: a bridge from the log's end to a fresh foothold, which every
 *  secondary crosses in one transaction. Then both sides are compared at just that position. Nothing is changed before both sides can be
 *  read and their tables are alike. Throws CLI_REFUSED where nothing is lost, TARGET_TABLE_DIFFERS, SOURCE_POSITION_LOST. */
export async function resync(options: ResyncOptions, signal: AbortSignal): Promise<Resynced> {
  const { source, log, sites, append, onTable } = options;
  const { end, next, epoch: now = epoch(1), stream } = await log.observe();
  if (!end)
    throw refused(
      'The first copy never became whole',
      'Go on with it: changeover run. Or begin anew: changeover run --restart.',
    );
  const { why, left } = await reasonOf(options, end, signal);
  if (append) for (const held of sites) if (!left.has(held.site)) await held.follow(end, signal);
  await using foothold = await source.foothold({ after: end, lasting: append !== undefined }, signal);
  const profile = await source.profile(signal);
  await proveAlike({ foothold, profile, sites }, signal);
  const told = { why, from: end, to: foothold.position };
  await using opened = new AsyncDisposableStack();
  const banks: Bank[] = [];
  for (const held of sites) banks.push(opened.use(await bankOf(held, signal)));
  if (!append) return { ...told, tables: await surveyed({ foothold, banks, onTable }, signal), proof: undefined };
  const bridging = { foothold, banks, after: end, onTable, append: (batch: Batch) => append(now, batch) };
  const tables = await bridge(bridging, signal);
  await opened[Symbol.asyncDispose]();
  const proof: SiteProof[] = [];
  for (const held of sites) {
    if (left.has(held.site))
      await ashore(held, { stream, epoch: now, offset: offset(next - 1), position: undefined }, signal);
    await held.follow(foothold.position, signal);
    proof.push(await proved(held, foothold, signal));
  }
  return { ...told, tables, proof };
}

interface Reason {
  readonly why: string;
  /** Secondaries that need entries which the log does not hold any more. */
  readonly left: ReadonlySet<string>;
}

async function reasonOf(
  { primary, source, log, sites }: ResyncOptions,
  end: Position,
  signal: AbortSignal,
): Promise<Reason> {
  const { acknowledged, kept, reading } = await source.observe(signal);
  if (reading) throw refused(`Somebody captures from ${primary}`, 'Stop it first, if it is to be given up.');
  const { first, stream } = await log.observe();
  const left = new Set<string>();
  for (const { site, inspector } of sites) {
    const { checkpoint } = await inspector.observe(signal);
    if (checkpoint?.stream !== stream)
      throw new ChangeoverError('BROKER_FOREIGN', `${site} was never fed from this log, or was fed from another`);
    if (checkpoint.offset + 1 < first) left.add(site);
  }
  if (kept === 'lost') return { why: `${primary} removed what it kept for us`, left };
  if (acknowledged === undefined) return { why: `${primary} keeps nothing for us`, left };
  if (acknowledged.origin !== end.origin || acknowledged.order > end.order)
    return { why: `${primary} keeps its log from ${acknowledged.token} on, and ours ends at ${end.token}`, left };
  if (left.size > 0) return { why: `the log was trimmed beyond what ${[...left].join(', ')} had applied`, left };
  throw refused(
    `Nothing is lost: ${primary} keeps all that follows on the log`,
    'Go on: changeover run. To compare rows: changeover verify.',
  );
}

const refused = (message: string, hint: string): ChangeoverError =>
  new ChangeoverError('CLI_REFUSED', message, { hint });

interface Pair {
  readonly foothold: Foothold;
  readonly profile: SourceProfile;
  readonly sites: readonly HeldSite[];
}

/** Schema changes of the gap were told to nobody. A table that is missing is made; one that is there must take what comes. */
async function proveAlike({ foothold, profile, sites }: Pair, signal: AbortSignal): Promise<void> {
  const carried = new Map((await foothold.view.tables()).map(({ table }) => [tableName(table), table]));
  const tables = profile.tables.map((table) => {
    const names = new Set(carried.get(tableName(table))?.columns.map(({ name }) => name));
    return {
      ...table,
      columns: table.columns.filter(({ name, generated }) => generated !== undefined || names.has(name)),
    };
  });
  for (const { site, inspector } of sites) {
    const found = await inspector.check({ ...profile, tables }, signal);
    const differing = found.filter(({ check }) => check === 'table-differs');
    if (differing.length === 0) continue;
    throw new ChangeoverError(
      'TARGET_TABLE_DIFFERS',
      `${site}: ${differing.map(({ message }) => message).join('; ')}`,
      { hint: `At ${site}, then again: changeover resync.\n${differing.map(({ cure }) => cure ?? '').join('\n')}` },
    );
  }
}

async function bankOf(held: HeldSite, signal: AbortSignal): Promise<Bank & AsyncDisposable> {
  const { setAside } = await held.inspector.observe(signal);
  const view = await held.view(signal);
  return {
    view,
    setAside: new Set(setAside.map(({ table }) => tableName(table))),
    [Symbol.asyncDispose]: () => view[Symbol.asyncDispose](),
  };
}

/** What it needed is gone; the bridge begins where it is set. Until it is across, it is a copy that is not whole. */
async function ashore(
  held: HeldSite,
  checkpoint: Parameters<TargetInspector['adopt']>[0],
  signal: AbortSignal,
): Promise<void> {
  await held.release();
  await held.inspector.adopt(checkpoint, signal);
}

async function proved(held: HeldSite, { view: source }: Foothold, signal: AbortSignal): Promise<SiteProof> {
  await using bank = await bankOf(held, signal);
  const different: string[] = [];
  const notChecked: string[] = [];
  let rows = 0;
  const all = await source.tables();
  for (const carried of all) {
    const name = tableName(carried.table);
    if (bank.setAside.has(name)) notChecked.push(name);
    else {
      const found = await compare({ source, target: bank.view }, carried);
      rows += found.rows;
      if (found.lacks !== undefined || found.differences.length > 0 || !found.isAll) different.push(name);
    }
  }
  const equal = all.length - different.length - notChecked.length;
  assert(equal >= 0, 'A table was counted twice');
  return { site: held.site, equal, rows, different, notChecked };
}
