import { type Offset, offset } from '../change/position.ts';
import { ChangeoverError, type Code, isCode } from '../error.ts';
import type { BrokerObservation, BrokerReader } from './broker.ts';

export interface CarriedCounts {
  /** Always 0: how a server divides its files is its own business. */
  readonly segments: number;
  readonly entries: number;
  readonly bytes: number;
}

export type CarriedFinding =
  | {
      readonly kind: 'broken';
      readonly total: CarriedCounts;
      readonly segment: Offset;
      readonly offset: Offset;
      readonly position: number;
      readonly why: string;
    }
  | {
      readonly kind: 'whole';
      readonly stream: string;
      readonly first: Offset;
      readonly state: Pick<BrokerObservation, 'next' | 'end'>;
      readonly total: CarriedCounts;
    };

const brokenCodes: readonly Code[] = ['BROKER_CORRUPT', 'BROKER_GAP', 'BROKER_TAMPERED', 'BROKER_NOT_SEALED'];

/** Reads every entry that a remote broker holds at this moment. */
export async function* verifyCarried(reader: BrokerReader, signal: AbortSignal): AsyncGenerator<CarriedFinding, void> {
  const { stream, first, next, bytes, end } = await reader.observe();
  let entries = 0;
  try {
    if (next > first)
      for await (const entry of reader.read(first, signal)) {
        entries += 1;
        if (entry.offset === next - 1) break;
      }
  } catch (error) {
    if (!(error instanceof ChangeoverError) || !isCode(error, ...brokenCodes)) throw error;
    const broken = { segment: first, offset: offset(first + entries), position: 0, why: error.message };
    yield { kind: 'broken', total: { segments: 0, entries, bytes: 0 }, ...broken };
    return;
  }
  signal.throwIfAborted();
  yield { kind: 'whole', stream, first, state: { next, end }, total: { segments: 0, entries, bytes } };
}
