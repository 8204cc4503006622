import assert from 'node:assert/strict';
import { test } from 'node:test';
import { array, assert as holds, nat, property } from 'fast-check';
import { type Node, orderByNeeds, reach } from '../../../../src/source/postgres/schema/order.ts';

const nodes = (needs: Record<string, string>): Node[] =>
  Object.entries(needs).map(([id, list]) => ({ id, needs: list.split('').filter(Boolean) }));

test('keeps the given order where no need speaks against it', () => {
  assert.deepEqual(orderByNeeds(nodes({ a: '', b: '', c: '' })).order, ['a', 'b', 'c']);
});

test('puts what is needed directly before what needs it', () => {
  assert.deepEqual(orderByNeeds(nodes({ a: 'd', b: '', c: '', d: 'c' })).order, ['c', 'd', 'a', 'b']);
});

test('passes over needs that are no nodes', () => {
  assert.deepEqual(orderByNeeds(nodes({ a: 'z' })), { order: ['a'], circles: [] });
});

test('names the members of a circle and no bystander', () => {
  assert.deepEqual(orderByNeeds(nodes({ a: 'b', b: 'c', c: 'bd', d: '' })).circles, [['b', 'c']]);
});

test('counts a node that needs itself as a circle of one', () => {
  assert.deepEqual(orderByNeeds(nodes({ a: 'a' })).circles, [['a']]);
});

test('orders a chain of 100,000', () => {
  const chain = Array.from({ length: 100_000 }, (_, n): Node => ({ id: `${n}`, needs: [`${n + 1}`] }));
  assert.equal(orderByNeeds(chain).order[0], '99999');
});

test('every node comes once, behind its needs, unless a circle is named', () => {
  const graphs = array(array(nat(19), { maxLength: 4 }), { maxLength: 20 });
  holds(
    property(graphs, (needs) => {
      const given = needs.map((on, id): Node => ({ id: `${id}`, needs: on.map(String) }));
      const { order, circles } = orderByNeeds(given);
      assert.deepEqual(order.toSorted(), given.map(({ id }) => id).toSorted());
      const place = new Map(order.map((id, at) => [id, at]));
      const late = given.filter(({ id, needs }) => needs.some((on) => (place.get(on) ?? -1) >= (place.get(id) ?? 0)));
      const circular = new Set(circles.flat());
      assert.ok(late.every(({ id }) => circular.has(id)));
      for (const circle of circles)
        assert.ok(
          circle.every((id, at) =>
            given.find((node) => node.id === id)?.needs.includes(circle[at + 1] ?? circle[0] ?? ''),
          ),
        );
    }),
  );
});

test('reaches all that is needed by way of others', () => {
  const on: Record<string, string> = { a: 'b', b: 'ca', c: '', d: 'a' };
  assert.deepEqual([...reach(['a'], (id) => on[id] ?? '')], ['a', 'b', 'c']);
});
