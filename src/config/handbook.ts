import type { Page } from './page.ts';
import { options } from './schema.ts';

/** `docs/config.md`: every option of the file, from the schema itself. */
export function handbook(): string {
  const sections = options().map(({ path, page }) => section(path, page));
  return [
    '# changeover.yaml',
    '',
    'Generated from `src/config/schema.ts` by `npm run docs`; do not edit. `changeover init` writes a commented file to start from,',
    '`changeover run --print-config` shows what a file means, every default filled in and every secret as `***`.',
    '',
    '- `"${NAME}"` in a value is taken from the environment; `"${NAME:-default}"` has a default; `$${` stands for `${` itself.',
    '- `{ file: ./path }` reads a secret from a file; relative paths start at the folder of `changeover.yaml`.',
    '- Durations are a number and `ms`, `s`, `m`, `h` or `d`. Sizes are a number and `B`, `kB`, `MB`, `GB` or `TB`; 1 kB is 1024 bytes,',
    '  as PostgreSQL counts.',
    '- In the names below `*` stands for a name of yours (a site, a tier) or for each item of a list.',
    '',
    ...sections,
  ].join('\n');
}

function section(path: readonly string[], page: Page): string {
  const facts = [
    page.required ? 'Required.' : page.default === undefined ? 'Optional.' : `Default: \`${page.default}\`.`,
    ...(page.least === undefined ? [] : [`From \`${page.least}\` to \`${page.most}\`.`]),
    ...(page.secret ? ['A secret: never printed; may be `{ file: ./path }`.'] : []),
    `Write ${page.right}.`,
  ];
  const why = page.why === undefined ? '' : ` ${page.why}`;
  return `## \`${path.join('.')}\`\n\n${page.says}${why}\n\n${facts.join(' ')}\n\nExample: \`${path.at(-1)}: ${page.example}\`\n`;
}
