import { epoch, offset, type Position } from '../../src/change/position.ts';
import type { AgentSeen, SecondaryStatus, Status } from '../../src/control/status.ts';
import { ChangeoverError, type Code } from '../../src/error.ts';
import type { Checkpoint } from '../../src/target/target.ts';

export const at = (order: number, origin = '77'): Position => ({ origin, order: BigInt(order), token: `0/${order}` });

export const checkpoint = (changes: Partial<Checkpoint> = {}): Checkpoint => ({
  stream: 'stream-1',
  epoch: epoch(1),
  offset: offset(9),
  position: at(1000),
  ...changes,
});

export const unknown = (code: Code) => {
  const { message, hint } = new ChangeoverError(code, 'it went wrong');
  return { known: false, trouble: { code, message, hint } } as const;
};

export const agent = (role: 'capture' | 'apply', changes: Partial<AgentSeen> = {}): AgentSeen => ({
  role,
  site: role === 'capture' ? 'london' : 'dublin',
  pid: 4711,
  host: 'here',
  state: 'running',
  sinceMs: 0,
  alive: true,
  ...changes,
});

export const nowMs = 1_000_000;

export interface Changes {
  readonly source?: Status['source'] | Partial<(Status['source'] & { known: true })['value']>;
  readonly log?: Status['log'] | Partial<(Status['log'] & { known: true })['value']>;
  readonly target?: SecondaryStatus['target'] | Partial<(SecondaryStatus['target'] & { known: true })['value']>;
  readonly secondary?: Partial<SecondaryStatus>;
  readonly agents?: readonly AgentSeen[];
}

/** A lane of london and dublin in which all is well, but for the changes. */
export function statusWith({ source, log, target, secondary, agents }: Changes = {}): Status {
  const known = <T extends object>(value: T, change: object | undefined) =>
    change && 'known' in change
      ? (change as { known: false; trouble: never })
      : { known: true as const, value: { ...value, ...change } };
  return {
    lane: { name: 'shop', primary: 'london', limits: { lagMsMax: 30_000, walBudgetBytes: 10 * 1024 ** 3 } },
    atMs: nowMs,
    source: known(
      {
        position: at(1200),
        acknowledged: at(1100),
        reading: true,
        retainedBytes: 2048,
        retainedBytesMax: undefined,
        kept: 'reserved',
        safeBytes: undefined,
        notCapturedBytes: 100,
      },
      source,
    ),
    log: known(
      {
        stream: 'stream-1',
        first: offset(0),
        next: offset(10),
        bytes: 5000,
        epoch: epoch(1),
        end: at(1000),
      },
      log,
    ),
    secondaries: [
      {
        site: 'dublin',
        target: known({ checkpoint: checkpoint(), writing: true, drifted: 0, setAside: [] }, target),
        notApplied: { entries: 0, bytes: 0 },
        appliedAtUs: { known: true, value: BigInt(nowMs - 300) * 1000n },
        ...secondary,
      },
    ],
    agents: agents ?? [agent('capture', { walBytesPerSecond: 1024 ** 2 }), agent('apply')],
  };
}
