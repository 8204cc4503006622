import type { Page } from './page.ts';
import { options } from './schema.ts';

const widthMax = 100;

/** A commented changeover.yaml: every option with what it does, its default and its bounds. Prose begins with `# `; an option
 *  that begins with `#` alone is left at its default, and taking that `#` away changes nothing. */
export function template(): string {
  const pages = new Map(options().map(({ path, page }) => [path.join('.'), page]));
  const part = (path: string, indent: string, ...body: readonly string[]): string[] => {
    const page = pages.get(path);
    const remarks = page ? wrap(`${lastOf(path)}: ${remark(page)}`, widthMax - indent.length) : [];
    return [...remarks.map((line) => `# ${line}`), ...body].map((line) => indent + line);
  };
  const atDefault = (path: string, indent: string): string[] =>
    part(path, indent, `#${lastOf(path)}: ${pages.get(path)?.default ?? ''}`);
  const lines = [
    '# The plan of one replication lane. Prove it with: changeover check. Start it with: changeover run.',
    '# "${NAME}" is taken from the environment, "${NAME:-default}" too; { file: ./path } reads a secret from a file.',
    '',
    ...part('name', '', 'name: shop', ''),
    ...part('sites', '', 'sites:'),
    ...['postgres', 'password', 'canary', 'tls', 'tls.ca', 'tls.cert', 'tls.key', 'tls.server_name', 'role'].flatMap(
      (key) => part(`sites.*.${key}`, '  '),
    ),
    '  london: { postgres: "${LONDON_URL}" }',
    '  dublin: { postgres: "${DUBLIN_URL}" }',
    '',
    ...part('primary', '', 'primary: london', ''),
    ...part('broker', '', 'broker:'),
    ...part('broker.log', '  ', 'log: ./changeover-data'),
    ...[
      'nats',
      'nats.servers',
      'nats.stream',
      'nats.tls',
      'nats.tls.ca',
      'nats.tls.cert',
      'nats.tls.key',
      'nats.tls.server_name',
      'nats.user',
      'nats.password',
      'nats.token',
      'nats.nkey',
      'nats.creds',
      'kafka',
      'kafka.bootstrap',
      'kafka.topic',
      'kafka.tls',
      'kafka.tls.ca',
      'kafka.tls.cert',
      'kafka.tls.key',
      'kafka.tls.server_name',
      'kafka.mechanism',
      'kafka.user',
      'kafka.password',
      'rabbitmq',
      'rabbitmq.url',
      'rabbitmq.stream',
      'rabbitmq.tls',
      'rabbitmq.tls.ca',
      'rabbitmq.tls.cert',
      'rabbitmq.tls.key',
      'rabbitmq.tls.server_name',
      'rabbitmq.user',
      'rabbitmq.password',
      'seal',
      'seal.key_file',
      'seal.keys',
      'seal.vault',
      'seal.vault.address',
      'seal.vault.key',
      'seal.vault.token',
      'seal.vault.mount',
      'seal.vault.namespace',
    ].flatMap((key) => part(`broker.${key}`, '  ')),
    ...atDefault('broker.keep', '  '),
    ...atDefault('broker.keep_at_most', '  '),
    '',
    ...part('tables', ''),
    ...['match', 'tier', 'leave_out', 'rows', 'leave_out_columns', 'mask'].flatMap((key) =>
      part(`tables.*.${key}`, ''),
    ),
    'tables:',
    '  - { match: "public.*", tier: critical }',
    '  - { match: "tmp_*", leave_out: true }',
    '',
    ...part('mask_key', '', ''),
    ...part('objectives', ''),
    ...['rpo', 'rto', 'verify_every'].flatMap((key) => part(`objectives.*.${key}`, '')),
    'objectives:',
    '  critical: { rpo: 5s, rto: 60s, verify_every: 24h }',
    ...['guard', 'heartbeat', 'wal_budget', 'over_budget', 'lagging_after', 'unheard_after'].flatMap((path) => [
      '',
      ...atDefault(path, ''),
    ]),
  ];
  return `${lines.join('\n')}\n`;
}

const lastOf = (path: string): string => path.split('.').at(-1) ?? path;

function remark({ says, why, least, most }: Page): string {
  const bounds = least === undefined ? '' : ` From ${least} to ${most}.`;
  return `${says}${why === undefined ? '' : ` ${why}`}${bounds}`;
}

function wrap(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
