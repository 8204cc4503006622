import { assert } from '../error.ts';
import {
  encodeRecord,
  entryBytesMax,
  overheadBytesMax,
  type PackedEntry,
  type StreamState,
  stateAfter,
} from './record.ts';

export interface Packing {
  readonly stream: string;
  readonly term: number;
  readonly before: StreamState;
  readonly recordBytesMax: number;
}

/** Entries as records: small ones share a record, one that is too large is divided among several. */
export function pack(
  entries: readonly PackedEntry[],
  { stream, term, before, recordBytesMax }: Packing,
): { readonly records: readonly Buffer[]; readonly after: StreamState } {
  const records: Buffer[] = [];
  let together: PackedEntry[] = [];
  let togetherBytes = 0;
  let state = before;
  const close = (): void => {
    if (together.length === 0) return;
    records.push(encodeRecord({ kind: 'entries', stream, term, before: state, entries: together }));
    for (const { epoch, end, payload } of together) state = stateAfter(state, { epoch, end, bytes: payload.length });
    together = [];
    togetherBytes = 0;
  };
  for (const entry of entries) {
    const bytes = entryBytesMax(entry);
    const overhead = overheadBytesMax(state, entry.end);
    if (togetherBytes + bytes + overhead > recordBytesMax) close();
    if (bytes + overhead > recordBytesMax) {
      const { epoch, end, payload } = entry;
      const sliceBytes = recordBytesMax - overhead;
      assert(sliceBytes > 0, `A record of at most ${recordBytesMax} bytes has no room for a payload`);
      const count = Math.ceil(payload.length / sliceBytes);
      const whole = {
        kind: 'part',
        stream,
        term,
        before: state,
        count,
        wholeBytes: payload.length,
        epoch,
        end,
      } as const;
      for (let index = 0; index < count; index += 1) {
        const slice = payload.subarray(index * sliceBytes, (index + 1) * sliceBytes);
        records.push(encodeRecord({ ...whole, index, slice }));
      }
      state = stateAfter(state, { epoch, end, bytes: payload.length });
    } else {
      together.push(entry);
      togetherBytes += bytes;
    }
  }
  close();
  return { records, after: state };
}
