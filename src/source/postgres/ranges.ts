/** Pages of a table from `from` up to `to`, without it. Undefined: from the first, or as far as they go. */
export interface Range {
  readonly from: number | undefined;
  readonly to: number | undefined;
}

/** What no range of `done` holds, in ascending order. Pure. */
export function gapsOf(done: readonly Range[]): readonly Range[] {
  const gaps: Range[] = [];
  let at: number | undefined = 0;
  for (const { from = 0, to } of done.toSorted((a, b) => (a.from ?? 0) - (b.from ?? 0))) {
    if (at === undefined) break;
    if (from > at) gaps.push({ from: at === 0 ? undefined : at, to: from });
    at = to === undefined ? undefined : Math.max(at, to);
  }
  if (at !== undefined) gaps.push({ from: at === 0 ? undefined : at, to: undefined });
  return gaps;
}
