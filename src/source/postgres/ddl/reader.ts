import { setTimeout as sleep } from 'node:timers/promises';
import type { Ddl, Rows, Truncate } from '../../../change/change.ts';
import { type Table, tableName } from '../../../change/table.ts';
import type { Connection } from '../../../engine/postgres/connect.ts';
import { ChangeoverError } from '../../../error.ts';
import type { Excerpts } from '../excerpt.ts';
import type { Decoded, LogicalMessage } from '../pgoutput.ts';
import type { Relations } from '../relations.ts';
import { proveRulesKept, proveUntold } from './excerpted.ts';
import { sealOf } from './install.ts';
import { type Notice, readNotice } from './notice.ts';
import { type Scope, Translator, tableInMaking } from './translate.ts';
import { ddlPrefix } from './trigger.ts';

const sealTriesMax = 50;
const sealMs = 100;

export const isDdlMessage = (message: Decoded): message is LogicalMessage & { readonly prefix: typeof ddlPrefix } =>
  message.kind === 'logical message' && message.transactional && message.prefix === ddlPrefix;

/** Reads the schema changes out of one stream. */
export class DdlReader {
  readonly #catalog: Connection;
  readonly #relations: Relations;
  readonly #translator: Translator;
  readonly #excerpts: Excerpts | undefined;
  /** Tables of which a change was told since they were announced. */
  readonly #told = new Set<string>();
  #seal: string | undefined;

  constructor(catalog: Connection, relations: Relations, scope: Scope) {
    this.#catalog = catalog;
    this.#relations = relations;
    this.#excerpts = scope.excerpts;
    this.#translator = new Translator(scope);
  }

  /** A transaction begins. */
  begin(): void {
    this.#translator.begin();
  }

  /** What a message of our prefix is worth: a schema change and the rows that it wrote anew; or that it is not from our triggers.
   *  Throws SOURCE_PRIVILEGE where that cannot be told. */
  async read(content: Buffer): Promise<readonly (Ddl | Truncate | Rows)[] | 'not ours'> {
    this.#seal ??= await this.#findSeal();
    if (this.#seal === undefined) {
      throw new ChangeoverError(
        'SOURCE_PRIVILEGE',
        'Event triggers tell of schema changes, and we may not read their seal',
        {
          hint: 'As their owner, run at the primary: GRANT USAGE ON SCHEMA changeover TO <our role>; GRANT SELECT ON changeover.seal, changeover.lane TO <our role>;',
        },
      );
    }
    const notice = readNotice(content, this.#seal);
    if (!notice) return 'not ours';
    const renamed = this.#translator.schemaRenamed(notice);
    if (renamed) this.#relations.renameSchema(renamed);
    if (this.#excerpts) this.#proveRules(notice, this.#excerpts);
    return this.#translator.translate(notice);
  }

  #proveRules(notice: Notice, excerpts: Excerpts): void {
    if (notice.event !== 'ddl_command_end') return;
    for (const table of [...notice.tables, ...(notice.heirs ?? [])]) this.#told.add(tableName(table));
    const renaming = this.#translator.renaming(notice);
    if (renaming) proveRulesKept(renaming, excerpts);
  }

  /** Where the triggers were made by hand a moment ago, the stream is ahead of what other sessions see. */
  async #findSeal(): Promise<string | undefined> {
    for (let tries = 0; tries < sealTriesMax; tries += 1) {
      const seal = await sealOf(this.#catalog);
      if (seal !== undefined) return seal;
      await sleep(sealMs);
    }
    return undefined;
  }

  /** What a table's announcement is worth: where a query makes a table, its rows come before it is told. Throws SOURCE_TABLE_UNSUITABLE
   *  where a change that nobody told may have taken it from its rule. */
  announced(table: Table, former: Table | undefined): Ddl | undefined {
    if (former && this.#excerpts && !this.#told.delete(tableName(table))) proveUntold(former, table, this.#excerpts);
    return this.#translator.isMaking ? tableInMaking(table) : undefined;
  }
}
