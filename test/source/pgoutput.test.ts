import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { cells, rowOf } from '../../src/change/row.ts';
import type { Table } from '../../src/change/table.ts';
import { isCode } from '../../src/error.ts';
import { type Decoded, decodeMessage } from '../../src/source/postgres/pgoutput.ts';

/* Bytes as the manual lays them out: https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html */
const u8 = (value: number): Buffer => Buffer.from([value]);
const u16 = (value: number): Buffer => Buffer.from([value >> 8, value & 255]);
const u32 = (value: number): Buffer =>
  Buffer.from([value >>> 24, (value >> 16) & 255, (value >> 8) & 255, value & 255]);
const u64 = (value: bigint): Buffer => Buffer.concat([u32(Number(value >> 32n)), u32(Number(value & 0xffffffffn))]);
const text = (value: string): Buffer => Buffer.from(`${value}\0`);
const bytes = (...parts: (Buffer | string)[]): Buffer =>
  Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : part)));

const table: Table = {
  schema: 'public',
  name: 'orders',
  identity: 'key',
  columns: ['id', 'note', 'body'].map((name) => ({ name, type: 'text', key: name === 'id' })),
};
const other: Table = { ...table, name: 'lines' };
const tableOf = (oid: number): Table | undefined => ({ 16384: table, 16390: other })[oid];
/** A text is a value, unless it is the word for an unchanged one. */
const row = (...values: (string | null)[]): Buffer =>
  rowOf(values.map((value) => (value === null || value === 'unchanged' ? value : Buffer.from(value))));

const one = row('1', null, 'unchanged');
const two = row('2', 'a note', '');
const key = row('1', null, null);
const oid = u32(16384);

/** Of every kind: its bytes, and what they mean. */
const messages: readonly (readonly [Buffer, Decoded])[] = [
  [bytes('B', u64(0x1_0000_0002n), u64(5n), u32(0xffff_fffe)), { kind: 'begin', transaction: 0xffff_fffen }],
  [
    bytes('C', u8(0), u64(0x1_0000_0000n), u64(0x1_0000_0008n), u64(1_000_000n)),
    { kind: 'committed', end: 0x1_0000_0008n as never, committedAtUs: 946_684_801_000_000n },
  ],
  [bytes('I', oid, 'N', two), { kind: 'insert', table, after: two }],
  [bytes('U', oid, 'N', one), { kind: 'update', table, before: undefined, after: one }],
  [bytes('U', oid, 'K', key, 'N', two), { kind: 'update', table, before: key, after: two }],
  [bytes('U', oid, 'O', two, 'N', one), { kind: 'update', table, before: two, after: one }],
  [bytes('D', oid, 'K', key), { kind: 'delete', table, before: key }],
  [bytes('D', oid, 'O', two), { kind: 'delete', table, before: two }],
  [
    bytes('T', u32(2), u8(3), oid, u32(16390)),
    { kind: 'truncate', tables: [table, other], cascade: true, restartIdentity: true },
  ],
  [bytes('T', u32(1), u8(0), oid), { kind: 'truncate', tables: [table], cascade: false, restartIdentity: false }],
  [
    bytes('M', u8(1), u64(9n), text('changeover'), u32(4), 'beat'),
    { kind: 'logical message', transactional: true, prefix: 'changeover', content: Buffer.from('beat') },
  ],
  [
    bytes('M', u8(0), u64(9n), text(''), u32(0)),
    { kind: 'logical message', transactional: false, prefix: '', content: Buffer.alloc(0) },
  ],
  [
    bytes(
      'R',
      oid,
      text('Größe'),
      text('a "b"'),
      'd',
      u16(2),
      u8(1),
      text('id'),
      u32(23),
      u32(0xffff_ffff),
      u8(0),
      text('ß'),
      u32(25),
      u32(5),
    ),
    {
      kind: 'relation',
      oid: 16384,
      schema: 'Größe',
      name: 'a "b"',
      identity: 'key',
      columns: [
        { name: 'id', key: true, typeOid: 23, typmod: -1 },
        { name: 'ß', key: false, typeOid: 25, typmod: 5 },
      ],
    },
  ],
];

/** As it comes: behind the 25 bytes of the frame around it, and with what follows it. */
const framed = (message: Buffer): Buffer => Buffer.concat([Buffer.alloc(25, 0x77), message, Buffer.alloc(40, 0x6e)]);
const decode = (message: Buffer): Decoded => decodeMessage(framed(message), 25, 25 + message.length, tableOf);
const refused = (error: unknown): boolean => isCode(error, 'SOURCE_PROTOCOL');

test('every kind of message means what the manual says', () => {
  for (const [message, meaning] of messages) assert.deepEqual(decode(message), meaning);
});

test('the identity of a relation is whole, or its key columns, or nothing', () => {
  const relation = (replica: string, keyed: boolean): Decoded =>
    decode(bytes('R', oid, text(''), text('t'), replica, u16(1), u8(keyed ? 1 : 0), text('id'), u32(23), u32(0)));
  const identityOf = (decoded: Decoded) => (decoded.kind === 'relation' ? decoded.identity : undefined);
  assert.deepEqual(
    [relation('f', true), relation('d', true), relation('i', true), relation('d', false), relation('n', false)].map(
      identityOf,
    ),
    ['full', 'key', 'key', 'none', 'none'],
  );
  const decoded = relation('d', true);
  assert.equal(decoded.kind === 'relation' && decoded.schema, 'pg_catalog');
});

test('the name of a type and the origin of a transaction say nothing that is kept', () => {
  assert.deepEqual(decode(bytes('Y', oid, text('public'), text('mood'))), {
    kind: 'type',
    oid: 16384,
    schema: 'public',
    name: 'mood',
  });
  assert.deepEqual(decode(bytes('O', u64(1n), text('elsewhere'))), { kind: 'nothing' });
});

test('a message of an unknown type is refused, those of later protocol versions too', () => {
  for (const letter of ['S', 'E', 'c', 'A', 'b', 'P', 'K', 'r', 'p', 'x', '\0', 'ÿ'])
    assert.throws(() => decode(bytes(letter, Buffer.alloc(40))), refused);
});

test('a message cut short anywhere, or followed by something, is refused', () => {
  for (const [message] of messages) {
    for (let length = 0; length < message.length; length += 1)
      assert.throws(() => decode(message.subarray(0, length)), refused, `${message.toString('latin1')} at ${length}`);
    assert.throws(() => decode(bytes(message, u8(0))), refused);
  }
});

test('a change of a relation that was never announced, or of another shape, is refused', () => {
  assert.throws(() => decode(bytes('I', u32(1), 'N', two)), refused);
  assert.throws(() => decode(bytes('I', oid, 'N', row('1'))), refused);
  assert.throws(() => decode(bytes('U', oid, 'K', row('1'), 'N', two)), refused);
  assert.throws(() => decode(bytes('T', u32(1), u8(0), u32(1))), refused);
});

test('a letter or a kind of cell that does not belong there is refused', () => {
  assert.throws(() => decode(bytes('I', oid, 'K', two)), refused);
  assert.throws(() => decode(bytes('D', oid, 'N', two)), refused);
  assert.throws(() => decode(bytes('U', oid, 'X', two)), refused);
  assert.throws(() => decode(bytes('U', oid, 'K', key, 'K', two)), refused);
  // A binary value: we ask for text.
  assert.throws(() => decode(bytes('I', oid, 'N', u16(3), 'n', 'n', 'b', u32(1), 'x')), refused);
});

test('whatever bytes come, they decode or are refused', () => {
  const letters = fc.constantFrom(...Buffer.from('BCIUDTMRYO'));
  fc.assert(
    fc.property(letters, fc.uint8Array({ maxLength: 60 }), (letter, rest) => {
      try {
        const decoded = decode(Buffer.from([letter, ...rest]));
        if (decoded.kind === 'insert') assert.equal([...cells(decoded.after)].length, 3);
      } catch (error) {
        assert.ok(refused(error), String(error));
      }
    }),
    { numRuns: 3000 },
  );
});
