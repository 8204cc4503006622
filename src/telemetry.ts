import { channel } from 'node:diagnostics_channel';
import type { Offset, Position } from './change/position.ts';

/** What the data path says of itself while it works. Whoever wants it subscribes; nobody pays otherwise.
 *  https://nodejs.org/api/diagnostics_channel.html */
export interface Events {
  /** A batch is durable in the broker. */
  'changeover:captured': {
    readonly offset: Offset;
    readonly end: Position | undefined;
    readonly changes: number;
    /** The source's clock, microseconds since 1970. */
    readonly committedAtUs: bigint | undefined;
  };
  /** How much of the first copy is read. The bytes are those that the tables take at the source. */
  'changeover:copying': { readonly rows: number; readonly bytes: number; readonly bytesAll: number };
  /** Entries up to `offset` are visible in the target. */
  'changeover:applied': {
    readonly offset: Offset;
    readonly position: Position | undefined;
    readonly changes: number;
    readonly committedAtUs: bigint | undefined;
  };
  /** A set of changes tripped over a constraint and was written again one by one. */
  'changeover:unfolded': { readonly offset: Offset; readonly changes: number };
}

export function publish<K extends keyof Events>(name: K, event: Events[K]): void {
  const at = channel(name);
  if (at.hasSubscribers) at.publish(event);
}

/** Returns what ends the subscription. */
export function subscribe<K extends keyof Events>(name: K, listen: (event: Events[K]) => void): Disposable {
  const listener = (event: unknown): void => listen(event as Events[K]);
  channel(name).subscribe(listener);
  return {
    [Symbol.dispose]() {
      channel(name).unsubscribe(listener);
    },
  };
}
