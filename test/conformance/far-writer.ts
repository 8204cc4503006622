import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { epoch } from '../../src/change/position.ts';
import { ChangeoverError } from '../../src/error.ts';
import { whole } from '../broker/batches.ts';
import type { Adapter, StreamPlace } from './broker-server.ts';

/** A writer in a process of its own, which can be frozen as a machine or a network can freeze it. */
export interface FarWriter extends AsyncDisposable {
  /** Appends the transaction `order`; resolves to its offset, or to the code of the error. */
  append(leads: number, order: number): Promise<string>;
  freeze(): void;
  thaw(): void;
}

export async function openFarWriter(how: { readonly module: URL; readonly place: StreamPlace }): Promise<FarWriter> {
  const child = spawn(process.execPath, [new URL(import.meta.url).pathname], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, FAR_WRITER: JSON.stringify({ module: how.module.href, place: how.place }) },
  });
  const answers = createInterface(child.stdout)[Symbol.asyncIterator]();
  const answer = async (): Promise<string> => (await answers.next()).value ?? 'ended';
  if ((await answer()) !== 'open') throw new RangeError('The far writer did not open');
  return {
    append(leads, order) {
      child.stdin.write(`${JSON.stringify({ leads, order })}\n`);
      return answer();
    },
    freeze: () => void child.kill('SIGSTOP'),
    thaw: () => void child.kill('SIGCONT'),
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    },
  };
}

async function main(how: string): Promise<void> {
  const { module, place } = JSON.parse(how) as { module: string; place: StreamPlace };
  const { adapter } = (await import(module)) as { adapter: Adapter };
  const writer = await adapter.openWriter(place, new AbortController().signal);
  console.log('open');
  for await (const line of createInterface(process.stdin)) {
    const { leads, order } = JSON.parse(line) as { leads: number; order: number };
    try {
      console.log(await writer.append(epoch(leads), whole(order)));
    } catch (error) {
      console.log(error instanceof ChangeoverError ? error.code : String(error));
    }
  }
}

if (process.env.FAR_WRITER !== undefined && process.argv[1] === new URL(import.meta.url).pathname)
  await main(process.env.FAR_WRITER);
