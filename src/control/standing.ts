import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { epoch, type Offset, offset, type Position } from '../change/position.ts';
import type { Standing } from './state.ts';

/** The standing behind the journal up to an entry: what spares reading all of the log, and what is left of entries that it forgot. The
 *  log is right where it has more. */
export interface KeptStanding {
  readonly stream: string;
  /** The first entry that is not in it. */
  readonly next: Offset;
  readonly standing: Standing;
}

const format = 'changeover.standing/1';
const fileIn = (folder: string): string => join(folder, 'standing.json');

/** Replaces the file as a whole. One writer, one call at a time. */
export async function keepStanding(folder: string, kept: KeptStanding): Promise<void> {
  const file = fileIn(folder);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const text = JSON.stringify({ format, ...kept }, (_, value: unknown) =>
    typeof value === 'bigint' ? String(value) : value,
  );
  await writeFile(`${file}.new`, `${text}\n`, { mode: 0o600, flush: true });
  await rename(`${file}.new`, file);
}

/** Undefined: nothing was ever kept, or it cannot be read; then the log is read instead. */
export async function keptStanding(folder: string): Promise<KeptStanding | undefined> {
  const text = await readFile(fileIn(folder), 'utf8').catch(() => '');
  try {
    const { format: found, stream, next, standing } = JSON.parse(text) as Written;
    if (found !== format) return undefined;
    const { move, beginning } = standing;
    const at = beginning && { offset: offset(beginning.offset), position: readPosition(beginning.position) };
    const kept = { ...standing, epoch: epoch(standing.epoch), move, beginning: at };
    return { stream, next: offset(next), standing: kept };
  } catch {
    return undefined;
  }
}

/** As JSON has it. */
interface Written {
  readonly format: unknown;
  readonly stream: string;
  readonly next: number;
  readonly standing: Omit<Standing, 'epoch' | 'beginning'> & {
    readonly epoch: number;
    readonly beginning?: { readonly offset: number; readonly position: WrittenPosition };
  };
}

export type WrittenPosition = Readonly<Record<keyof Position, string>>;

export const readPosition = ({ origin, order, token }: WrittenPosition): Position => ({
  origin,
  order: BigInt(order),
  token,
});
