import { type Action, type Code, errorTable } from '../error.ts';

const meaning: Readonly<Record<Action, string>> = {
  retry: 'tried again, with growing pauses, until it heals',
  stop: 'stops that command or agent; nothing is broken',
  page: 'stops and needs a person',
};

/** `docs/errors.md`: the closed table, room by room. */
export function errorPage(): string {
  const codes = Object.keys(errorTable) as Code[];
  const rooms = Map.groupBy(codes, (code) => code.split('_')[0] ?? '');
  const tables = [...rooms].flatMap(([room, codes]) => [
    `## ${room}`,
    '',
    '| code | then | what to do |',
    '|---|---|---|',
    ...codes.map((code) => `| \`${code}\` | ${errorTable[code].action} | ${cell(errorTable[code].hint)} |`),
    '',
  ]);
  return [
    '# Errors',
    '',
    'Generated from `src/error.ts` by `npm run docs`; do not edit. Every error has one of these codes; no other exists.',
    'An error is printed once, as `CODE message` and a line `hint: ...`, on standard error; with `--json` as',
    '`{"error": {"code", "message", "hint"}}` on standard output. A particular error may carry a more exact hint than the one here.',
    '',
    ...Object.entries(meaning).map(([action, text]) => `- **${action}**: ${text}.`),
    '',
    ...tables,
  ].join('\n');
}

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('<', '&lt;');
