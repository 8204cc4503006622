import { type CopyProgress, type Role, writeLife } from '../control/agents.ts';
import { copyWords } from '../control/words.ts';
import type { Life } from '../flow/supervise.ts';
import { subscribe } from '../telemetry.ts';

/** A line about an agent, for people. */
export type Report = (line: string) => void;

export interface LifeToldOptions {
  readonly folder: string;
  readonly role: Role;
  readonly site: string;
  readonly report: Report;
}

const rateMs = 5000;

/** Tells what an agent lives through: to people as lines, to `status` as a file. */
export class LifeTold implements AsyncDisposable {
  readonly #options: LifeToldOptions;
  readonly #opened = new DisposableStack();
  #writing: Promise<void> = Promise.resolve();
  #life: Life | undefined;
  #sinceMs = Date.now();
  #walBytesPerSecond: number | undefined;
  #copy: CopyProgress | undefined;
  #lived = false;

  constructor(options: LifeToldOptions) {
    this.#options = options;
    if (options.role === 'capture') {
      this.#watchRate();
      this.#watchCopy();
    }
    // What a former process left must not pass for the present.
    this.#life = { state: 'running' };
    this.#write();
  }

  /** Whether the agent ever came to work, or had a reason to wait for it. */
  get hasLived(): boolean {
    return this.#lived;
  }

  tell(life: Life): void {
    const { role, site, report } = this.#options;
    const before = this.#life;
    this.#life = life;
    this.#sinceMs = Date.now();
    this.#lived ||= life.state !== 'stopped';
    this.#write();
    const error = life.state === 'running' ? undefined : life.error;
    // The same trouble again is not news.
    if (life.state === 'retrying' && before?.state === 'retrying' && before.error.code === life.error.code) return;
    report(`${role} ${site}: ${life.state}${error ? `: ${error.code} ${error.message}` : ''}`);
    if (error) report(`  hint: ${error.hint}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#opened.dispose();
    await this.#writing;
  }

  /** How fast the primary's log grows, from the positions that are captured: for the forecast of what it keeps for us. */
  #watchRate(): void {
    let last: { readonly order: bigint; readonly atMs: number } | undefined;
    const subscription = subscribe('changeover:captured', ({ end }) => {
      const atMs = performance.now();
      if (!end) return;
      if (last && atMs - last.atMs < rateMs) return;
      if (last) {
        this.#walBytesPerSecond = Math.round(Number(end.order - last.order) / ((atMs - last.atMs) / 1000));
        this.#write();
      }
      last = { order: end.order, atMs };
    });
    this.#opened.use(subscription);
  }

  /** How far the first copy is: now and then to people, and to `status`. Over with the first whole batch. */
  #watchCopy(): void {
    const { role, site, report } = this.#options;
    let startedAtMs = 0;
    let toldAtMs = 0;
    const copying = subscribe('changeover:copying', ({ rows, bytes, bytesAll }) => {
      const atMs = performance.now();
      if (bytes === 0) [startedAtMs, toldAtMs] = [atMs, atMs];
      const isDue = this.#copy === undefined || atMs - toldAtMs >= rateMs;
      const bytesPerSecond = atMs > startedAtMs ? (1000 * bytes) / (atMs - startedAtMs) : 0;
      this.#copy = { rows, bytes, bytesAll, bytesPerSecond };
      if (!isDue) return;
      if (bytes > 0) report(`${role} ${site}: copied ${copyWords(this.#copy)}`);
      toldAtMs = atMs;
      this.#write();
    });
    const captured = subscribe('changeover:captured', ({ end }) => {
      if (!end || !this.#copy) return;
      this.#copy = undefined;
      this.#write();
    });
    this.#opened.use(copying);
    this.#opened.use(captured);
  }

  #write(): void {
    const life = this.#life;
    if (!life) return;
    const { folder, role, site, report } = this.#options;
    const news = {
      role,
      site,
      state: life.state,
      sinceMs: this.#sinceMs,
      ...(life.state !== 'running' && life.error && { error: life.error }),
      ...(this.#walBytesPerSecond !== undefined && { walBytesPerSecond: this.#walBytesPerSecond }),
      ...(this.#copy && { copy: this.#copy }),
    };
    // One after the other, and never in the way of the data: a life file is a hint.
    this.#writing = this.#writing
      .then(() => writeLife(folder, news))
      .catch((error: unknown) => report(`${role} ${site}: its life file cannot be written: ${String(error)}`));
  }
}
