/** Milliseconds to wait before try number `attempt` (from 1): doubling from `firstMs` to `mostMs`, with full jitter in its upper
 *  half, so that many waiters do not return in step. `chance` in [0, 1). */
export function backoffMs(attempt: number, chance: number, { firstMs = 100, mostMs = 15_000 } = {}): number {
  const ceiling = Math.min(mostMs, firstMs * 2 ** Math.min(attempt - 1, 30));
  return Math.round(ceiling / 2 + (ceiling / 2) * chance);
}
