import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { exactPattern, isPattern, tierOf, wanted } from '../../src/config/tables.ts';

const name = fc.oneof(
  fc.string({ minLength: 1 }),
  fc.constantFrom('orders', 'a.b', 'a"b', '*', 'Ünïcode', 'x\ny', '.'),
);
const table = fc.record({
  schema: name.filter((schema) => !/^pg_|^information_schema$|^changeover$/.test(schema)),
  name,
});

test('every table is wanted until a rule leaves it out, and its exact pattern is a rule for it alone', () => {
  fc.assert(
    fc.property(table, table, (one, other) => {
      const same = one.schema === other.schema && one.name === other.name;
      const rules = [{ match: exactPattern(one), leaveOut: true }];
      assert.equal(wanted([], one), true);
      assert.equal(wanted(rules, one), false);
      assert.equal(wanted(rules, other), !same);
    }),
  );
});

test('the last rule that matches decides', () => {
  fc.assert(
    fc.property(table, fc.array(fc.boolean(), { minLength: 1 }), (one, leaveOuts) => {
      const rules = leaveOuts.map((leaveOut, index) => ({ match: index % 2 ? '*' : exactPattern(one), leaveOut }));
      assert.equal(wanted(rules, one), leaveOuts.at(-1) !== true);
    }),
  );
});

test('a star stands for any run of characters and never for the dot between schema and table', () => {
  fc.assert(
    fc.property(fc.stringMatching(/^[a-z]{0,5}$/), fc.stringMatching(/^[a-z.]{1,9}$/), (prefix, rest) => {
      const rules = [{ match: `s.${prefix}*`, leaveOut: true }];
      assert.equal(wanted(rules, { schema: 's', name: prefix + rest }), false);
      assert.equal(wanted(rules, { schema: `s.${prefix}`, name: rest }), true);
    }),
  );
});

test('a pattern without a schema means any schema, and letters are compared as they are', () => {
  const rules = [{ match: 'tmp_*', leaveOut: true }, { match: 'tmp_kept' }, { match: 'shop.Orders', leaveOut: true }];
  const answers = ['a.tmp_1', 'b.tmp_kept', 'a.xtmp_1', 'shop.orders', 'shop.Orders'].map((text) => {
    const [schema = '', table = ''] = text.split('.');
    return wanted(rules, { schema, name: table });
  });
  assert.deepEqual(answers, [false, true, true, true, false]);
});

test("PostgreSQL's own tables and ours are never wanted, whatever the rules say", () => {
  const rules = [{ match: '*.*' }];
  for (const schema of ['pg_catalog', 'pg_toast', 'pg_temp_3', 'information_schema', 'changeover'])
    assert.equal(wanted(rules, { schema, name: 'x' }), false, schema);
});

test('the tier is the one of the deciding rule', () => {
  const rules = [
    { match: 'public.*', tier: 'critical' },
    { match: '*.log', tier: 'bulk' },
    { match: 'public.tmp', leaveOut: true },
  ];
  const tier = (name: string): string | undefined => tierOf(rules, { schema: 'public', name });
  assert.deepEqual(['orders', 'log', 'tmp'].map(tier), ['critical', 'bulk', undefined]);
});

test('what is no pattern is refused', () => {
  for (const text of ['', '.', 'a.', '.a', 'a.b.c', '"a', 'a"b', '""', 'a b', '"a"b'])
    assert.equal(isPattern(text), false, text);
});
