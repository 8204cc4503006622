import { join } from 'node:path';
import { offset } from '../../src/change/position.ts';
import { asItStands } from '../../src/cli/lane.ts';
import type { Configuration } from '../../src/config/configuration.ts';
import { openRequests } from '../../src/control/requests.ts';
import { ChangeoverError } from '../../src/error.ts';
import type { Adapters } from '../../src/main/adapters.ts';
import { runAgents } from '../../src/main/agents.ts';
import { Application } from './application.ts';
import { Chance } from './chance.ts';
import { Checks, type Violation } from './checks.ts';
import { Database } from './database.ts';
import { Disk } from './disk.ts';
import { layGround } from './ground.ts';
import { openHelm } from './helm.ts';
import { SimulatedLog } from './log.ts';
import { Line, type LineOptions, Link, type Way } from './network.ts';
import { type Machine, Process, type WallClock } from './process.ts';
import { Scheduler } from './scheduler.ts';
import { openSource, openSourceInspector } from './source.ts';
import { tell, troubledMs } from './story.ts';
import { openTarget, openTargetInspector } from './target.ts';

export interface WorldOptions {
  readonly seed: number;
  /** A disk that says that it holds what it does not hold yet. */
  readonly liesOnSync?: boolean;
  /** What happens, line by line. */
  readonly tell?: (line: string) => void;
}

export interface Outcome {
  readonly seed: number;
  readonly violation: Violation | undefined;
  readonly steps: number;
  readonly simulatedMs: number;
  readonly counts: ReadonlyMap<string, number>;
}

layGround();

/** After all is healed, so long is waited for what was asked for to come to its end. */
const healingMsMax = 240_000;
const lookMs = 250;

/** A clock on the wall that remembers when it showed what. */
class JumpingClock implements WallClock {
  readonly #scheduler: Scheduler;
  readonly #shown = new Map<number, number>();
  #ahead = 1_700_000_000_000;

  constructor(scheduler: Scheduler) {
    this.#scheduler = scheduler;
  }

  readMs(): number {
    const ms = Math.floor(this.#scheduler.nowMs + this.#ahead);
    this.#shown.set(ms, this.#scheduler.nowMs);
    return ms;
  }

  jump(byMs: number): void {
    this.#ahead += byMs;
  }

  shownAt(wallMs: number): number | undefined {
    return this.#shown.get(wallMs);
  }
}

/** Two sites, a machine with the agents and the log, and what lies between; all of it out of one seed. */
export class World {
  readonly scheduler = new Scheduler();
  readonly clock = new JumpingClock(this.scheduler);
  readonly checks: Checks;
  readonly machine: Machine;
  readonly sites: readonly [Database, Database];
  readonly folder = '/simulated';
  readonly #seed: number;
  readonly #tell: ((line: string) => void) | undefined;
  readonly #log: SimulatedLog;
  readonly #links = new Map<Database, Link>();
  readonly #applications: readonly Application[];
  readonly #chance: Chance;
  #agents: Process | undefined;
  #stray: Process | undefined;
  #lastError: unknown;
  readonly #end = new AbortController();
  #isOver = false;

  constructor({ seed, liesOnSync: lies = false, tell: told }: WorldOptions) {
    this.#seed = seed;
    this.#tell = told;
    this.#chance = new Chance(seed);
    const { scheduler } = this;
    const chance = new Chance(seed + 1_000_000_007);
    this.machine = { scheduler, chance, clock: this.clock, disk: new Disk(chance), bootedAtMs: 0 };
    this.sites = [new Database('london', chance), new Database('dublin', chance)];
    const databases = new Map(this.sites.map((site) => [site.name, site]));
    const readAt = (wallMs: number): number | undefined => this.clock.shownAt(wallMs);
    this.checks = new Checks({ databases, leader: 'london', trace: (line) => this.trace(line), readAt });
    this.#log = new SimulatedLog({ checks: this.checks, lies });
    for (const site of this.sites) this.#links.set(site, new Link());
    const [, dublin] = this.sites;
    dublin.isShut = true;
    if (chance.is(0.6)) for (const site of this.sites) site.tableBytes = 2 ** 40;
    const application = new Chance(seed + 2_000_000_011);
    this.#applications = Array.from(
      { length: chance.between(1, 2) },
      () => new Application({ scheduler, chance: application, checks: this.checks, sites: this.sites }),
    );
  }

  trace(line: string): void {
    this.#tell?.(`${this.scheduler.nowMs.toFixed(1).padStart(9)} ms  ${line}`);
  }

  async run(): Promise<Outcome> {
    const { scheduler, checks } = this;
    tell(this, this.#chance);
    this.#start();
    scheduler.after(troubledMs, () => this.#heal());
    await scheduler.run(() => this.#isOver || checks.violation !== undefined);
    this.#agents?.die();
    this.#stray?.die();
    // Node keeps signals that are listened to, and with them all that the dead were waiting for.
    this.#end.abort();
    const { violation, counts } = checks;
    return { seed: this.#seed, violation, steps: scheduler.steps, simulatedMs: scheduler.nowMs, counts };
  }

  kill(awayMs: number): void {
    this.#agents?.die();
    this.scheduler.after(awayMs, () => this.#start());
  }

  losePower(awayMs: number): void {
    const agents = this.#agents;
    this.#stray?.die();
    agents?.die();
    this.machine.disk.losePower();
    this.machine.bootedAtMs = this.scheduler.nowMs;
    if (agents) this.#log.losePower(agents);
    this.scheduler.after(awayMs, () => this.#start());
  }

  pause(forMs: number): void {
    if (this.#agents) this.#agents.stoppedUntilMs = this.scheduler.nowMs + forMs;
  }

  crash(site: Database, awayMs: number): void {
    site.crash();
    this.scheduler.after(awayMs, () => site.start());
  }

  cut(site: Database, ways: readonly Way[], forMs: number): void {
    const link = this.#links.get(site);
    if (link) for (const way of ways) link[way] = Math.max(link[way], this.scheduler.nowMs + forMs);
  }

  endReader(site: Database): void {
    site.reader = undefined;
  }

  /** Somebody starts a second agent that applies to the secondary. */
  startStray(): void {
    const process = new Process('stray', this.machine);
    this.#stray = process;
    this.trace('a second process applies to dublin');
    const ended = (error?: unknown): void => {
      process.die();
      this.trace(`the second process ended: ${String(error)}`);
    };
    const options = { configuration: this.#configuration, adapters: this.#adapters(process) };
    const report = (line: string): void => this.trace(`stray: ${line}`);
    process
      .run(() => runAgents({ ...options, roles: ['apply'], site: 'dublin', report }, this.#end.signal))
      .then(ended, ended);
  }

  #start(): void {
    if (this.#agents?.isAlive || this.#isOver) return;
    const process = new Process('agents', this.machine);
    this.#agents = process;
    this.trace('the agents start');
    const ended = (error?: unknown): void => {
      if (!process.isAlive) return;
      this.#lastError = error;
      this.trace(`the agents ended: ${wordsOf(error)}`);
      this.checks.count('ended by themselves');
      process.die();
      this.scheduler.after(500, () => this.#start());
    };
    const report = (line: string): void => this.trace(`agents: ${line}`);
    const work = async (): Promise<void> => {
      const configuration = await asItStands(this.#configuration);
      const adapters = this.#adapters(process);
      await runAgents({ configuration, adapters, roles: ['capture', 'apply'], report }, this.#end.signal);
    };
    process.run(work).then(ended, ended);
  }

  #adapters(process: Process): Adapters {
    const { checks } = this;
    const line = (name: string, side: LineOptions['side']): Line => {
      const database = this.sites.find((site) => site.name === name);
      const link = database && this.#links.get(database);
      if (!database || !link) throw new ChangeoverError('CLI_USAGE', `There is no site ${name}`);
      return new Line({ process, database, link, side });
    };
    return {
      openSource: async (_, { name }) => openSource(line(name, 'SOURCE'), checks),
      openTarget: async (_, { name }, signal) => openTarget(line(name, 'TARGET'), checks, signal),
      openSourceInspector: async (_, name) => openSourceInspector(line(name, 'SOURCE')),
      openTargetInspector: async (_, name) => openTargetInspector(line(name, 'TARGET')),
      openHelm: async (_, { site, side }) => openHelm(line(site, side === 'primary' ? 'SOURCE' : 'TARGET'), checks),
      openBroker: async () => {
        const broker = this.#log.openWriter(process);
        if (!this.#log.knows('dublin')) this.#log.release(process, 'dublin', offset(0));
        return broker;
      },
      openReader: async () => this.#log.openReader(process),
    };
  }

  /** From here on nothing goes wrong any more, and the business closes for the day. */
  #heal(): void {
    this.trace('all is healed');
    for (const link of this.#links.values()) link.toMs = link.fromMs = 0;
    for (const site of this.sites) site.start();
    for (const process of [this.#agents, this.#stray]) if (process) process.stoppedUntilMs = 0;
    for (const application of this.#applications) application.stop();
    this.#start();
    this.#look();
  }

  #look(): void {
    const { scheduler, checks } = this;
    const reader = new Process('reader', this.machine);
    const ask = async (): Promise<void> => {
      const open = await openRequests(this.folder);
      const unsettled = open.length > 0 ? `request ${open[0]?.id} has no answer` : checks.unsettled();
      if (unsettled === undefined) {
        checks.settled();
        this.#isOver = true;
      } else if (scheduler.nowMs > troubledMs + healingMsMax) {
        checks.fail(0, `${unsettled}; the agents last ended with: ${wordsOf(this.#lastError)}`);
      } else scheduler.after(lookMs, () => this.#look());
    };
    void reader.run(ask);
  }

  readonly #configuration: Configuration = {
    name: 'shop',
    folder: '/simulated',
    sites: [
      { name: 'london', kind: 'postgres', url: '', role: 'peer' },
      { name: 'dublin', kind: 'postgres', url: '', role: 'peer' },
    ],
    primary: 'london',
    broker: { kind: 'log', folder: join('/simulated', 'log'), retentionMs: 0, retentionBytesMax: 0 },
    tables: [],
    objectives: {},
    guard: true,
    heartbeatMs: 500,
    walBudgetBytes: 2 ** 30,
    overBudget: 'warn',
    lagMsMax: 10_000,
    silenceMsMax: 4000,
  };
}

const wordsOf = (error: unknown): string =>
  error instanceof ChangeoverError
    ? `${error.code} ${error.message}`
    : error instanceof Error
      ? (error.stack ?? error.message)
      : 'nothing';
