import type { Finding } from '../finding.ts';

/** A data key as it travels with what it seals: readable only by whoever has the key that it was wrapped with. */
export interface WrappedKey {
  /** Names the key of the ring. No secret. */
  readonly key: string;
  readonly bytes: Buffer;
}

/** What `changeover keys ls` shows of a key. */
export interface RingKey {
  readonly name: string;
  /** Wraps new data keys; every other one only opens what it sealed. */
  readonly seals: boolean;
}

/** The keys that the broker never sees. They wrap data keys; what the stream holds is sealed with those. Everything here may throw
 *  BROKER_KEY_UNREACHABLE and BROKER_KEY_REFUSED. */
export interface KeyRing {
  /** For people: `key file /etc/changeover.keys`. */
  readonly name: string;
  /** With the key that seals at this moment, asked anew each time. */
  wrap(dataKey: Buffer, signal: AbortSignal): Promise<WrappedKey>;
  /** Throws BROKER_KEY_MISSING where the ring lacks the key, BROKER_TAMPERED or BROKER_KEY_REFUSED where it did not wrap these bytes. */
  unwrap(wrapped: WrappedKey, signal: AbortSignal): Promise<Buffer>;
  /** What is wrong with how the keys are kept, besides that they cannot be had. */
  check(): Promise<readonly Finding[]>;
  /** Oldest first. */
  keys(signal: AbortSignal): Promise<readonly RingKey[]>;
  /** Adds a key, which seals from now on; the others stay. Returns its name. Undefined where whoever keeps the ring must do it. */
  readonly rotate: ((signal: AbortSignal) => Promise<string>) | undefined;
}
