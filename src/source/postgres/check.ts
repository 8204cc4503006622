import { tableName } from '../../change/table.ts';
import {
  clockFindings,
  type Found,
  openFindings,
  refusedFinding,
  versionFindings,
} from '../../engine/postgres/access.ts';
import { type Connection, type ConnectOptions, connect } from '../../engine/postgres/connect.ts';
import { isCode } from '../../error.ts';
import { checkDdl } from './check/ddl.ts';
import { checkExcerpts } from './check/excerpt.ts';
import { checkLeftOut } from './check/left-out.ts';
import { checkPrivileges } from './check/privilege.ts';
import { checkPublication } from './check/publication.ts';
import { checkServer } from './check/server.ts';
import { checkSlot } from './check/slot.ts';
import { checkStandbys } from './check/standby.ts';
import { checkTables } from './check/table.ts';
import { copied, type Wanted } from './coverage.ts';
import type { Excerpts } from './excerpt.ts';
import { readFacts, readVersion, type SourceFacts, type TableFacts } from './facts.ts';
import type { LeftOut } from './schema/item.ts';
import { readSchema } from './schema/read.ts';

export interface SourceCheckOptions {
  readonly connect: ConnectOptions;
  readonly slot: string;
  readonly publication: string;
  readonly wanted: Wanted;
  readonly excerpts?: Excerpts | undefined;
  readonly walBudgetBytes: number | undefined;
  /** This machine's clock, milliseconds since 1970. */
  readonly now: () => number;
}

/** Looks at a source on a connection of its own, as a lane would open it. What keeps us out is a finding too. */
export async function checkSource(options: SourceCheckOptions, signal: AbortSignal): Promise<readonly Found[]> {
  const opened = await connect(options.connect, signal).catch((error: unknown) => {
    signal.throwIfAborted();
    return { refused: refusedFinding('SOURCE', options.connect.url, error) };
  });
  if ('refused' in opened) return [opened.refused];
  await using connection = opened;
  const version = await readVersion(connection);
  const unsuitable = versionFindings('SOURCE', version);
  if (unsuitable.some((found) => found.severity === 'blocker')) return unsuitable;
  const facts = await readFacts(connection, options);
  // Once there is a slot, the copy was made, and reading a large schema takes seconds.
  const leftOut = facts.slot === undefined ? await readLeftOut(connection, options.wanted) : [];
  return [
    ...unsuitable,
    ...openFindings(options.connect.url),
    ...judge(facts, options),
    ...(await checkStandbys(connection, { ...facts.server, slot: options.slot })),
    ...checkLeftOut(leftOut),
    ...(await checkDdl(connection, { ...options, role: facts.server.role })),
    ...clockFindings(facts.server.clockMs, options.now()),
  ];
}

async function readLeftOut(connection: Connection, wanted: Wanted): Promise<readonly LeftOut[]> {
  try {
    return (await readSchema(connection, wanted)).leftOut;
  } catch (error) {
    // What keeps us from reading is a finding of its own, with the grant that cures it.
    if (isCode(error, 'SOURCE_PRIVILEGE', 'SOURCE_FAILED')) return [];
    throw error;
  }
}

/** All that the facts say, in the order in which a person would mend it. */
export function judge(
  facts: SourceFacts,
  { slot, publication, wanted, excerpts, walBudgetBytes }: Omit<SourceCheckOptions, 'connect' | 'now'>,
): readonly Found[] {
  return [
    ...checkServer(facts, walBudgetBytes),
    ...checkPrivileges(facts.server, {
      tables: copied(facts.tables, wanted),
      sequences: facts.sequences.filter(({ identityOf }) => identityOf === null || wanted(identityOf)),
    }),
    ...checkPublication(facts, publication, { wanted, excerpts }),
    ...(excerpts ? checkExcerpts(copied(facts.tables, wanted), excerpts, facts.server.version) : []),
    ...checkSlot(facts, slot, walBudgetBytes),
    ...checkTables(facts.tables.filter(wanted), publishing(facts, wanted), facts.server.version),
  ];
}

/** What the publication covers, or will when we create it: as a superuser we publish all tables, else the wanted ones, and give those of
 *  ours an identity first. A table that is published without being wanted has its updates refused all the same. */
function publishing(
  { tables, publication, server }: SourceFacts,
  wanted: Wanted,
): { tables: readonly TableFacts[]; weMend: (table: TableFacts) => boolean } {
  if (publication === undefined)
    return {
      tables: server.superuser ? tables : tables.filter(wanted),
      weMend: (table) => table.owned && wanted(table),
    };
  const covered = new Set(publication.tables.map(tableName));
  return { tables: tables.filter((table) => covered.has(tableName(table)) || wanted(table)), weMend: () => false };
}
