import type { PartName } from './part.ts';

export type Key =
  | { readonly kind: 'quit' }
  | { readonly kind: 'leave' }
  | { readonly kind: 'kill'; readonly part: PartName };

/** What a byte of the keyboard means. `leave`: Ctrl-C, which raw mode gives us as a byte. */
export function keyOf(byte: string): Key | undefined {
  switch (byte.toLowerCase()) {
    case 'p':
      return { kind: 'kill', part: 'primary' };
    case 'c':
      return { kind: 'kill', part: 'capture' };
    case 'b':
      return { kind: 'kill', part: 'broker' };
    case 'a':
      return { kind: 'kill', part: 'apply' };
    case 's':
      return { kind: 'kill', part: 'secondary' };
    case 'q':
      return { kind: 'quit' };
    case '\u0003':
      return { kind: 'leave' };
    default:
      return undefined;
  }
}

/** Takes the keyboard key by key until disposed. */
export function openKeys(input: typeof process.stdin, onKey: (key: Key) => void): Disposable {
  const onData = (chunk: Buffer): void => {
    for (const byte of chunk.toString('latin1')) {
      const key = keyOf(byte);
      if (key) onKey(key);
    }
  };
  input.setRawMode(true);
  input.on('data', onData);
  input.resume();
  return {
    [Symbol.dispose]: () => {
      input.off('data', onData);
      input.setRawMode(false);
      input.pause();
    },
  };
}
