import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { ChangeoverError } from '../error.ts';
import { Acknowledged } from './acknowledged.ts';
import { type CarrierName, carrierName, demandInstalled } from './carriers.ts';
import { runClients } from './clients.ts';
import { Gate } from './gate.ts';
import { type Key, openKeys } from './keys.ts';
import { Meter } from './measure.ts';
import { KeptPart, type PartName, partName } from './part.ts';
import type { Proof } from './prove.ts';
import { Prover } from './recover.ts';
import { isClean, resultOf, summary } from './result.ts';
import { type Backstage, sceneOf } from './scene.ts';
import { openLines, openScreen, type Screen } from './screen.ts';
import { openWorld, type World } from './world.ts';

export interface DemoOptions {
  /** Unattended: runs this long, proves, and ends. Undefined: until a person quits. */
  readonly seconds?: number;
  /** Names of parts, killed in turn and evenly over the seconds. */
  readonly kill: readonly string[];
  /** Name of what carries the changes. */
  readonly broker: string;
  /** Figures at the end, on standard output, and nothing else there. */
  readonly json: boolean;
  /** Transactions per second. */
  readonly rate: number;
}

const clients = 8;
const rateMax = 5000;
const lookMs = 20;
/** A person who quits does not wait longer than this for the last proof. */
const lastProofMsMax = 15_000;

/** Shows replication between two real servers, and what a killed part does to it: nothing. Returns the exit code: 0 when nothing
 *  wrong was seen, and with `seconds` only when both sides were proved equal at the end and after each kill.
 *  Throws CLI_USAGE, DEMO_FAILED. When `signal` aborts it leaves at once, and leaves nothing behind. */
export const demo = (options: DemoOptions, signal: AbortSignal): Promise<number> =>
  demoWith(fileURLToPath(new URL('../../bin/changeover', import.meta.url)), options, signal);

/** The demo with the agents of a given program. */
export async function demoWith(program: string, options: DemoOptions, signal: AbortSignal): Promise<number> {
  const run = new Run(program, options);
  try {
    return await run.perform(signal);
  } catch (error) {
    if (!signal.aborted && !run.left) throw error;
    return run.report(undefined);
  }
}

function check({ seconds, kill, rate, broker }: DemoOptions): { carrier: CarrierName; kills: readonly PartName[] } {
  if (!(rate > 0 && rate <= rateMax)) throw usage(`--rate must be above 0 and at most ${rateMax}, not ${rate}`);
  if (seconds !== undefined && !(seconds > 0)) throw usage(`--seconds must be above 0, not ${seconds}`);
  if (kill.length > 0 && seconds === undefined) throw usage('--kill needs --seconds; without it, kill with the keys');
  const carrier = carrierName(broker);
  const kills = kill.map((name) => partName(name, carrier));
  demandInstalled(carrier);
  return { carrier, kills };
}

const usage = (message: string): ChangeoverError => new ChangeoverError('CLI_USAGE', message);

class Run {
  readonly #program: string;
  readonly #options: DemoOptions;
  readonly #kills: readonly PartName[];
  readonly #carrier: CarrierName;
  readonly #now = (): number => performance.now();
  readonly #acknowledged = new Acknowledged(clients);
  readonly #gate = new Gate();
  readonly #leave = new AbortController();
  #quit = false;
  #backstage: Backstage;
  /** When and with what the demo began to flow: the first copy is not measured. */
  #began: { readonly ms: number; readonly transactions: number; readonly rows: number } | undefined;
  #endedMs: number | undefined;

  constructor(program: string, options: DemoOptions) {
    this.#program = program;
    this.#options = options;
    const { carrier, kills } = check(options);
    this.#kills = kills;
    this.#carrier = carrier;
    this.#backstage = { stage: 'starting', doing: 'starting', carrier, parts: [], hasKeys: false };
  }

  /** A person left at once. */
  get left(): boolean {
    return this.#leave.signal.aborted;
  }

  async perform(signal: AbortSignal): Promise<number> {
    const both = AbortSignal.any([signal, this.#leave.signal]);
    const proof = await this.#shown(both);
    return this.report(proof);
  }

  /** Everything while the view is open; the person's own screen is back when it resolves or throws. */
  async #shown(signal: AbortSignal): Promise<Proof | undefined> {
    const { json } = this.#options;
    const attended = process.stdin.isTTY && process.stdout.isTTY && !json && this.#options.seconds === undefined;
    const scene = () => sceneOf(this.#backstage, this.#now());
    using screen =
      process.stdout.isTTY && !json
        ? openScreen(process.stdout, scene)
        : openLines((text) => (json ? process.stderr : process.stdout).write(text), this.#now);
    using _keys = attended ? openKeys(process.stdin, (key) => this.#press(key)) : undefined;
    this.#backstage = { ...this.#backstage, hasKeys: attended };
    const drawing = new AbortController();
    const drawn = this.#draw(screen, drawing.signal);
    try {
      await using world = await openWorld(
        {
          program: this.#program,
          clients,
          carrier: this.#carrier,
          onDoing: (doing) => (this.#backstage = { ...this.#backstage, doing }),
        },
        signal,
      );
      return await this.#withWorld(world, signal);
    } finally {
      drawing.abort();
      await drawn;
    }
  }

  async #draw(screen: Screen, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      screen.draw(sceneOf(this.#backstage, this.#now()));
      await sleep(screen.everyMs, undefined, { signal }).catch(() => undefined);
    }
  }

  #press(key: Key): void {
    if (key.kind === 'leave') this.#leave.abort();
    else if (key.kind === 'quit') {
      // Nothing to prove yet; or asked twice.
      if (this.#quit || this.#backstage.stage !== 'flowing') this.#leave.abort();
      this.#quit = true;
    } else {
      const kept = this.#backstage.parts.find(({ part }) => part.name === key.part);
      // Killing can fail only when the process is not ours any more: then its keeper notices.
      kept?.kill().catch(() => undefined);
    }
  }

  async #withWorld(world: World, signal: AbortSignal): Promise<Proof | undefined> {
    const stop = new AbortController();
    const inner = AbortSignal.any([signal, stop.signal]);
    const now = this.#now;
    const sides = { primary: world.primary, secondary: world.secondary, acknowledged: this.#acknowledged, now };
    const meter = new Meter({ ...sides, slot: world.slot });
    const parts = world.parts.map((part) => new KeptPart(part, { now, onDeath: (death) => prover.died(death) }));
    const prover: Prover = new Prover({ ...sides, parts, meter, gate: this.#gate });
    const doing = 'copying the shop to the secondary, through the log';
    this.#backstage = {
      ...this.#backstage,
      stage: 'copying',
      doing,
      parts,
      meter,
      prover,
      acknowledged: this.#acknowledged,
    };
    const workload = { url: world.primary, clients, rate: this.#options.rate, acknowledged: this.#acknowledged, now };
    const draw = (limit: number): number => Math.floor(Math.random() * limit);
    const work = [
      ...parts.map(async (kept) => {
        // Nothing to apply before there is a log; capture makes its slot after the log.
        while (kept.part.name === 'apply' && !meter.sample?.captured) await sleep(lookMs, undefined, { signal: inner });
        await kept.keep(inner);
      }),
      meter.run(inner),
      runClients({ ...workload, gate: this.#gate, draw }, inner),
      this.#direct({ parts, prover }, inner),
    ];
    try {
      // None but the last ends by itself: the first that rejects ends all.
      await Promise.race([Promise.all(work), work.at(-1)]);
      return prover.last;
    } finally {
      this.#backstage = { ...this.#backstage, stage: 'leaving' };
      stop.abort();
      await world.halt();
      await Promise.allSettled(work);
    }
  }

  /** The course of the evening. */
  async #direct(
    of: { readonly parts: readonly KeptPart[]; readonly prover: Prover },
    signal: AbortSignal,
  ): Promise<void> {
    const { prover } = of;
    await prover.flows(signal);
    const flowsMs = this.#now();
    const { transactions, rows } = this.#acknowledged;
    this.#began = { ms: flowsMs, transactions, rows };
    this.#backstage = { ...this.#backstage, stage: 'flowing', flowsMs };
    const stop = new AbortController();
    const proving = prover.run(AbortSignal.any([signal, stop.signal]));
    try {
      await Promise.race([proving, this.#act({ ...of, flowsMs }, signal)]);
      this.#endedMs = this.#now();
      const limit = this.#options.seconds === undefined ? AbortSignal.timeout(lastProofMsMax) : signal;
      await prover.prove(AbortSignal.any([signal, limit]));
    } finally {
      stop.abort();
      await proving.catch(() => undefined);
    }
  }

  /** Resolves when it is time for the last proof: after the seconds and the last kill, or when a person quits. */
  async #act(
    of: { readonly parts: readonly KeptPart[]; readonly prover: Prover; readonly flowsMs: number },
    signal: AbortSignal,
  ): Promise<void> {
    const { parts, prover, flowsMs } = of;
    const until = async (isTrue: () => boolean): Promise<void> => {
      while (!isTrue()) await sleep(lookMs, undefined, { signal });
    };
    const { seconds } = this.#options;
    if (seconds === undefined) return until(() => this.#quit);
    for (const [index, name] of this.#kills.entries()) {
      const dueMs = flowsMs + (seconds * 1000 * (index + 1)) / (this.#kills.length + 1);
      await until(() => this.#now() >= dueMs && prover.settled);
      const deaths = prover.recoveries.length;
      await parts.find(({ part }) => part.name === name)?.kill();
      await until(() => prover.recoveries.length > deaths);
    }
    await until(() => this.#now() >= flowsMs + seconds * 1000 && prover.settled);
  }

  /** Prints what came of it. `proof`: the last one. */
  report(proof: Proof | undefined): number {
    const { meter, prover } = this.#backstage;
    const began = this.#began;
    if (!began || !meter || !prover) return this.#options.seconds === undefined ? 0 : 1;
    const workMs = (this.#endedMs ?? this.#now()) - began.ms;
    const transactions = this.#acknowledged.transactions - began.transactions;
    const rows = this.#acknowledged.rows - began.rows;
    const { recoveries } = prover;
    const result = resultOf({ broker: this.#carrier, workMs, transactions, rows, meter, recoveries, proof });
    if (this.#options.json) process.stdout.write(`${JSON.stringify(result)}\n`);
    else for (const text of summary({ result, proof, recoveries })) process.stdout.write(`${text}\n`);
    const proved = proof !== undefined || this.#options.seconds === undefined;
    return proved && isClean(result) ? 0 : 1;
  }
}
