import { DatabaseSync } from 'node:sqlite';
import { ChangeoverError } from '../../error.ts';

const sqliteBusy = 5;

/** Holds the one right to write. The lock is SQLite's exclusive one (an fcntl lock), which the system drops when the process dies,
 *  however it dies and in whatever pid namespace it ran: no stale pid files. Nothing is ever stored in the database.
 *  The file must not be opened by other means in this process: closing any descriptor of it would drop the lock (fcntl(2)).
 *  Throws BROKER_LOCKED when another process, or another writer in this one, holds it. */
export function lockFile(path: string): Disposable {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path);
    database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
  } catch (cause) {
    if (database?.isOpen) database.close();
    if (cause instanceof Error && 'errcode' in cause && cause.errcode === sqliteBusy)
      throw new ChangeoverError('BROKER_LOCKED', `The log is being written by another process: ${path}`, { cause });
    throw new ChangeoverError('BROKER_IO', `Cannot lock ${path}: ${String(cause)}`, { cause });
  }
  const held = database;
  return {
    [Symbol.dispose]: () => {
      if (held.isOpen) held.close();
    },
  };
}
