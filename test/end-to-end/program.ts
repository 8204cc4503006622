import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { commandLine } from '../../src/cli/command-line.ts';
import { house } from '../../src/main.ts';
import type { Sides } from './sides.ts';

const program = fileURLToPath(new URL('../../bin/changeover', import.meta.url));
/** Where Node keeps what it made of the sources, where the run of the tests said so. */
const { NODE_COMPILE_CACHE } = process.env;
const compiled = NODE_COMPILE_CACHE === undefined ? {} : { NODE_COMPILE_CACHE };
/** Far beyond what any of it takes on a busy machine: who waits longer waits for what will not come. */
const deadlineMs = 60_000;

export interface Outcome {
  readonly exitCode: number | null;
  readonly out: string;
  readonly err: string;
}

/** `bin/changeover` at work. Killed by dispose where it still runs. */
export class Running implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;
  #out = '';
  #err = '';
  #heard: PromiseWithResolvers<void> = Promise.withResolvers();

  constructor(cwd: string, words: readonly string[]) {
    // As a user starts it: its first line says how Node is to be run. Ours must be the Node that it finds.
    this.#child = spawn(program, [...words], {
      cwd,
      env: { PATH: `${dirname(process.execPath)}:${process.env.PATH}`, ...compiled },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => this.#hear(() => (this.#out += text)));
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => this.#hear(() => (this.#err += text)));
    this.#ended = once(this.#child, 'close').then(() => this.#hear(() => undefined));
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get runs(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  get out(): string {
    return this.#out;
  }

  /** Resolves once its standard output matches from `from` (a length of it) on. Fails when it ends before, or never says it. */
  async says(pattern: RegExp, from = 0): Promise<void> {
    const untilMs = performance.now() + deadlineMs;
    while (!pattern.test(this.#out.slice(from))) {
      const told = `\n${this.#out.slice(from)}${this.#err}`;
      assert.ok(this.runs, `It ended (${this.#child.exitCode}) without saying ${pattern}${told}`);
      assert.ok(performance.now() < untilMs, `It never said ${pattern}${told}`);
      await Promise.race([this.#heard.promise, sleep(1000)]);
    }
  }

  /** Waits for its end. */
  async ended(msMax = deadlineMs): Promise<Outcome> {
    const late = AbortSignal.timeout(msMax);
    const onLate = (): void => void this.#child.kill('SIGKILL');
    late.addEventListener('abort', onLate);
    await this.#ended;
    late.removeEventListener('abort', onLate);
    assert.ok(!late.aborted, `It did not end\n${this.#out}${this.#err}`);
    return { exitCode: this.#child.exitCode, out: this.#out, err: this.#err };
  }

  stop(signal: 'SIGTERM' | 'SIGKILL'): Promise<Outcome> {
    this.#child.kill(signal);
    return this.ended();
  }

  /** The most memory that it ever had, in bytes. */
  async peakBytes(): Promise<number> {
    const status = await readFile(`/proc/${this.pid}/status`, 'utf8');
    return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.runs) this.#child.kill('SIGKILL');
    await this.#ended;
  }

  #hear(take: () => void): void {
    take();
    this.#heard.resolve();
    this.#heard = Promise.withResolvers();
  }
}

/** A folder that Changeover is used in. Nothing of it is left after dispose. */
export class Desk implements AsyncDisposable {
  readonly folder: string;
  readonly #started: Running[] = [];

  constructor(folder: string) {
    this.folder = folder;
  }

  /** Starts what runs until it is stopped. */
  start(...words: readonly string[]): Running {
    const running = new Running(this.folder, words);
    this.#started.push(running);
    return running;
  }

  /** Starts `changeover replicate`; resolves once the other commands find their way here. */
  async replicate({ primary, secondary }: Sides, ...words: readonly string[]): Promise<Running> {
    const running = this.start('replicate', primary, secondary, ...words);
    await running.says(/state in /);
    return running;
  }

  /** Runs a command to its end. */
  run(...words: readonly string[]): Promise<Outcome> {
    return this.start(...words).ended();
  }

  /** Runs a command with --json, and reads its last line. */
  async ask(...words: readonly string[]): Promise<Record<string, unknown> & { readonly exitCode: number | null }> {
    const { out, err, exitCode } = await this.run(...words, '--json');
    assert.equal(err, '');
    return { ...(JSON.parse(out.trim().split('\n').at(-1) ?? '') as Record<string, unknown>), exitCode };
  }

  /** As `changeover wait --caught-up` does, but within this process: a start of the program takes longer than most of these waits. */
  async caughtUp(seconds = 50): Promise<void> {
    const said: string[] = [];
    const take = (text: string): void => void said.push(text);
    const desk = { cwd: this.folder, env: {}, isTerminal: false, colour: false, out: take, err: take };
    const words = ['wait', '--caught-up', '--timeout', String(seconds)];
    const exitCode = await commandLine({ house, words, desk }, AbortSignal.timeout((seconds + 10) * 1000));
    const told = this.#started.map((running) => running.out);
    assert.equal(exitCode, 0, [...said, ...told].join(''));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const running of this.#started) await running[Symbol.asyncDispose]();
    await rm(this.folder, { recursive: true, force: true });
  }
}

export const openDesk = async (): Promise<Desk> => new Desk(await mkdtemp(join(tmpdir(), 'changeover-e2e-')));

/** Asks again and again until the answer is yes. Fails after a deadline that no healthy machine needs. */
export async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  const untilMs = performance.now() + deadlineMs;
  while (!(await isSo())) {
    assert.ok(performance.now() < untilMs, `It never came to it that ${what}`);
    await sleep(50);
  }
}
