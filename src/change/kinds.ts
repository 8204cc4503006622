import type { Change } from './change.ts';

/** The first byte of a change in a batch's bytes: see codec.ts. */
export const kinds = {
  insert: 1,
  update: 2,
  delete: 3,
  truncate: 4,
  message: 5,
  commit: 6,
  snapshot: 7,
  schema: 8,
  rows: 9,
  ddl: 10,
  clear: 11,
  control: 12,
  sealed: 13,
  sequences: 14,
} as const satisfies Record<Change['kind'], number>;
