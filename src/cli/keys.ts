import type { KeyRing } from '../broker/key-ring.ts';
import { countWords } from '../control/words.ts';
import { ChangeoverError } from '../error.ts';
import { aligned, outJson, paint, type Session } from './desk.ts';
import type { ExitCode } from './failure.ts';
import { type ConfiguredOptions, configurationFor } from './lane.ts';

export interface KeysRotateOptions extends ConfiguredOptions {
  readonly dryRun?: true;
}

export async function keysList(session: Session, options: ConfiguredOptions): Promise<ExitCode> {
  const { desk, signal } = session;
  const ring = await ringFor(session, options);
  const keys = await ring.keys(signal);
  if (options.json) {
    outJson(desk, { schema: 'changeover.keys.ls/1', ring: ring.name, keys });
    return 0;
  }
  desk.out(`${paint(desk, 'bold', countWords(keys.length, 'key', 'keys'))} in ${ring.name}\n\n`);
  desk.out(aligned(keys.map(({ name, seals }) => [name, seals ? 'seals, and opens what it sealed' : 'opens'])));
  return 0;
}

export async function keysRotate(session: Session, options: KeysRotateOptions): Promise<ExitCode> {
  const { desk, signal } = session;
  const ring = await ringFor(session, options);
  if (!ring.rotate)
    throw new ChangeoverError('CLI_REFUSED', `The ${ring.name} is kept by whoever starts us`, {
      hint: 'Put a new key behind the others where they come from (openssl rand -hex 32), then start each process anew, one after the other: first those that apply, last the one that captures.',
    });
  const key = options.dryRun ? null : await ring.rotate(signal);
  if (options.json) outJson(desk, { schema: 'changeover.keys.rotate/1', ring: ring.name, key });
  else if (key === null) desk.out(`NOTHING DONE: a new key would be added to ${ring.name}, and seal from then on\n`);
  else {
    desk.out(`${paint(desk, ['green', 'bold'], 'ROTATED')}: ${key} seals, in ${ring.name}\n\n`);
    desk.out('  Who captures takes it within ten minutes. Older keys stay: they open what they sealed.\n');
  }
  return 0;
}

/** Throws CLI_NOTHING_HERE. */
async function ringFor(session: Session, options: ConfiguredOptions): Promise<KeyRing> {
  const ring = await session.house.keyRing(await configurationFor(session, options));
  if (ring) return ring;
  throw new ChangeoverError('CLI_NOTHING_HERE', 'The configuration asks for no seal', {
    hint: 'Name a key ring, for example: broker: { seal: { key_file: ./changeover.keys } }',
  });
}
