import { setTimeout as sleep } from 'node:timers/promises';
import { ChangeoverError } from '../error.ts';
import { backoffMs } from './backoff.ts';

export type Life =
  | { readonly state: 'running' }
  | { readonly state: 'retrying'; readonly error: ChangeoverError; readonly attempt: number; readonly waitMs: number }
  | { readonly state: 'stopped'; readonly error: ChangeoverError | undefined };

export interface SuperviseOptions {
  /** Runs until it fails or `signal` aborts. `progressed` tells that it works: the next failure starts from the shortest wait. */
  readonly run: (progressed: () => void, signal: AbortSignal) => Promise<void>;
  readonly onLife: (life: Life) => void;
}

/** Keeps a loop alive: tries again what can heal, with backoff and jitter, and throws what cannot. Resolves when `signal` aborts. */
export async function supervise({ run, onLife }: SuperviseOptions, signal: AbortSignal): Promise<void> {
  let attempt = 0;
  while (!signal.aborted) {
    let running = false;
    const progressed = (): void => {
      if (running) return;
      running = true;
      attempt = 0;
      onLife({ state: 'running' });
    };
    try {
      await run(progressed, signal);
      if (signal.aborted) break;
      throw new ChangeoverError('ASSERTION', 'A loop ended by itself');
    } catch (cause) {
      if (signal.aborted) break;
      const error =
        cause instanceof ChangeoverError ? cause : new ChangeoverError('ASSERTION', describe(cause), { cause });
      if (error.action !== 'retry') {
        onLife({ state: 'stopped', error });
        throw error;
      }
      attempt += 1;
      const waitMs = backoffMs(attempt, Math.random());
      onLife({ state: 'retrying', error, attempt, waitMs });
      await sleep(waitMs, undefined, { signal }).catch(() => undefined);
    }
  }
  onLife({ state: 'stopped', error: undefined });
}

const describe = (cause: unknown): string =>
  cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
