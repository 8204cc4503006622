import { tableName } from '../change/table.ts';
import { waitCaughtUp } from '../control/wait.ts';
import { countWords } from '../control/words.ts';
import { recopy } from '../verify/repair.ts';
import { outJson, paint, type Session, tame } from './desk.ts';
import type { ExitCode } from './failure.ts';
import { type ConfiguredOptions, configurationFor, laneOf, numberIn } from './lane.ts';
import { sidesOf, tablesCarried } from './sides.ts';

export interface SnapshotArguments extends ConfiguredOptions {
  readonly timeout: string;
}

export async function snapshot(session: Session, pattern: string, options: SnapshotArguments): Promise<ExitCode> {
  const { house, desk, signal } = session;
  const timeoutMs = numberIn(options.timeout, { name: '--timeout', whole: false }) * 1000;
  const configuration = await configurationFor(session, options);
  const lane = laneOf(house, configuration);
  await using source = await lane.source(signal);
  const tables = await tablesCarried(source, pattern, signal);
  const [first = ''] = lane.secondaries;
  const aside = new Set<string>();
  for (const site of lane.secondaries) {
    await using target = await lane.target(site, signal);
    for (const one of (await target.observe(signal)).setAside) aside.add(tableName(one.table));
  }
  const copied: { readonly table: string; readonly rows: number; readonly position: string }[] = [];
  for (const table of tables) {
    const { rows, position } = await recopy(
      sidesOf(house, configuration, first),
      { table, whole: aside.has(tableName(table)) },
      signal,
    );
    copied.push({ table: tableName(table), rows, position: position.token });
  }
  const { sites } = await waitCaughtUp(lane, { timeoutMs }, signal);
  if (options.json) {
    const secondaries = sites.map(({ site, position }) => ({ site, position: position.token }));
    outJson(desk, {
      schema: 'changeover.snapshot/1',
      verdict: 'COPIED',
      primary: lane.primary,
      tables: copied,
      secondaries,
    });
    return 0;
  }
  const all = countWords(
    copied.reduce((sum, { rows }) => sum + rows, 0),
    'row',
    'rows',
  );
  const names = copied.map(({ table }) => tame(table)).join(', ');
  const verdict = paint(desk, ['green', 'bold'], 'COPIED');
  desk.out(`${verdict}: ${names} (${all}) anew from ${lane.primary}, whole at ${lane.secondaries.join(', ')}\n`);
  return 0;
}
