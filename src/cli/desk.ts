import { styleText } from 'node:util';
import type { House } from './house.ts';

type Format = Parameters<typeof styleText>[0];

/** Where a command is run from: what it reads besides its arguments, and where it writes. */
export interface Desk {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Whether a person watches: then a view may be drawn anew in place. */
  readonly isTerminal: boolean;
  readonly colour: boolean;
  out(text: string): void;
  err(text: string): void;
}

/** Everything that a command needs. */
export interface Session {
  readonly house: House;
  readonly desk: Desk;
  /** Aborts when the user wants to stop. */
  readonly signal: AbortSignal;
}

export const processDesk = (): Desk => ({
  cwd: process.cwd(),
  env: process.env,
  isTerminal: process.stdout.isTTY,
  // https://no-color.org
  colour: process.stdout.isTTY && !process.env.NO_COLOR,
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
});

export const paint = (desk: Desk, format: Format, text: string): string =>
  desk.colour ? styleText(format, text, { validateStream: false }) : text;

/** One line of JSON; positions and other big numbers as text. */
export function outJson(desk: Desk, value: unknown): void {
  const text = JSON.stringify(value, (_, item: unknown) => (typeof item === 'bigint' ? String(item) : item));
  desk.out(`${text}\n`);
}

/** Rows of cells as columns two spaces apart, indented; the last cell of a row is never padded. */
export function aligned(rows: readonly (readonly string[])[], indent = '  '): string {
  const widths: number[] = [];
  for (const row of rows)
    row.slice(0, -1).forEach((cell, column) => (widths[column] = Math.max(widths[column] ?? 0, cell.length)));
  return rows
    .map((row) => {
      const cells = row.map((cell, column) => (column < row.length - 1 ? cell.padEnd(widths[column] ?? 0) : cell));
      return `${indent}${cells.join('  ')}`.trimEnd();
    })
    .join('\n')
    .concat(rows.length > 0 ? '\n' : '');
}

/** Text from elsewhere without the characters that could steer a terminal. Line breaks and tabs stay. */
export const tame = (text: string): string =>
  text.replaceAll(/[^\P{Cc}\n\t]/gu, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`);
