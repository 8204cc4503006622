/* The text format of COPY, read. https://www.postgresql.org/docs/current/sql-copy.html (Text Format) */

const letters: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' };

/** Whole rows, each ended by a newline, as their values. */
export function parseCopyText(block: Buffer): (Buffer | null)[][] {
  // One character per byte: none of the format's own bytes is part of another character in UTF-8.
  const lines = block.toString('latin1').split('\n').slice(0, -1);
  return lines.map((line) => line.split('\t').map(valueOf));
}

const valueOf = (field: string): Buffer | null =>
  field === String.raw`\N`
    ? null
    : Buffer.from(
        field.replaceAll(/\\(.)/g, (_, letter: string) => letters[letter] ?? letter),
        'latin1',
      );
