import { chmod, mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { ChangeoverError } from '../error.ts';
import { addressFault, addressForm, hostOf, placeOf, withPathsFrom } from './address.ts';
import type { Configuration } from './configuration.ts';
import { normalised } from './normalise.ts';
import { fileSchema, isSiteName, laneName } from './schema.ts';
import { isPattern, patternForm } from './tables.ts';

export interface ReplicateOptions {
  /** The data folder. */
  readonly folder: string;
  /** Default `replicate`. */
  readonly name?: string;
  /** When any are given, only tables that match one of them are replicated. */
  readonly only?: readonly string[];
  readonly leaveOut?: readonly string[];
}

export const replicateFile = (folder: string): string => join(folder, 'replicate.json');
const format = 'changeover.replicate/1';

/** The plan of `changeover replicate`: one primary, one secondary, everything else by default. Throws CLI_USAGE. */
export function configurationFromUrls(from: string, to: string, options: ReplicateOptions): Configuration {
  for (const [which, address] of [['first', from] as const, ['second', to] as const]) {
    const fault = addressFault(address);
    if (fault !== undefined) throw usage(`The ${which} address ${fault}`);
  }
  if (placeOf(from) === placeOf(to)) throw usage('Both addresses name the same database');
  const name = options.name ?? 'replicate';
  if (!laneName.test(name)) throw usage(`"${name}" is no name for a lane; write small letters, digits and _`);
  const wrong = [...(options.only ?? []), ...(options.leaveOut ?? [])].find((pattern) => !isPattern(pattern));
  if (wrong !== undefined) throw usage(`"${wrong}" is no pattern of tables; write ${patternForm}`);
  const [primary, secondary] = siteNames(from, to);
  const file = fileSchema.parse({
    name,
    // The plan is kept in its folder; paths of the command line start where it was typed.
    sites: {
      [primary]: { postgres: withPathsFrom(from, '.') },
      [secondary]: { postgres: withPathsFrom(to, '.') },
    },
    primary,
    broker: { log: '.' },
    tables: [
      ...(options.only?.length ? [{ match: '*', leave_out: true }] : []),
      ...(options.only ?? []).map((match) => ({ match })),
      ...(options.leaveOut ?? []).map((match) => ({ match, leave_out: true })),
    ],
  });
  return normalised(file, resolve(options.folder));
}

const usage = (message: string): ChangeoverError =>
  new ChangeoverError('CLI_USAGE', message, {
    hint: `Example: changeover replicate postgres://london/shop postgres://dublin/shop (${addressForm})`,
  });

/** The hosts, where they tell the sites apart; else what the sites are. */
function siteNames(from: string, to: string): readonly [string, string] {
  const [a, b] = [hostOf(from), hostOf(to)];
  return a !== b && isSiteName(a) && isSiteName(b) ? [a, b] : ['primary', 'secondary'];
}

/** Keeps the plan in its folder, so that the other commands need no arguments there. It holds the addresses with their
 *  passwords, readable by the owner only, beside a log that holds the data itself. */
export async function saveReplicate(configuration: Configuration): Promise<void> {
  await mkdir(configuration.folder, { recursive: true, mode: 0o700 });
  await chmod(configuration.folder, 0o700);
  const file = replicateFile(configuration.folder);
  const { name, primary } = configuration;
  const plan = {
    name,
    sites: Object.fromEntries(configuration.sites.map((site) => [site.name, { postgres: site.url, role: site.role }])),
    primary,
    broker: { log: '.' },
    tables: configuration.tables.map(({ match, leaveOut }) => ({ match, leave_out: leaveOut === true })),
  };
  const text = `${JSON.stringify({ format, plan }, undefined, 2)}\n`;
  await writeFile(`${file}.new`, text, { mode: 0o600 });
  await rename(`${file}.new`, file);
}

/** Throws CONFIG_UNREADABLE where there is none or it cannot be read, CONFIG_INVALID where somebody changed it. */
export async function loadReplicate(file: string): Promise<Configuration> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new ChangeoverError('CONFIG_UNREADABLE', `${file} cannot be read`, { cause });
  });
  const saved = parsed(text);
  const plan = typeof saved === 'object' && saved !== null && 'plan' in saved ? saved.plan : undefined;
  const checked = fileSchema.safeParse(plan);
  if (checked.success) return normalised(checked.data, dirname(resolve(file)));
  throw new ChangeoverError('CONFIG_INVALID', `${file} is not as changeover replicate left it`, {
    hint: 'Run changeover replicate <from-url> <to-url> again with the same folder; it writes the file anew and resumes.',
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
