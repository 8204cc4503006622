import { isCode } from '../../error.ts';
import { type Connection, type ConnectOptions, connect } from './connect.ts';

/** One connection for questions that come again and again: opened by the first, and anew after it broke. */
export interface Session extends AsyncDisposable {
  /** Runs `work` alone on the connection, after the calls before it. `work` must be harmless when done twice: a connection
   *  that died while idle says nothing about the server, so the work begins again on a new one. After any
   *  error the connection is closed, and an open transaction with it. Aborting `signal` cuts it. Throws what `connect` and `work` throw. */
  use<T>(work: (connection: Connection) => Promise<T>, signal: AbortSignal): Promise<T>;
}

interface Kept {
  readonly connection: Connection;
  readonly life: AbortController;
}

/** Opens nothing by itself. */
export function sessionOf(options: ConnectOptions): Session {
  let kept: Kept | undefined;
  let turn: Promise<unknown> = Promise.resolve();

  const drop = async (): Promise<void> => {
    const { connection } = kept ?? {};
    kept = undefined;
    await connection?.[Symbol.asyncDispose]();
  };
  const attempt = async <T>(work: (connection: Connection) => Promise<T>, signal: AbortSignal): Promise<T> => {
    signal.throwIfAborted();
    const life = kept?.life ?? new AbortController();
    const cut = (): void => life.abort(signal.reason);
    signal.addEventListener('abort', cut, { once: true });
    try {
      kept ??= { connection: await connect(options, life.signal), life };
      return await work(kept.connection);
    } catch (error) {
      await drop();
      throw error;
    } finally {
      signal.removeEventListener('abort', cut);
    }
  };
  return {
    use(work, signal) {
      const result = turn.then(async () => {
        const reused = kept !== undefined;
        try {
          return await attempt(work, signal);
        } catch (error) {
          if (!reused || signal.aborted || !isCode(error, `${options.side}_UNREACHABLE`)) throw error;
          return attempt(work, signal);
        }
      });
      turn = result.catch(() => undefined);
      return result;
    },
    async [Symbol.asyncDispose]() {
      await turn;
      await drop();
    },
  };
}
