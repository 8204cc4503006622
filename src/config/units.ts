const durations: readonly (readonly [string, number])[] = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
  ['ms', 1],
];
/** As PostgreSQL counts them: 1 kB = 1024 bytes. https://www.postgresql.org/docs/current/config-setting.html */
const sizes: readonly (readonly [string, number])[] = [
  ['TB', 1024 ** 4],
  ['GB', 1024 ** 3],
  ['MB', 1024 ** 2],
  ['kB', 1024],
  ['B', 1],
];

export const durationForm = 'a number and one of ms, s, m, h, d, for example 5s';
export const sizeForm = 'a number and one of B, kB, MB, GB, TB, for example 10GB';

/** `1.5s` is 1500. Undefined where the text is no duration. */
export const parseDurationMs = (text: string): number | undefined => parse(text, durations);

/** `10GB` is 10,737,418,240; the case of the unit does not matter. Undefined where the text is no size. */
export const parseSizeBytes = (text: string): number | undefined => parse(text, sizes);

/** The shortest exact form: `90m`, never `1.5h`. */
export const formatDurationMs = (value: number): string => format(value, durations);
export const formatSizeBytes = (value: number): string => format(value, sizes);

function parse(text: string, units: readonly (readonly [string, number])[]): number | undefined {
  const match = /^(\d+(?:\.\d+)?) ?([A-Za-z]+)$/.exec(text.trim());
  const factor = units.find(([unit]) => unit.toLowerCase() === match?.[2]?.toLowerCase())?.[1];
  if (match?.[1] === undefined || factor === undefined) return undefined;
  const value = Number(match[1]) * factor;
  return Number.isSafeInteger(value) ? value : undefined;
}

function format(value: number, units: readonly (readonly [string, number])[]): string {
  const [unit, factor] = units.find(([, factor]) => value >= factor && value % factor === 0) ?? units.at(-1) ?? ['', 1];
  return `${value / factor}${unit}`;
}
