import type { CopyProgress } from './agents.ts';

/** Quantities as people read them. Rounded: never parse them back, never decide by them. */

/** `0.3 s`, `12 s`, `3 h 10 m`, `2 d 4 h`. */
export function durationWords(ms: number): string {
  if (!Number.isFinite(ms)) return 'never';
  if (ms < 9950) return `${(Math.max(0, ms) / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 120) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return pair(hours, 'h', minutes % 60, 'm');
  return pair(Math.floor(hours / 24), 'd', hours % 24, 'h');
}

const pair = (large: number, largeUnit: string, small: number, smallUnit: string): string =>
  small === 0 ? `${large} ${largeUnit}` : `${large} ${largeUnit} ${small} ${smallUnit}`;

/** `0 B`, `1.2 kB`, `34 MB`; 1 kB is 1024 bytes, as PostgreSQL counts. */
export function bytesWords(bytes: number): string {
  let [value, unit] = [bytes, 'B'];
  for (const next of ['kB', 'MB', 'GB', 'TB']) {
    if (Math.abs(value) < 1000) break;
    [value, unit] = [value / 1024, next];
  }
  return unit === 'B' || Math.abs(value) >= 99.95 ? `${Math.round(value)} ${unit}` : `${value.toFixed(1)} ${unit}`;
}

/** `43 % (1.2 GB of 2.8 GB; 4,000,000 rows) at 80 MB/s, about 20 s left`. */
export function copyWords({ rows, bytes, bytesAll, bytesPerSecond }: CopyProgress): string {
  const percent = bytesAll > 0 ? Math.floor((100 * bytes) / bytesAll) : 100;
  const left = durationWords((1000 * (bytesAll - bytes)) / bytesPerSecond);
  const done = `${percent} % (${bytesWords(bytes)} of ${bytesWords(bytesAll)}; ${countWords(rows, 'row', 'rows')})`;
  return bytesPerSecond > 0 ? `${done} at ${bytesWords(bytesPerSecond)}/s, about ${left} left` : done;
}

/** `1 entry`, `1,204 entries`. */
export const countWords = (count: number, one: string, many: string): string =>
  `${grouped(count)} ${count === 1 ? one : many}`;

/** `1204567` as `1,204,567`, whatever the locale of the machine. */
export const grouped = (count: number): string => String(count).replaceAll(/\B(?=(\d{3})+$)/g, ',');
