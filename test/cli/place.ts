import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const configuration = `name: shop
sites:
  london: { postgres: "postgres://app:hunter2@london/shop" }
  dublin: { postgres: "postgres://app:hunter2@dublin/shop" }
primary: london
`;

export interface TemporaryFolder extends AsyncDisposable {
  readonly cwd: string;
}

/** An empty folder, gone after dispose. */
export async function emptyFolder(): Promise<TemporaryFolder> {
  const cwd = await mkdtemp(join(tmpdir(), 'changeover-cli-'));
  return { cwd, [Symbol.asyncDispose]: () => rm(cwd, { recursive: true, force: true }) };
}

/** A folder with a changeover.yaml of two sites, london and dublin. */
export async function configuredFolder(): Promise<TemporaryFolder> {
  const folder = await emptyFolder();
  await writeFile(join(folder.cwd, 'changeover.yaml'), configuration);
  return folder;
}
