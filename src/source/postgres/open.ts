import { tmpdir } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { answerPrefix, askIn, askPrefix } from '../../change/ask.ts';
import type { Batch } from '../../change/change.ts';
import { join } from '../../change/join.ts';
import type { Position } from '../../change/position.ts';
import type { Table } from '../../change/table.ts';
import { type Connection, connect } from '../../engine/postgres/connect.ts';
import { quoteIdentifier } from '../../engine/postgres/identifier.ts';
import { formatLsn, lsn, positionOf } from '../../engine/postgres/lsn.ts';
import { ChangeoverError } from '../../error.ts';
import { pumped } from '../../flow/pumped.ts';
import type { Source } from '../source.ts';
import { answer } from './answer.ts';
import { Assembly, type Sized } from './assemble.ts';
import { installTriggers } from './ddl/install.ts';
import { DdlReader, isDdlMessage } from './ddl/reader.ts';
import { Cutter, type Excerpts } from './excerpt.ts';
import { readHistory } from './history.ts';
import { namesOf, passingName } from './names.ts';
import { decodeMessage, RowMessage } from './pgoutput.ts';
import { type Claim, claimedMessage, claimOf, progressOf } from './progress.ts';
import { ensurePublication, proveExcerpts } from './publication.ts';
import { openReaders } from './readers.ts';
import { Relations } from './relations.ts';
import { isReachable, resumedPieces } from './resume.ts';
import { SequenceSampler } from './sample.ts';
import {
  allowFailover,
  backendOf,
  createPassingSlot,
  endBackend,
  keepSlot,
  proveReachable,
  type SlotState,
  slotState,
} from './slot.ts';
import { snapshotPieces } from './snapshot.ts';
import { Standing } from './standing.ts';
import { inCommitOrder } from './streamed.ts';
import { WalStream } from './wal.ts';

/** Large enough that a sync of the log per batch does not limit, small enough that reader, log and writer together hold a few
 *  dozen MB. */
const batchBytesMax = 1024 * 1024;
const aheadBytesMax = 2 * batchBytesMax;
/** While more of a backlog follows at once, so much is handed on together: each append costs a sync of the log. */
const torrentBytes = 512 * 1024;
/** Nothing is held back for longer: of what comes, little may be ours. */
const heldMsMax = 200;

export interface PostgresSourceOptions {
  readonly url: string;
  /** The lane's name: names the slot and the publication. */
  readonly name: string;
  readonly wanted: (table: { schema: string; name: string }) => boolean;
  /** Undefined: every table is carried whole. */
  readonly excerpts?: Excerpts | undefined;
  /** How often a small transaction of ours keeps an idle slot moving (invariant 6) and the lag known. */
  readonly heartbeatMs: number;
  /** How often sequences are looked at, at the least as often as it beats. Default 5 s; where there are so many that a look takes long,
   *  less often. */
  readonly sampleMs?: number;
  /** A server of which nothing was heard for so long is given up, and tried again. Default 60 s, as PostgreSQL's own receiver. */
  readonly silenceMsMax?: number;
  /** How many connections copy at the same time. Default 1: with more, a TRUNCATE or ALTER TABLE of the application that waits for one of
   *  them makes another wait behind it, and nobody sees the circle, since it closes in this process. */
  readonly copyConnections?: number;
  /** How much of a large table is copied at once, and again where the copy was interrupted. Default 32 MB. */
  readonly chunkBytes?: number;
  /** Where changes wait that are not committed yet and outgrew the primary's memory. Default: the system's folder for what does not last. */
  readonly spillFolder?: string;
}

type Give = (item: Sized, bytes: number) => Promise<void>;

/** A PostgreSQL primary, 14 or later, read through one logical slot. Opens nothing before it is used. */
export function postgresSource(options: PostgresSourceOptions): Source {
  const { slot, publication } = namesOf(options.name);
  const { silenceMsMax = 60_000, sampleMs = 5000, copyConnections = 1, chunkBytes, wanted, excerpts } = options;
  const { spillFolder = tmpdir() } = options;
  let stream: WalStream | undefined;

  const open = (signal: AbortSignal, replication = false): Promise<Connection> =>
    connect({ url: options.url, side: 'SOURCE', application: `changeover ${options.name}`, replication }, signal);

  /** For questions that are answered at once. */
  const openBrief = (signal: AbortSignal): Promise<Connection> =>
    connect(
      { url: options.url, side: 'SOURCE', application: `changeover ${options.name}`, answerMsMax: silenceMsMax },
      signal,
    );

  return {
    async *snapshot({ again, told = [] }, signal): AsyncGenerator<Batch> {
      await using control = await open(signal);
      await using walsender = await open(signal, true);
      await provePrimary(control);
      const history = await readHistory(walsender);
      const { system, timeline } = history;
      const backend = await backendOf(walsender);
      const leftover = await slotState(control, slot);
      const claim = claimOf(told);
      if (leftover && !again)
        throw new ChangeoverError('SOURCE_SLOT_FOREIGN', `The primary already has a slot ${slot}, and this log is new`);
      if (leftover) proveOurs(leftover, claim, { slot, system });
      const opening = again ? progressOf(told) : undefined;
      // What catches up with a former copy carries tables whole.
      if (opening && leftover && !excerpts && isReachable(opening, { history, slot: leftover, name: slot })) {
        if (leftover.activePid !== undefined) await freeSlot(control, leftover.activePid);
        const more = { open, control, slot, publication, wanted, copyConnections, chunkBytes, silenceMsMax };
        await using passing = await open(signal, true);
        let isResumed = false;
        for await (const piece of resumedPieces({ opening, walsender: passing, ...more }, signal)) {
          isResumed = true;
          yield piece;
        }
        if (isResumed) return;
      }
      if (leftover) await dropLeftover(control, slot, leftover.activePid);
      await installTriggers(control, { slot, publication });
      await ensurePublication(control, publication, options);
      const passing = passingName(backend);
      const { consistentPoint, snapshot } = await createPassingSlot(walsender, passing).catch(
        async (error: unknown) => {
          // The server waits there for transactions that are open, and does not look whether we are still there.
          if (signal.aborted) await endBackend(() => open(AbortSignal.timeout(endMsMax)), backend);
          throw error;
        },
      );
      const before = claim?.slot === slot && claim.origin === system ? claim.at : [];
      const claimed = claimedMessage({ slot, origin: system, at: before }, consistentPoint);
      yield { after: undefined, starts: true, changes: [claimed], end: undefined };
      await keepSlot(control, passing, slot);
      // The export lives only while the walsender connection does nothing else.
      await using readers = await openReaders({ open, snapshot, count: copyConnections }, signal);
      const at = positionOf(system, consistentPoint, timeline);
      yield* snapshotPieces({ reading: readers.reading, at, wanted, excerpts, chunkBytes }, signal);
    },

    async *read(after, signal): AsyncGenerator<Batch> {
      const rounds = pumped<Sized>(
        { produce: (give, both) => produce(after, give, both), bytesMax: aheadBytesMax, takeBytesMax: batchBytesMax },
        signal,
      );
      for await (const round of rounds) yield* join(round.map((sized) => sized.batch));
    },

    async acknowledge(position) {
      stream?.confirm(lsn(position.order));
    },

    async [Symbol.asyncDispose]() {
      stream?.[Symbol.dispose]();
      stream = undefined;
    },
  };

  /** Reads the slot until something fails. */
  async function produce(after: Position, give: Give, signal: AbortSignal): Promise<void> {
    const end = await readSlot({ after, streaming: 'on' }, give, signal);
    // So rare that it stays so until the next start.
    await readSlot({ after: end, streaming: 'off' }, give, signal);
  }

  /** Ends only where it takes a stream without streaming to go on, and says where. */
  async function readSlot(
    { after, streaming }: { readonly after: Position; readonly streaming: 'on' | 'off' },
    give: Give,
    signal: AbortSignal,
  ): Promise<Position> {
    await using control = await openBrief(signal);
    await using walsender = await open(signal, true);
    await provePrimary(control);
    const state = await slotState(control, slot);
    const history = await readHistory(walsender);
    proveReachable(after, { history, slot: state, name: slot });
    await proveExcerpts(control, publication, options.excerpts);
    if (state?.activePid !== undefined) await freeSlot(control, state.activePid);
    if (state?.isFailover === false) await allowFailover(walsender, slot);
    // Also for a lane that is older than they are.
    await installTriggers(control, { slot, publication });
    using wal = new WalStream(walsender, { silenceMsMax });
    stream = wal;
    const at = formatLsn(after.order);
    await wal.start(
      `START_REPLICATION SLOT ${quoteIdentifier(slot)} LOGICAL ${at} ` +
        `(proto_version '2', streaming '${streaming}', publication_names '${quoteIdentifier(publication)}', messages 'true')`,
    );
    const sampler = new SequenceSampler(options.wanted);
    await using beating = heartbeat(sampler, signal);
    const relations = new Relations(control, slot);
    const isWanted = (table: Table): boolean => relations.carries(table) && options.wanted(table);
    const cutter = options.excerpts && new Cutter(options.excerpts, isWanted);
    const ddl = new DdlReader(control, relations, options);
    const assembly = new Assembly({
      system: after.origin,
      timeline: history.timeline,
      after,
      batchBytesMax,
      pieceBytesMax: batchBytesMax,
      wanted: isWanted,
    });
    await using standing = new Standing({ take: () => wal.take(), open, control }, signal);
    const row = new RowMessage();
    let transaction = 0n;
    let gaveMs = performance.now();
    try {
      const rounds = inCommitOrder({ next: () => standing.next(), spillFolder });
      for await (const { messages, stand, isUnclear } of rounds) {
        assembly.pack(wal.isTorrent);
        for (const { bytes, at, end } of messages) {
          if (row.read(bytes, at, end, relations.of)) {
            if (cutter) assembly.add(cutter.cut(row.change()));
            else assembly.addRow(row);
            continue;
          }
          const message = decodeMessage(bytes, at, end, relations.of);
          if (message.kind === 'relation') {
            const former = relations.of(message.oid);
            const table = await relations.announce(message, transaction);
            const made = isWanted(table) ? ddl.announced(table, former) : undefined;
            if (made) assembly.add(made);
          } else if (message.kind === 'type') relations.nameType(message);
          else if (isDdlMessage(message)) {
            const changes = await ddl.read(message.content);
            for (const change of changes === 'not ours' ? [message] : changes) assembly.add(change);
          } else if (message.kind === 'logical message' && message.prefix === answerPrefix) {
            // Only we answer.
          } else {
            if (message.kind === 'logical message' && message.prefix === askPrefix) {
              const ask = askIn(message.content);
              if (ask) standing.ask(ask);
            }
            if (message.kind === 'begin') {
              transaction = message.transaction;
              ddl.begin();
            }
            const sequences = message.kind === 'logical message' ? sampler.seenBy(message) : undefined;
            assembly.add(sequences ?? (cutter ? cutter.cut(message) : message));
          }
        }
        const isHeld = wal.isTorrent && assembly.bytes < torrentBytes && performance.now() - gaveMs < heldMsMax;
        if (isHeld && !stand && !isUnclear) continue;
        gaveMs = performance.now();
        for (const { batch, bytes } of assembly.take()) await give({ batch, bytes }, bytes);
        if (isUnclear) break;
        if (!stand) continue;
        const position = positionOf(after.origin, stand.at, history.timeline);
        const asked = { ...stand, at: position, after: assembly.pass(position), wanted, excerpts };
        await answer({ ...asked, open, give: (sized) => give(sized, sized.bytes) }, signal);
      }
      return assembly.end;
    } catch (error) {
      beating.check();
      throw error;
    }
  }

  /** Beats until disposed. A beat that fails is reported by `check`: the connection that carries it is as good as the other one. */
  function heartbeat(sampler: SequenceSampler, signal: AbortSignal): AsyncDisposable & { check(): void } {
    const stop = new AbortController();
    const both = AbortSignal.any([signal, stop.signal]);
    let failed: { readonly error: unknown } | undefined;
    const beating = (async () => {
      await using connection = await openBrief(both);
      // Not worth a sync of the primary's disk: the next commit or the WAL writer carries it out.
      await connection.rows('SET synchronous_commit = off');
      let sampleAtMs = 0;
      while (!both.aborted) {
        const nowMs = performance.now();
        if (nowMs >= sampleAtMs) {
          await sampler.look(connection);
          const tookMs = performance.now() - nowMs;
          sampleAtMs = nowMs + Math.max(sampleMs, tookMs * sampleShare);
        }
        await connection.rows(`SELECT pg_catalog.pg_logical_emit_message(true, 'changeover', 'heartbeat')`);
        await sleep(options.heartbeatMs, undefined, { signal: both });
      }
    })().catch((error: unknown) => {
      if (both.aborted) return;
      failed = { error };
      stream?.[Symbol.dispose]();
    });
    return {
      check() {
        if (failed) throw failed.error;
      },
      async [Symbol.asyncDispose]() {
        stop.abort();
        await beating;
      },
    };
  }
}

/** Looking at sequences takes one part in so many of a connection's time, at the most. */
const sampleShare = 20;

/** A slot that our log does not claim belongs to somebody else. A claim that was trimmed is as good: it was made true before anything
 *  came behind it that could trim it. */
function proveOurs(
  found: SlotState,
  claim: Claim | undefined,
  names: { readonly slot: string; readonly system: string },
): void {
  const { slot, system } = names;
  if (!claim || (claim.slot === slot && claim.origin === system && claim.at.includes(found.confirmed))) return;
  throw new ChangeoverError(
    'SOURCE_SLOT_FOREIGN',
    `The primary has a slot ${slot} at ${formatLsn(found.confirmed)}, where this log never made one`,
  );
}

/** Removes what an interrupted snapshot of ours left. */
async function dropLeftover(control: Connection, slot: string, pid: number | undefined): Promise<void> {
  if (pid !== undefined) await freeSlot(control, pid);
  await control.rows('SELECT pg_catalog.pg_drop_replication_slot($1)', [slot]);
}

/** A standby that is to be promoted may be at the address already. Throws SOURCE_UNREACHABLE. */
async function provePrimary(control: Connection): Promise<void> {
  const [row] = await control.rows('SELECT pg_catalog.pg_is_in_recovery()');
  if (row?.[0] !== 't') return;
  throw new ChangeoverError('SOURCE_UNREACHABLE', 'The server at the address of the primary is a standby', {
    hint: 'Give the address of its primary; if this server is to lead from now on, promote it. We go on once it leads.',
  });
}

const freeMsMax = 5000;
/** An abort is prompt, also where the server does not answer. */
const endMsMax = 1000;

/** Ends a connection of ours that the server still takes for alive: the log has one writer, so whoever reads the slot besides us
 *  is a former self behind a dead network. Throws SOURCE_SLOT_BUSY when it does not go. */
async function freeSlot(control: Connection, pid: number): Promise<void> {
  const [row] = await control.rows('SELECT pg_catalog.pg_terminate_backend($1, $2)', [pid, freeMsMax]);
  if (row?.[0] !== 't')
    throw new ChangeoverError('SOURCE_SLOT_BUSY', `The slot is still read by process ${pid} of the primary`);
}
