import { type Ask, answerMessage } from '../../src/change/ask.ts';
import { epoch, offset } from '../../src/change/position.ts';
import type { Row } from '../../src/change/row.ts';
import type { Carried, View } from '../../src/change/view.ts';
import type { House } from '../../src/cli/house.ts';
import { at } from '../control/facts.ts';
import { houseWith, memoryReader, orders, profile, row, source, target } from './fake-house.ts';

/** A house whose secondary has another note in its second order, and whose primary answers at once. */
export function differingHouse(): House {
  let asked: Ask | undefined;
  const carried: Carried = { table: orders, rows: 2, bytes: 100, masked: false };
  const same = row('1', 'a');
  return houseWith({
    sourceInspector: async () => ({
      ...source,
      profile: async () => ({ ...profile, tables: [{ ...orders, columns: [] }] }),
      async ask(ask) {
        asked = ask;
      },
      view: async () => viewOf(carried, [same, row('2', 'b')]),
    }),
    targetInspector: async () => ({ ...target, view: async () => viewOf(carried, [same, row('2', 'c')]) }),
    logReader: async () => ({
      ...memoryReader(),
      async *read() {
        if (!asked) return;
        const { ask, id } = asked;
        const said =
          ask === 'stand' ? ({ answer: ask, id, snapshot: 's' } as const) : ({ answer: 'rows', id, rows: 2 } as const);
        const batch = { after: at(1000), starts: true, changes: [answerMessage(said)], end: at(1000) };
        yield { offset: offset(2), epoch: epoch(1), batch };
      },
    }),
  });
}

/** The key is the first cell; a row is its own hash. */
function viewOf(carried: Carried, rows: readonly Row[]): View {
  const keyOf = (one: Row): readonly string[] => [one.toString('latin1', 7, 8)];
  return {
    tables: async () => [carried],
    lacks: async () => undefined,
    hashing: async () => '1',
    digests: async () => new Map([[0, { rows: rows.length, sum: rows.map(String).join(' ') }]]),
    hashes: async () => rows.map((one) => ({ key: keyOf(one), hash: one.toString() })),
    rows: async (_, keys) => rows.filter((one) => keys.some(([key]) => key === keyOf(one)[0])),
    [Symbol.asyncDispose]: async () => undefined,
  };
}
