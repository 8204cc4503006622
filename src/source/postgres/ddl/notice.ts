import type { Shape } from '../../../change/change.ts';

type Named = readonly [schema: string, name: string];

/** An object that a command made or changed. */
export interface NotedObject {
  readonly type: string;
  readonly command: string;
  readonly schema?: string;
  readonly identity?: string;
  /** No secondary has it, nor what it hangs on: it is temporary, or foreign, or of a kind that is not copied. */
  readonly apart?: boolean;
  readonly owner?: string;
  /** Arguments of pg_get_object_address(). */
  readonly address?: string;
  /** The table that it is, or belongs to. */
  readonly table?: Named;
  /** The tables that a view reads. */
  readonly reads?: readonly Named[];
}

export interface NotedTable extends Shape {
  /** By column: what rows that were there before it hold in it, and its default. */
  readonly filled: Readonly<Record<string, readonly [value: string | null, present: string | null]>> | null;
  /** The columns of a table that a query made. */
  readonly made: readonly string[] | null;
  readonly options: string | null;
  readonly unlogged: boolean;
  /** Of a partition that was made: `FOR VALUES ...`, with the values that the primary found. */
  readonly bound: string | null;
}

interface Common {
  /** The place in the log where it was told: no two have the same. */
  readonly id: string;
  readonly tag: string;
  readonly role: string;
}

/** What the event triggers say of one command: their own words, which only they can seal. */
export type Notice =
  | (Common & { readonly event: 'failed'; readonly problem: string; readonly text: string })
  | (Common & { readonly event: 'ddl_command_start' })
  | (Common & {
      readonly event: 'sql_drop';
      readonly cascade: boolean;
      readonly settings: Readonly<Record<string, string>>;
      readonly dropped: readonly {
        readonly type: string;
        readonly schema: string | null;
        readonly identity: string;
        readonly names: readonly string[] | null;
      }[];
    })
  | (Common & RowsNotice)
  | (Common & CommandNotice);

/** Rows of a table that the command before wrote anew, in the text format of COPY. */
export interface RowsNotice {
  readonly event: 'rows';
  readonly schema: string;
  readonly name: string;
  readonly columns: readonly (readonly [name: string, type: string, key: boolean | null])[];
  readonly count: number;
  readonly block: string;
}

export interface CommandNotice {
  readonly id: string;
  readonly event: 'ddl_command_end';
  readonly tag: string;
  readonly role: string;
  readonly settings: Readonly<Record<string, string>>;
  /** What the client or a function ran: may hold more statements. Left out where the same `key` came with it in this transaction.
   *  Null: nobody knows. */
  readonly text?: string | null;
  readonly key?: string;
  /** Which of the commands of this tag in the text, from 1. Undefined for what a function ran. */
  readonly place?: number;
  readonly objects: readonly NotedObject[];
  readonly tables: readonly NotedTable[];
  /** Tables that inherit from those, or lie in the schema, where names may have changed. */
  readonly heirs: readonly { readonly schema: string; readonly name: string }[] | null;
  /** Tables with rows that were written anew: reasons as pg_event_trigger_table_rewrite_reason() has them. */
  readonly remade: readonly {
    readonly schema: string;
    readonly name: string;
    readonly reason: number;
    readonly logged: boolean;
    /** All its rows follow. */
    readonly told: boolean;
  }[];
  /** Functions called by the text that need not say the same at another place. */
  readonly unstable: readonly string[] | null;
}

/** Undefined for what does not carry the seal: the message of an application, whatever it calls itself. */
export function readNotice(content: Buffer, seal: string): Notice | undefined {
  // The seal is text that JSON writes as it is: whoever does not know it wrote nothing of it.
  if (!content.includes(seal)) return undefined;
  const notice: Notice & { readonly seal?: string } = JSON.parse(content.toString());
  return notice.seal === seal ? notice : undefined;
}
