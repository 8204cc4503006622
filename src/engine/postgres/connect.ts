import { Socket } from 'node:net';
import { Client, type CustomTypesConfig } from 'pg';
import { assert, ChangeoverError } from '../../error.ts';
import { tlsOptions } from '../../tls.ts';
import { encryptionOf } from './encryption.ts';
import { failure, type Side } from './failure.ts';
import { serversOf } from './servers.ts';

/** One rendering of every value, on snapshot, stream and apply alike, whatever the server's defaults are. An empty
 *  search_path makes names come out qualified and keeps us from running somebody's function of a known name;
 *  row_security off turns rows hidden by a policy into an error instead of a silent gap. */
const pinned = {
  client_encoding: 'UTF8',
  datestyle: 'ISO',
  intervalstyle: 'postgres',
  timezone: 'UTC',
  extra_float_digits: '3',
  bytea_output: 'hex',
  lc_monetary: 'C',
  xmloption: 'content',
  // Off, NULL in an array would be read as a text.
  array_nulls: 'on',
  quote_all_identifiers: 'off',
  search_path: '',
  // A secondary that is shut for everybody else is still open to us.
  default_transaction_read_only: 'off',
  default_transaction_isolation: 'read committed',
  row_security: 'off',
  check_function_bodies: 'off',
  standard_conforming_strings: 'on',
  statement_timeout: '0',
  lock_timeout: '0',
  idle_in_transaction_session_timeout: '0',
  idle_session_timeout: '0',
  wal_sender_timeout: '60s',
  // When we vanish without a word, the server must let go of our locks and our slot soon: its own default is two hours.
  tcp_keepalives_idle: '10',
  tcp_keepalives_interval: '5',
  tcp_keepalives_count: '4',
  tcp_user_timeout: '30s',
} as const;

const connectMsMax = 10_000;

export interface ConnectOptions {
  /** May name several servers: then the one that leads is meant. */
  readonly url: string;
  readonly side: Side;
  /** Shown in pg_stat_activity, and matched by synchronous_standby_names. */
  readonly application: string;
  /** A walsender connection: replication commands and plain simple queries only. */
  readonly replication?: boolean;
  /** Sends queries without waiting for the answers of those before. */
  readonly pipeline?: boolean;
  /** An answer that takes longer never comes: the query throws _UNREACHABLE. Default: queries may take for ever. */
  readonly answerMsMax?: number;
}

export interface Connection extends AsyncDisposable {
  readonly client: Client;
  readonly side: Side;
  /** Rows as arrays of the server's own text; null is null. Throws what `failure` makes of the server's error. */
  rows(sql: string, values?: readonly unknown[]): Promise<readonly (readonly (string | null)[])[]>;
}

const asText = { getTypeParser: () => (value: string) => value } as unknown as CustomTypesConfig;

/** A socket that, once paused, takes one more chunk at the most: by itself Node goes on reading, up to 64 KiB, and is woken for each
 *  message of them. See `Intake`. */
function stoppableSocket(): Socket {
  const options = { allowHalfOpen: false, readableHighWaterMark: 1 };
  return new Socket(options);
}

/** Opens a session with the pinned settings. Aborting `signal` cuts it, at any time. Every value comes back as the server's text.
 *  Throws SOURCE_/TARGET_UNREACHABLE, _LOGIN_REFUSED, _TLS_REFUSED, _BUSY, and CONFIG_UNREADABLE for the files of TLS. */
export async function connect(options: ConnectOptions, signal: AbortSignal): Promise<Connection> {
  const { addresses, mustLead } = serversOf(options.url);
  if (!mustLead) return connectTo(options, signal);
  const refused: ChangeoverError[] = [];
  for (const url of addresses.toSorted((a, b) => Number(leaders.has(b)) - Number(leaders.has(a)))) {
    const found = await leaderAt({ ...options, url }, signal).catch((error: unknown) => {
      signal.throwIfAborted();
      leaders.delete(url);
      if (!(error instanceof ChangeoverError)) throw error;
      return error;
    });
    if (!(found instanceof ChangeoverError)) {
      leaders.add(url);
      return found;
    }
    refused.push(found);
  }
  throw noneLeads(options.side, refused);
}

/** Those that led when they were asked last are asked first: one that is dead lets us wait. */
const leaders = new Set<string>();

async function leaderAt(options: ConnectOptions, signal: AbortSignal): Promise<Connection> {
  const connection = await connectTo(options, signal);
  try {
    const [row] = await connection.rows('SELECT pg_catalog.pg_is_in_recovery()');
    if (row?.[0] !== 't') return connection;
  } catch (error) {
    await connection[Symbol.asyncDispose]();
    throw error;
  }
  await connection[Symbol.asyncDispose]();
  throw new ChangeoverError(`${options.side}_UNREACHABLE`, `${redact(options.url)} is a standby`);
}

/** One that does not answer may be the one that leads: then it is worth another try, whatever the others say. */
function noneLeads(side: Side, refused: readonly ChangeoverError[]): ChangeoverError {
  const [first] = refused;
  const unreachable = `${side}_UNREACHABLE` as const;
  if (first && (refused.length === 1 || refused.every(({ code }) => code !== unreachable))) return first;
  const all = refused.map(({ message }) => message).join('; ');
  return new ChangeoverError(unreachable, `None of ${refused.length} servers leads: ${all}`, { cause: first });
}

async function connectTo(options: ConnectOptions, signal: AbortSignal): Promise<Connection> {
  signal.throwIfAborted();
  const settings = Object.entries(pinned).map(([name, value]) => `-c ${name}=${value.replaceAll(' ', '\\ ')}`);
  const { url, tls } = encryptionOf(options.url);
  const config = {
    connectionString: url,
    ssl: tls ? await tlsOptions(tls) : false,
    application_name: options.application,
    options: settings.join(' '),
    connectionTimeoutMillis: connectMsMax,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    types: asText,
    ...(options.pipeline && { pipeline: true }),
    ...(options.answerMsMax !== undefined && { query_timeout: options.answerMsMax }),
    ...(options.replication && { replication: 'database', stream: stoppableSocket }),
  };
  const client = new Client(config);
  // Without a listener an idle connection's loss would end the process; the next query reports it.
  client.on('error', () => undefined);
  const cut = (): void => {
    socketOf(client).destroy();
  };
  signal.addEventListener('abort', cut, { once: true });
  const close = async (): Promise<void> => {
    signal.removeEventListener('abort', cut);
    // A server that does not answer must not keep us from leaving.
    const grace = setTimeout(cut, 1000);
    await client.end().catch(() => undefined);
    clearTimeout(grace);
  };
  try {
    await client.connect();
  } catch (error) {
    await close();
    signal.throwIfAborted();
    const doing = `Connecting to ${redact(options.url)}`;
    if (tls && isWithoutTls(error))
      throw new ChangeoverError(`${options.side}_TLS_REFUSED`, `${doing}: it has no TLS`, {
        hint: 'Turn on ssl in postgresql.conf of that server. Nothing was sent in the open.',
        cause: error,
      });
    throw failure(options.side, error, doing);
  }
  return {
    client,
    side: options.side,
    async rows(sql, values) {
      try {
        const query = { text: sql, rowMode: 'array' as const, ...(values && { values: [...values] }) };
        const result = await client.query<(string | null)[]>(query);
        return result.rows;
      } catch (error) {
        signal.throwIfAborted();
        throw failure(options.side, error, `Running ${sql.slice(0, 60).replaceAll(/\s+/g, ' ')}`);
      }
    },
    [Symbol.asyncDispose]: close,
  };
}

/** The driver has no code for it. */
const isWithoutTls = (error: unknown): boolean =>
  error instanceof Error && error.message === 'The server does not support SSL connections';

/** The socket under a client, for streaming protocols and for cutting it. */
export function socketOf(client: Client): Socket {
  const { connection } = client as unknown as { connection: { stream: Socket } };
  assert(typeof connection.stream.destroy === 'function', 'pg.Client no longer keeps its socket at connection.stream');
  return connection.stream;
}

/** A URL without its secret, for messages. */
export function redact(url: string): string {
  if (!URL.canParse(url)) return 'the given address';
  const { hostname, port, pathname, username } = new URL(url);
  return `${username && `${username}@`}${hostname}:${port || '5432'}${pathname}`;
}
