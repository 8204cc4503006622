import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { RowList } from '../../src/change/net.ts';
import { type Cell, rowOf } from '../../src/change/row.ts';
import { isCode } from '../../src/error.ts';
import { copyText, parameters } from '../../src/target/postgres/copy-text.ts';

/** Reads the text format of COPY as the manual says, lines to cells. https://www.postgresql.org/docs/current/sql-copy.html */
function parse(text: Buffer): (Buffer | null)[][] {
  assert.ok(text.length === 0 || text.at(-1) === 0x0a, 'whole lines');
  return text
    .toString('latin1')
    .split('\n')
    .slice(0, -1)
    .map((line) => line.split('\t').map((field) => (field === String.raw`\N` ? null : unescape(field))));
}

const letters: Record<string, string> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' };
const unescape = (field: string): Buffer => {
  assert.ok(!field.includes('\r'), 'a carriage return would end the line');
  return Buffer.from(
    field.replaceAll(/\\(.)/g, (_, letter: string) => letters[letter] ?? letter),
    'latin1',
  );
};

function written(rows: readonly (readonly Cell[])[], columns: readonly number[], prefix = ''): Buffer[] {
  const list = new RowList();
  for (const cells of rows) {
    const row = rowOf(cells);
    // Somewhere in a buffer, as rows lie.
    list.push(Buffer.concat([Buffer.from('before'), row, Buffer.from('behind')]), 6, 6 + row.length);
  }
  return [...copyText(list, prefix, columns)];
}

const awkward = fc.constantFrom('\\', '\\N', '\\.', '\t', '\n', '\r', '', '🎞', '\b\f\v', 'NULL', '"');
const value = fc.oneof(
  fc.array(fc.oneof(awkward, fc.string())).map((parts) => Buffer.from(parts.join(''))),
  fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
  // Long ones are gone through another way.
  fc
    .array(fc.tuple(fc.constantFrom('x', 'ü', '\t', '\n', '\r', '\\'), fc.nat(90)), { minLength: 3, maxLength: 12 })
    .map((runs) => Buffer.from(runs.map(([letter, times]) => letter.repeat(times)).join(''))),
);
const cell = fc.oneof({ arbitrary: value, weight: 3 }, fc.constant(null));
/** Rows of one width, and some of their columns, ascending. */
const given = fc
  .integer({ min: 1, max: 12 })
  .chain((width) =>
    fc.tuple(
      fc.array(fc.array(cell, { minLength: width, maxLength: width }), { maxLength: 8 }),
      fc.subarray([...Array(width).keys()], { minLength: 1 }),
    ),
  );

test('a reader of COPY text gets back every value, null and empty kept apart', () => {
  fc.assert(
    fc.property(given, ([rows, columns]) => {
      const back = parse(Buffer.concat(written(rows, columns)));
      assert.deepEqual(
        back,
        rows.map((row) => columns.map((column) => row[column])),
      );
    }),
  );
});

test('a prefix stands before every line as it is', () => {
  const back = parse(Buffer.concat(written([[Buffer.from('a')], [null]], [0], '17\t')));
  assert.deepEqual(back, [
    [Buffer.from('17'), Buffer.from('a')],
    [Buffer.from('17'), null],
  ]);
});

test('an unchanged cell is written as null', () => {
  assert.deepEqual(parse(Buffer.concat(written([['unchanged', Buffer.from('a')]], [0, 1]))), [
    [null, Buffer.from('a')],
  ]);
});

test('rows of no columns are empty lines', () => {
  assert.equal(Buffer.concat(written([[], []], [])).toString(), '\n\n');
  assert.equal(Buffer.concat(written([[null]], [])).toString(), '\n');
});

test('chunks hold whole lines, also where a line is longer than a chunk or ends with one', () => {
  const long = Buffer.alloc(300_000, '\n');
  const rows = [[null], [long], [Buffer.alloc(131_072 - 4, '\t')], [Buffer.from('x')]];
  const chunks = written(rows, [0]);
  assert.ok(chunks.length > 1);
  assert.deepEqual(
    chunks.flatMap((chunk) => parse(chunk)),
    rows,
  );
});

test('few rows take no more room than they need', () => {
  const [text] = written([[Buffer.from('a')], [Buffer.from('b')]], [0], '17\t');
  const pooled = 64 * 1024;
  assert.ok(text && text.buffer.byteLength <= pooled, `${text?.buffer.byteLength} bytes for two lines`);
});

test('rows that are all nulls fit wherever a chunk ends', () => {
  const width = 40;
  const columns = [...Array(width).keys()];
  const nulls = columns.map((): Cell => null);
  const rows = Array.from({ length: 2300 }, () => nulls);
  // A first line of any length moves the place where the chunk ends through a line of nulls.
  for (let shift = 0; shift < 3 * width; shift += 15) {
    const first = nulls.with(0, Buffer.alloc(shift, 'x'));
    const text = Buffer.concat(written([first, ...rows], columns));
    assert.equal(text.length, shift + 3 * width - 2 + rows.length * 3 * width);
    assert.ok(parse(text).every((line) => line.length === width));
  }
});

test('parameters are the cells of the columns asked for, and never an unchanged one', () => {
  fc.assert(
    fc.property(given, ([rows, columns]) => {
      for (const row of rows)
        assert.deepEqual(
          parameters(rowOf(row), columns),
          columns.map((column) => row[column]),
        );
    }),
  );
  assert.throws(
    () => parameters(rowOf([null, 'unchanged']), [0, 1]),
    (error) => isCode(error, 'ASSERTION'),
  );
});
