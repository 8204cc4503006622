import { setTimeout as sleep } from 'node:timers/promises';
import { ChangeoverError } from '../../src/error.ts';
import type { Helm } from '../../src/helm/helm.ts';
import type { Checks } from './checks.ts';
import { type Database, tables } from './database.ts';
import type { Line } from './network.ts';
import { notSimulated } from './not-simulated.ts';

export const sequenceName = 'public.receipt_id_seq';

/** The port by which control takes hold of a site. */
export function openHelm(line: Line, checks: Checks): Helm {
  const { database, process } = line;
  return {
    sight: (signal) =>
      line.call(() => {
        const { sequence, transactions } = database;
        const sequences = { [sequenceName]: { last: String(sequence), called: sequence > 0n } };
        return { position: database.at(database.end), transactions, sequences };
      }, signal),
    async shut(signal) {
      const commit = (): void => {
        database.isShut = true;
        database.transact([]);
        database.flush();
      };
      await line.call(commit, signal, { twice: true });
      // Until its session is ended, who was in goes on.
      await process.run(() => sleep(process.machine.chance.between(0, 20), undefined, { signal }));
      await line.call(() => {
        if (!database.isShut) throw new ChangeoverError('CONTROL_FENCE_OPEN', 'The canary still gets in');
        database.endSessions();
      }, signal);
      return { roles: ['app'], proved: ['app'], unfenced: [] };
    },
    open: (signal) =>
      line.call(
        () => {
          if (!database.isShut) return [];
          database.isShut = false;
          database.transact([]);
          database.flush();
          checks.opened(database);
          return ['app'];
        },
        signal,
        { twice: true },
      ),
    raise: ({ values, beyond }, signal) =>
      line.call(() => {
        let last = BigInt(values[sequenceName]?.last ?? 0n);
        if (beyond > 0) for (const id of receiptsOf(database)) if (id > last) last = id;
        if (database.sequence > last) last = database.sequence;
        database.sequence = last + BigInt(beyond);
        database.flush();
        return 1;
      }, signal),
    sizes: (signal) => line.call(() => new Map(tables.map(({ name }) => [name, database.tableBytes])), signal),
    digests: (names, signal) =>
      line.call(
        () => new Map(names.map((name) => [name, { rows: database.rows.size, digest: String(database.digest) }])),
        signal,
      ),
    survey: notSimulated,
    async [Symbol.asyncDispose]() {},
  };
}

const receiptsOf = (database: Database): readonly bigint[] =>
  [...database.rows.keys()].filter((key) => key.startsWith('receipt/')).map((key) => BigInt(key.slice(8)));
