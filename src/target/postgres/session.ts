import type { Connection } from '../../engine/postgres/connect.ts';
import {
  bindAndExecute,
  COMMAND_COMPLETE,
  copyDataHead,
  copyDone,
  DATA_ROW,
  ERROR_RESPONSE,
  parse,
  query,
  READY_FOR_QUERY,
  rowCount,
  sync,
} from '../../engine/postgres/message.ts';
import { type Watch, Wire } from '../../engine/postgres/wire.ts';
import type { ChangeoverError } from '../../error.ts';

/** A statement to prepare once per session. */
export interface Statement {
  readonly sql: string;
  /** The OID of each parameter's type. */
  readonly types: readonly number[];
}

/** Answers of this many statements surely fit into the socket's buffers while we only send. */
const unansweredMax = 500;
const outBytesMax = 64 * 1024;
/** Thousands of tables must not grow the server's memory without end. */
const preparedMax = 1000;

/** The place of a statement among those sent since the last `settle`. */
export type Ticket = number;

/** Sends statements one behind the other without waiting for answers; `settle` waits for all of them. What fails makes the server
 *  skip or refuse the rest of the transaction, so nothing is lost by looking late. */
export class Session {
  readonly #wire: Wire;
  readonly #prepared = new Map<Statement, string>();
  #preparedEver = 0;
  /** Statements may be left in the server whose names we no longer know. */
  #stale = false;
  #out: Buffer[] = [];
  #outBytes = 0;
  #unsynced = 0;
  #sent = 0;
  #answered = 0;
  /** Answers that the server still owes: one per query or sync. */
  #due = 0;
  #counts: number[] = [];
  #failed: ChangeoverError | undefined;

  /** Takes the connection over. */
  constructor(connection: Connection, watch?: Watch) {
    this.#wire = new Wire(connection, watch);
  }

  /** A statement without parameters and without rows. */
  async run(sql: string): Promise<Ticket> {
    await this.#sync();
    await this.#push(query(sql));
    this.#due += 1;
    return this.#ticket();
  }

  async execute(statement: Statement, values: readonly (Buffer | null)[]): Promise<Ticket> {
    let name = this.#prepared.get(statement);
    if (name === undefined) {
      if (this.#prepared.size >= preparedMax) {
        this.#prepared.clear();
        await this.run('DEALLOCATE ALL');
      }
      this.#preparedEver += 1;
      name = `c${this.#preparedEver}`;
      this.#prepared.set(statement, name);
      await this.#push(parse(name, statement.sql, statement.types));
    }
    await this.#push(bindAndExecute(name, values));
    this.#unsynced += 1;
    return this.#ticket();
  }

  /** `sql` is a COPY ... FROM STDIN. */
  async copy(sql: string, chunks: Iterable<Buffer>): Promise<Ticket> {
    await this.#sync();
    await this.#push(query(sql));
    this.#due += 1;
    // The server drops the data of a COPY that it refused; its error waits for `settle`.
    for (const chunk of chunks) {
      await this.#push(copyDataHead(chunk.length));
      await this.#push(chunk);
    }
    await this.#push(copyDone());
    return this.#ticket();
  }

  /** Waits for the answers to all that was sent; the number of rows that each statement touched, by its ticket. Throws what the
   *  first failing one said. */
  async settle(doing: string): Promise<readonly number[]> {
    await this.#receive(doing);
    const counts = this.#counts;
    const failed = this.#failed;
    this.#counts = [];
    this.#failed = undefined;
    this.#sent = 0;
    this.#answered = 0;
    if (!failed) return counts;
    this.#prepared.clear();
    this.#stale = true;
    throw failed;
  }

  /** Rows as the server's own text. Settles first. */
  async rows(sql: string, doing: string): Promise<readonly (readonly (string | null)[])[]> {
    await this.settle(doing);
    await this.#push(query(sql));
    this.#due += 1;
    const rows: (string | null)[][] = [];
    await this.#receive(doing, (body) => rows.push(textCells(body)));
    await this.settle(doing);
    return rows;
  }

  async begin(): Promise<void> {
    if (this.#stale) {
      // Those prepared since the failure go with the others.
      this.#prepared.clear();
      await this.run('DEALLOCATE ALL');
    }
    this.#stale = false;
    await this.run('BEGIN');
  }

  /** Ends the session at once: the server rolls back what is open. */
  close(): void {
    this.#wire.close();
  }

  async #ticket(): Promise<Ticket> {
    const ticket = this.#sent;
    this.#sent += 1;
    if (this.#sent - this.#answered >= unansweredMax) await this.#receive('Writing');
    return ticket;
  }

  async #sync(): Promise<void> {
    if (this.#unsynced === 0) return;
    this.#unsynced = 0;
    this.#due += 1;
    await this.#push(sync());
  }

  async #push(bytes: Buffer): Promise<void> {
    // What is large by itself is not copied for the sake of what is small.
    if (bytes.length >= outBytesMax) {
      await this.#flush();
      await this.#wire.send(bytes);
      return;
    }
    this.#out.push(bytes);
    this.#outBytes += bytes.length;
    if (this.#outBytes >= outBytesMax) await this.#flush();
  }

  async #flush(): Promise<void> {
    if (this.#outBytes === 0) return;
    const bytes = this.#out.length === 1 ? this.#out[0] : Buffer.concat(this.#out, this.#outBytes);
    this.#out = [];
    this.#outBytes = 0;
    if (bytes) await this.#wire.send(bytes);
  }

  async #receive(doing: string, onRow?: (body: Buffer) => void): Promise<void> {
    await this.#sync();
    await this.#flush();
    while (this.#due > 0) {
      for (const { type, body } of await this.#wire.take()) {
        if (type === COMMAND_COMPLETE) this.#counts.push(rowCount(body));
        else if (type === DATA_ROW) onRow?.(body);
        else if (type === ERROR_RESPONSE) this.#failed ??= this.#wire.error(body, doing);
        else if (type === READY_FOR_QUERY) this.#due -= 1;
      }
    }
    this.#answered = this.#sent;
  }
}

/** The cells of a DataRow: a 16-bit count, then each with a 32-bit length, -1 for null. */
function textCells(body: Buffer): (string | null)[] {
  let at = 2;
  return Array.from({ length: body.readUInt16BE(0) }, () => {
    const length = body.readInt32BE(at);
    at += 4;
    if (length < 0) return null;
    at += length;
    return body.toString('utf8', at - length, at);
  });
}
