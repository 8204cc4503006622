import type { Acknowledged } from './acknowledged.ts';
import type { CarrierName } from './carriers.ts';
import type { Meter } from './measure.ts';
import { type KeptPart, partNamesOver } from './part.ts';
import type { Prover } from './recover.ts';
import type { Scene } from './view.ts';

/** What there is to look at, as far as it exists yet. */
export interface Backstage {
  readonly stage: 'starting' | 'copying' | 'flowing' | 'leaving';
  readonly doing: string;
  readonly carrier: CarrierName;
  readonly parts: readonly KeptPart[];
  readonly hasKeys: boolean;
  readonly flowsMs?: number;
  readonly meter?: Meter;
  readonly prover?: Prover;
  readonly acknowledged?: Acknowledged;
}

/** A part that is not there yet. */
const nowhere = { kind: 'waiting', forMs: 0, pid: undefined } as const;

export function sceneOf(
  { stage, doing, carrier, parts, hasKeys, flowsMs, meter, prover, acknowledged }: Backstage,
  nowMs: number,
): Scene {
  const lives = partNamesOver(carrier).map((name) => {
    const kept = parts.find(({ part }) => part.name === name);
    const shown = kept && { kind: kept.life.kind, forMs: nowMs - kept.life.sinceMs, pid: kept.part.pid() };
    return [name, shown ?? nowhere] as const;
  });
  return {
    stage: prover?.proving && stage === 'flowing' ? 'proving' : stage,
    doing,
    carrier,
    elapsedMs: flowsMs === undefined ? 0 : nowMs - flowsMs,
    parts: Object.fromEntries(lives) as Scene['parts'],
    rates: meter?.rates() ?? { transactions: 0, rows: 0, bytes: 0, applied: 0 },
    lagMs: meter?.lagMs,
    behindBytes: meter?.behindBytes(),
    historyMs: meter?.historyMs() ?? [],
    committed: acknowledged?.transactions ?? 0,
    applied: acknowledged?.visible ?? 0,
    atRisk: meter?.atRisk(),
    readings: meter?.readings ?? 0,
    torn: meter?.tornReadings ?? 0,
    tornWhat: meter?.torn ?? [],
    recoveries: prover?.recoveries ?? [],
    hasKeys,
  };
}
