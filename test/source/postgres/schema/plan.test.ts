import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dependenciesOf } from '../../../../src/source/postgres/schema/dependencies.ts';
import type { Item } from '../../../../src/source/postgres/schema/item.ts';
import { type Plan, plan } from '../../../../src/source/postgres/schema/plan.ts';

/** Addresses: 1259 is a relation, 1255 a routine, 1247 a type, 2618 a rule, 3079 an extension. */
const item = (id: string, kind: Item['kind'], more: Partial<Item> = {}): Item => ({
  id,
  kind,
  object: `${kind} ${id}`,
  sql: id,
  ...more,
});
const planned = (items: readonly Item[], edges: Record<string, string> = {}): Plan =>
  plan(items, dependenciesOf(new Map(Object.entries(edges))));
const sql = ({ beforeRows, afterRows }: Plan): string =>
  [beforeRows, afterRows].map((part) => part.map((statement) => statement.sql).join(' ')).join(' | ');

const table = item('1259/20000', 'table');
const routine = item('1255/20001', 'routine');
const view = item('1259/20002', 'view');

test('routines go before the rows, views after them', () => {
  assert.equal(sql(planned([view, table, routine])), '1255/20001 1259/20000 | 1259/20002');
});

test('a routine that needs a view goes after the rows, together with it', () => {
  const edges = { '1255/20001': 'n1259/20002' };
  assert.equal(sql(planned([view, table, routine], edges)), '1259/20000 | 1259/20002 1255/20001');
});

test('a view that a table needs by way of a routine goes before the rows', () => {
  const edges = { '1255/20001': 'n1259/20002', '1259/20000': 'n1255/20001' };
  assert.equal(sql(planned([view, table, routine], edges)), '1259/20002 1255/20001 1259/20000 | ');
});

test('a need for a part is a need for the whole: an array of a row type is the table', () => {
  const edges = { '1255/20001': 'n1247/20010', '1247/20010': 'i1247/20011', '1247/20011': 'i1259/20000' };
  assert.equal(sql(planned([table, routine], edges)), '1259/20000 1255/20001 | ');
});

test('what needs something that no item makes is dropped with all that needs it in turn', () => {
  const edges = { '1255/20001': 'n1247/20099', '1259/20002': 'n1255/20001' };
  const result = planned([table, routine, view], edges);
  assert.equal(sql(result), '1259/20000 | ');
  assert.deepEqual(
    result.dropped.map(({ item, missing }) => [item.id, missing]),
    [
      ['1255/20001', '1247/20099'],
      ['1259/20002', '1255/20001'],
    ],
  );
});

test('what initdb made needs no item', () => {
  assert.equal(sql(planned([table], { '1259/20000': 'n1255/1000' })), '1259/20000 | ');
});

test('an item goes unmentioned with the one it belongs to', () => {
  const comment = item('1259/20050#comment 0', 'comment', { of: '1259/20050' });
  assert.deepEqual(planned([table, comment]).dropped, []);
  assert.equal(sql(planned([table, comment])), '1259/20000 | ');
});

test('an item that is only made where it is needed is made only there', () => {
  const sequence = item('1259/20003', 'sequence', { onlyIfNeeded: true });
  const value = item('1259/20003#setval', 'setval', { of: '1259/20003' });
  assert.equal(sql(planned([table, sequence, value])), '1259/20000 | ');
  const edges = { '1259/20000': 'n1247/20004', '1247/20004': 'i1259/20003' };
  assert.equal(sql(planned([table, sequence, value], edges)), '1259/20003 1259/20000 | 1259/20003#setval');
});

test('a circle is opened where a view can be made in two steps', () => {
  const columns = item('1259/20002', 'view', { sql: 'columns' });
  const query = item('2618/20005', 'view', { sql: 'query', of: '1259/20002' });
  const edges = { '2618/20005': 'i1259/20002 n1255/20001', '1255/20001': 'n1259/20002' };
  const result = planned([routine, { ...view, apart: () => [columns, query] }], edges);
  assert.equal(sql(result), ' | columns 1255/20001 query');
});

test('a circle that cannot be opened is dropped, and what stands beside it stays', () => {
  const other = item('1255/20006', 'routine');
  const result = planned([table, routine, other], { '1255/20001': 'n1255/20006', '1255/20006': 'n1255/20001' });
  assert.equal(sql(result), '1259/20000 | ');
  assert.deepEqual(
    result.dropped.map(({ missing }) => missing),
    [undefined, undefined],
  );
});

test('a materialized view is filled after those that it reads by way of views', () => {
  const items = ['1259/30001', '1259/30003'].flatMap((id) => [
    item(id, 'view', { object: `view ${9 - Number(id.at(-1))}` }),
    item(`${id}#refresh`, 'refresh', { of: id, object: id }),
  ]);
  const between = item('1259/30002', 'view');
  const edges = {
    '2618/1': 'i1259/30001 n1259/30002',
    '2618/2': 'i1259/30002 n1259/30003',
  };
  assert.equal(
    sql(planned([...items, between], edges)),
    ' | 1259/30003 1259/30002 1259/30001 1259/30003#refresh 1259/30001#refresh',
  );
});
