import { setImmediate as turn } from 'node:timers/promises';
import type { BrokerInspector, BrokerReader, Entry } from '../../src/broker/broker.ts';
import type { KeyRing } from '../../src/broker/key-ring.ts';
import { openKeyList } from '../../src/broker/seal/key-list.ts';
import type { Batch } from '../../src/change/change.ts';
import { epoch, type Offset, offset } from '../../src/change/position.ts';
import type { SourceProfile } from '../../src/change/profile.ts';
import { type Cell, rowOf } from '../../src/change/row.ts';
import type { Table } from '../../src/change/table.ts';
import { commandLine } from '../../src/cli/command-line.ts';
import type { Desk } from '../../src/cli/desk.ts';
import type { House } from '../../src/cli/house.ts';
import { ChangeoverError } from '../../src/error.ts';
import type { Helm } from '../../src/helm/helm.ts';
import type { SourceInspector } from '../../src/source/source.ts';
import type { TargetInspector } from '../../src/target/target.ts';
import { at, checkpoint } from '../control/facts.ts';

export const orders: Table = {
  schema: 'public',
  name: 'orders',
  identity: 'key',
  columns: [
    { name: 'id', type: 'integer', key: true },
    { name: 'note', type: 'text', key: false },
  ],
};
const cell = (text: string): Cell => (text === 'null' ? null : text === 'unchanged' ? text : Buffer.from(text));
export const row = (...texts: readonly string[]) => rowOf(texts.map(cell));
/** 2026-11-22 12:00:00.123456 UTC */
export const committedAtUs = 1_795_348_800_123_456n;
const commit = { kind: 'commit', transaction: 733n, position: at(1000), committedAtUs } as const;

export const batches: readonly Batch[] = [
  {
    after: undefined,
    starts: true,
    end: at(500),
    changes: [
      { kind: 'snapshot', tables: [orders] },
      {
        kind: 'schema',
        statements: [{ object: 'table public.orders', sql: 'create table public.orders (id integer)' }],
      },
      { kind: 'rows', table: orders, count: 2, block: Buffer.from('1\ta\\tb\\\\\n2\t\\N\n') },
    ],
  },
  {
    after: at(500),
    starts: true,
    end: at(1000),
    changes: [
      { kind: 'insert', table: orders, after: row('3', 'a "b"\n\u001b[2J') },
      { kind: 'update', table: orders, before: row('1', 'null'), after: row('4', 'unchanged') },
      { kind: 'delete', table: orders, before: row('2', 'null') },
      { kind: 'truncate', tables: [orders], cascade: true, restartIdentity: false },
      { kind: 'message', prefix: 'changeover', content: Buffer.from('beat') },
      commit,
    ],
  },
];

const disposable = { [Symbol.asyncDispose]: () => Promise.resolve() };
const entryBytes = 100;

/** A log of the batches, in memory. */
export function memoryReader(): BrokerReader {
  const entries: readonly Entry[] = batches.map((batch, index) => ({ offset: offset(index), epoch: epoch(1), batch }));
  return {
    ...disposable,
    stream: 'stream-1',
    async *read(from: Offset, signal) {
      yield* entries.slice(from);
      while (!signal.aborted) await turn();
    },
    release: () => Promise.resolve(),
    observe: () =>
      Promise.resolve({
        stream: 'stream-1',
        first: offset(0),
        next: offset(entries.length),
        bytes: entries.length * entryBytes,
        epoch: epoch(1),
        end: at(1000),
        bytesFrom: (from) => Promise.resolve((entries.length - from) * entryBytes),
      }),
  };
}

export const profile: SourceProfile = {
  origin: '77',
  server: '1',
  database: 'shop',
  version: 180_004,
  encoding: 'UTF8',
  collation: { provider: 'libc', collate: 'C', ctype: 'C', locale: undefined, version: undefined },
  extensions: [],
  tables: [],
  roles: [],
};

export const failing =
  (...parameters: ConstructorParameters<typeof ChangeoverError>) =>
  () =>
    Promise.reject(new ChangeoverError(...parameters));

export const source: SourceInspector = {
  ...disposable,
  observe: () =>
    Promise.resolve({
      position: at(1000),
      acknowledged: at(1000),
      reading: true,
      retainedBytes: 2048,
      retainedBytesMax: undefined,
      kept: 'reserved',
      safeBytes: undefined,
      notCapturedBytes: 0,
    }),
  mark: () => Promise.resolve(at(1000)),
  ask: () => Promise.resolve(),
  view: failing('SOURCE_FAILED', 'nothing is shown'),
  check: () => Promise.resolve([]),
  profile: () => Promise.resolve(profile),
  arm: () => Promise.resolve(),
  forget: () => Promise.resolve(),
  abandon: () => Promise.resolve(),
  foothold: failing('SOURCE_BUSY', 'no slot is free'),
};

export const target: TargetInspector = {
  ...disposable,
  observe: () =>
    Promise.resolve({ checkpoint: checkpoint({ offset: offset(1) }), writing: true, drifted: 0, setAside: [] }),
  view: () => Promise.resolve(undefined),
  setAside: () => Promise.resolve(),
  check: () => Promise.resolve([]),
  adopt: () => Promise.resolve(),
  resign: () => Promise.resolve(),
  forget: () => Promise.resolve(),
};

export const helm: Helm = {
  ...disposable,
  sight: () => Promise.resolve({ position: at(1000), transactions: 700n, sequences: {} }),
  survey: () =>
    Promise.resolve({ writers: ['app'], beyondUs: [], unfenced: [], prepared: 0, definitions: [], sequences: [] }),
  shut: () => Promise.resolve({ roles: ['app'], proved: ['app'], unfenced: [] }),
  open: () => Promise.resolve(['app']),
  raise: () => Promise.resolve(0),
  sizes: () => Promise.resolve(new Map()),
  digests: () => Promise.resolve(new Map()),
};

export const broker: BrokerInspector = {
  ...disposable,
  check: () => Promise.resolve([]),
  forget: () => Promise.resolve(),
};

/** Two keys in this process. */
export function ring(): KeyRing {
  const held = { text: `${'ab'.repeat(32)} ${'cd'.repeat(32)}` };
  return openKeyList({
    name: 'key file shop.keys',
    read: async () => held.text,
    add: async (key) => void (held.text += `\n${key}`),
  });
}

/** A house in which all is well, but for the changes. */
export const houseWith = (changes: Partial<House> = {}): House => ({
  sourceInspector: () => Promise.resolve(source),
  targetInspector: () => Promise.resolve(target),
  helm: () => Promise.resolve(helm),
  immovable: () => undefined,
  brokerInspector: () => Promise.resolve(broker),
  logReader: () => Promise.resolve(memoryReader()),
  async *verifyLog() {
    const total = { segments: 1, entries: 2, bytes: 200 };
    yield { kind: 'segment', first: offset(0), next: offset(2), total };
    yield { kind: 'whole', stream: 'stream-1', first: offset(0), state: { next: offset(2), end: at(1000) }, total };
  },
  keyRing: () => Promise.resolve(ring()),
  resync: (_configuration, { dryRun, onTable }) => {
    const table = { schema: 'public', name: 'orders', identity: 'key', columns: [] } as const;
    const tables = [
      { table, how: 'rows', rows: 1204 },
      { table: { ...table, name: 'lines' }, how: 'equal', rows: 0 },
    ] as const;
    tables.forEach(onTable);
    const proof = [{ site: 'dublin', equal: 2, rows: 41_234, different: [], notChecked: [] }];
    const told = { why: 'london keeps nothing for us', from: at(1000), to: at(2000), tables };
    return Promise.resolve({ ...told, proof: dryRun ? undefined : proof });
  },
  source: failing('SOURCE_UNREACHABLE', 'refused'),
  ledgers: () => Promise.resolve([{ site: 'london', epoch: 1, stream: 'stream-1' }]),
  openLedger: failing('BROKER_LOCKED', 'written'),
  ledgerReader: () => Promise.resolve(memoryReader()),
  run: (_configuration, { report }) => Promise.resolve(report('at work')),
  demo: () => Promise.resolve(0),
  ...changes,
});

export interface Printed {
  readonly out: string;
  readonly err: string;
  readonly exitCode: number;
}

export interface Place {
  readonly cwd: string;
  readonly house?: House;
  readonly env?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  /** Called with everything that was printed so far, after each print. */
  readonly onOut?: (out: string) => void;
}

/** Runs a command in this process and gives back what it printed. */
export async function changeover(
  words: readonly string[],
  { cwd, house = houseWith(), env = {}, signal, onOut }: Place,
): Promise<Printed> {
  let [out, err] = ['', ''];
  const desk: Desk = {
    cwd,
    env,
    isTerminal: false,
    colour: false,
    out(text) {
      out += text;
      onOut?.(out);
    },
    err: (text) => (err += text),
  };
  const exitCode = await commandLine({ house, words, desk }, signal ?? AbortSignal.timeout(20_000));
  return { out, err, exitCode };
}
