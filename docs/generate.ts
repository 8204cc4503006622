// Writes the documents that come from the code: `npm run docs`. test/docs.test.ts fails when one of them is stale.
import { writeFile } from 'node:fs/promises';
import { errorPage } from '../src/cli/error-page.ts';
import { handbook } from '../src/config/handbook.ts';

/** File name -> content, for writing and for the test. */
export const documents = (): Readonly<Record<string, string>> => ({
  'errors.md': errorPage(),
  'config.md': handbook(),
});

if (import.meta.main) {
  for (const [name, text] of Object.entries(documents())) await writeFile(new URL(name, import.meta.url), text);
}
