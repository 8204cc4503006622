import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadConfiguration, readConfiguration } from '../../src/config/load.ts';
import { renderConfiguration } from '../../src/config/render.ts';
import { isCode } from '../../src/error.ts';

const env = {
  LONDON_URL: 'postgres://app:Geheim1@london/shop',
  DUBLIN_URL: 'postgres://app:Geheim2@dublin/shop',
  EMPTY: '',
};
const read = (text: string) => readConfiguration(text, { env, folder: '/srv' });
const complaintsAbout = (text: string): readonly string[] =>
  read(text).problems.map(({ line, column, key, message }) => `${line}:${column} ${key}: ${message}`);

const valid = `name: shop
sites:
  london: { postgres: "\${LONDON_URL}" }
  dublin: { postgres: "\${DUBLIN_URL}" }
primary: london
`;
const design = `# changeover.yaml: sites are symmetric; who leads is in the log, not here
name: shop
sites:
  london: { postgres: "\${LONDON_URL}" }
  dublin: { postgres: "\${DUBLIN_URL}" }
  lake:   { duckdb: ./lake.duckdb, role: warehouse }
primary: london            # only for the first start
broker: { log: ./changeover-data }      # or kafka: / rabbitmq: / nats:
tables:
  - { match: "public.*", tier: critical }
  - { match: "audit.*", tier: bulk }
  - { match: "tmp_*", leave_out: true }
objectives: { critical: { rpo: 5s, rto: 60s, verify_every: 24h } }
`;

test('the example of the design loads, but for the engine that this version does not speak', () => {
  assert.deepEqual(complaintsAbout(design), [
    '6:13 sites.lake.duckdb: this version replicates PostgreSQL only; take this site out',
  ]);
  const { configuration } = read(design.replace(/ {2}lake.*\n/, ''));
  assert.equal(configuration?.folder, '/srv/changeover-data');
  assert.equal(configuration?.sites[0]?.url, env.LONDON_URL);
  assert.deepEqual(configuration?.objectives, { critical: { rpoMs: 5000, rtoMs: 60_000, verifyEveryMs: 86_400_000 } });
  assert.equal(configuration?.lagMsMax, 5000, 'the least objective decides what is called lagging');
  assert.deepEqual(configuration?.tables[2], { match: 'tmp_*', leaveOut: true });
});

test('a seal is taken with its ring, paths from the file, and shown without its secrets', () => {
  const sealed = (seal: string) => read(`${valid}broker: { seal: ${seal} }\n`).configuration ?? assert.fail();
  assert.deepEqual(sealed('{ key_file: ./shop.keys }').seal, { kind: 'file', path: '/srv/shop.keys' });
  assert.match(renderConfiguration(sealed('{ key_file: ./shop.keys }')), /key_file: \/srv\/shop.keys/);
  assert.deepEqual(sealed('{ keys: "Geheim3" }').seal, { kind: 'environment', keys: 'Geheim3' });
  const vault = sealed('{ vault: { address: "https://vault:8200", key: shop, token: Geheim4 } }');
  assert.deepEqual(vault.seal, {
    kind: 'vault',
    address: 'https://vault:8200',
    mount: 'transit',
    key: 'shop',
    token: 'Geheim4',
    namespace: undefined,
  });
  for (const one of [vault, sealed('{ keys: "Geheim3" }')]) assert.doesNotMatch(renderConfiguration(one), /Geheim[34]/);
  assert.equal(read(valid).configuration?.seal, undefined);
});

test('the TLS of a site is part of its address, paths from the file; the canary comes without our certificate', () => {
  const site = (text: string) =>
    read(valid.replace('{ postgres: "${LONDON_URL}" }', text)).configuration?.sites[0] ?? assert.fail();
  const planned = site(
    '{ postgres: "${LONDON_URL}", canary: "postgres://web@london/shop", tls: { ca: ./ca.pem, cert: a.pem, key: a.key, server_name: db } }',
  );
  const files = 'sslcert=%2Fsrv%2Fa.pem&sslkey=%2Fsrv%2Fa.key&';
  assert.equal(
    planned.url,
    `${env.LONDON_URL}?sslmode=verify-full&sslrootcert=%2Fsrv%2Fca.pem&${files}sslservername=db`,
  );
  assert.equal(
    planned.canary,
    'postgres://web@london/shop?sslmode=verify-full&sslrootcert=%2Fsrv%2Fca.pem&sslservername=db',
  );
  assert.equal(
    site('{ postgres: "postgres://a@b/c?sslmode=require&sslrootcert=./ca.pem" }').url,
    'postgres://a@b/c?sslmode=require&sslrootcert=%2Fsrv%2Fca.pem',
  );
  assert.equal(site('{ postgres: "${LONDON_URL}", tls: {} }').url, `${env.LONDON_URL}?sslmode=verify-full`);
});

test('an address that could end without TLS, or without proof, is refused', () => {
  const complaint = (query: string) =>
    complaintsAbout(valid.replace('"${LONDON_URL}"', `"postgres://a:Geheim1@b/c?${query}"`)).join();
  for (const mode of ['prefer', 'allow', 'no-verify'])
    assert.match(complaint(`sslmode=${mode}`), /write sslmode=verify-full/);
  for (const name of ['ssl=no-verify', 'uselibpqcompat=true', 'sslnegotiation=direct'])
    assert.match(complaint(name), /^3:23 sites.london.postgres: says \w+, which is not read here/);
  assert.match(complaint('sslcert=a'), /one of sslcert and sslkey/);
  assert.match(complaint('sslmode=disable&sslrootcert=a'), /keep one of the two/);
  for (const mode of ['disable', 'require', 'verify-ca', 'verify-full']) assert.equal(complaint(`sslmode=${mode}`), '');
});

test('a broker of the user is taken with its servers, and shown without what stands before the @', () => {
  const { configuration } = read(
    `${valid}broker: { nats: { servers: "nats://a:secret@one:4222, two", stream: shop } }\n`,
  );
  assert.ok(configuration);
  assert.deepEqual(configuration.broker, {
    kind: 'nats',
    servers: ['nats://a:secret@one:4222', 'two'],
    stream: 'shop',
    retentionMs: 86_400_000,
  });
  assert.equal(configuration.folder, '/srv/changeover-data');
  assert.match(renderConfiguration(configuration), /servers: nats:\/\/\*\*\*@one:4222,two/);
});

test('the TLS and the login of a broker are taken, and no secret is shown', () => {
  const broker = (more: string): string => `${valid}broker: { nats: { servers: one, stream: shop, ${more} } }\n`;
  const { configuration } = read(broker('tls: { ca: ./ca.pem }, token: secret'));
  assert.ok(configuration?.broker.kind === 'nats');
  assert.deepEqual(configuration.broker.tls, { ca: '/srv/ca.pem' });
  assert.deepEqual(configuration.broker.login, { kind: 'token', token: 'secret' });
  assert.match(renderConfiguration(configuration), /token: "\*\*\*"/);
  assert.doesNotMatch(renderConfiguration(configuration), /secret/);
  const complaints = (more: string): string => complaintsAbout(broker(more)).join('\n');
  assert.match(
    complaints('token: a, user: b, password: c'),
    /broker.nats.token: broker.nats.user holds a login already/,
  );
  assert.match(complaints('password: c'), /broker.nats.password: is nothing without user; write both/);
  assert.match(complaints('tls: { cert: a }'), /broker.nats.tls.cert: is nothing without key; write both/);
  assert.match(complaints('nkey: SUsecret'), /broker.nats.nkey: is no seed/);
  assert.doesNotMatch(complaints('nkey: SUsecret'), /SUsecret/);
});

test('RabbitMQ takes TLS and a login as NATS does', () => {
  const broker = (more: string, url = 'amqp://one/shop@x'): string =>
    `${valid}broker: { rabbitmq: { url: "${url}", stream: shop, ${more} } }\n`;
  const { configuration } = read(broker('tls: { ca: ./ca.pem, server_name: mq }, user: me, password: secret'));
  assert.ok(configuration?.broker.kind === 'rabbitmq');
  assert.deepEqual(configuration.broker.tls, { ca: '/srv/ca.pem', serverName: 'mq' });
  assert.deepEqual(configuration.broker.login, { user: 'me', password: 'secret' });
  const rendered = renderConfiguration(configuration);
  assert.match(rendered, /ca: \/srv\/ca.pem\n +server_name: mq\n +user: me\n +password: "\*\*\*"/);
  assert.doesNotMatch(rendered, /secret/);
  const complaints = (text: string): string => complaintsAbout(text).join('\n');
  assert.match(complaints(broker('user: me')), /broker.rabbitmq.user: is nothing without password; write both/);
  assert.match(
    complaints(broker('user: me, password: c', 'amqp://a:b,c@one')),
    /broker.rabbitmq.user: broker.rabbitmq.url holds a login already/,
  );
  assert.match(complaints(broker('tls: { key: a }')), /broker.rabbitmq.tls.key: is nothing without cert; write both/);
});

test('Kafka takes TLS, and a login with its mechanism', () => {
  const broker = (more: string): string =>
    `${valid}broker: { kafka: { bootstrap: "one:9092", topic: shop, ${more} } }\n`;
  const { configuration } = read(broker('tls: { ca: ./ca.pem }, user: me, password: secret, mechanism: plain'));
  assert.ok(configuration?.broker.kind === 'kafka');
  assert.deepEqual(configuration.broker.tls, { ca: '/srv/ca.pem' });
  assert.deepEqual(configuration.broker.login, { mechanism: 'plain', user: 'me', password: 'secret' });
  const rendered = renderConfiguration(configuration);
  assert.match(rendered, /ca: \/srv\/ca.pem\n +mechanism: plain\n +user: me\n +password: "\*\*\*"/);
  assert.doesNotMatch(rendered, /secret/);
  const { configuration: shorter } = read(broker('user: me, password: secret'));
  assert.ok(shorter?.broker.kind === 'kafka');
  assert.equal(shorter.broker.login?.mechanism, 'scram-sha-512');
  const complaints = (more: string): string => complaintsAbout(broker(more)).join('\n');
  assert.match(complaints('mechanism: plain'), /broker.kafka.mechanism: is nothing without user; write both/);
  assert.match(complaints('user: me'), /broker.kafka.user: is nothing without password; write both/);
  assert.match(complaints('tls: { cert: a }'), /broker.kafka.tls.cert: is nothing without key; write both/);
});

/** What is done to the valid file -> what is said about it. */
const slips: readonly (readonly [string, (text: string) => string, readonly string[]])[] = [
  ['an unknown key', (text) => `${text}hartbeat: 5s\n`, ['6:1 hartbeat: is not known here; did you mean heartbeat?']],
  [
    'a key nothing like any other',
    (text) => text.replace('{ postgres: "${DUBLIN_URL}" }', '{ postgres: "${DUBLIN_URL}", colour: red }'),
    ['4:40 sites.dublin.colour: is not known here; known are postgres, password, canary, tls, role'],
  ],
  [
    'TLS planned twice, and half',
    (text) =>
      text
        .replace('"${LONDON_URL}"', '"postgres://a@b/c?sslmode=require", tls: {}')
        .replace('"${DUBLIN_URL}"', '"${DUBLIN_URL}", tls: { cert: a.pem }'),
    [
      '3:59 sites.london.tls: the address says how it is encrypted already; keep one of the two',
      '4:47 sites.dublin.tls.cert: is nothing without key; write both',
    ],
  ],
  ['a key given twice', (text) => `${text}name: other\n`, ['6:1 this key is given twice; keep one of the two']],
  ['a tab', (text) => text.replace('  dublin', '\tdublin'), ['4:1 a tab is no indentation in YAML; use spaces']],
  [
    'a primary that is no site',
    (text) => text.replace('primary: london', 'primary: londn'),
    ['5:10 primary: "londn" is none of the sites; did you mean london?'],
  ],
  [
    'a primary that only receives',
    (text) => text.replace('"${LONDON_URL}"', '"${LONDON_URL}", role: warehouse'),
    ['5:10 primary: london is a warehouse, and those only receive; name a peer'],
  ],
  [
    'one site only',
    (text) => text.replace(/ {2}dublin.*\n/, ''),
    ['2:1 sites: one site is no replication; name at least two'],
  ],
  [
    'a missing key',
    (text) => text.replace('primary: london\n', ''),
    ['1:1 primary: is missing; write the name of one of the sites'],
  ],
  [
    'a bad duration',
    (text) => `${text}heartbeat: 5 parsecs\n`,
    ['6:12 heartbeat: "5 parsecs" is no duration; write a number and one of ms, s, m, h, d, for example 5s'],
  ],
  [
    'a number without its unit',
    (text) => `${text}heartbeat: 5\n`,
    ['6:12 heartbeat: "5" is not what belongs here; write a number and one of ms, s, m, h, d, for example 5s'],
  ],
  [
    'a size out of bounds',
    (text) => `${text}wal_budget: 1kB\n`,
    ['6:13 wal_budget: "1kB" is out of bounds; write at least 16MB and at most 1000TB'],
  ],
  [
    'a pattern of three parts',
    (text) => `${text}tables:\n  - match: a.b.c\n`,
    [
      '7:12 tables[0].match: "a.b.c" is no pattern of tables; write schema.table or table, with * for any run of characters, for example public.*',
    ],
  ],
  [
    'a copy of itself',
    (text) => text.replace('DUBLIN_URL', 'LONDON_URL'),
    ['4:23 sites.dublin.postgres: is the same database as sites.london; a copy needs a place of its own'],
  ],
  [
    'an objective for nobody',
    (text) => `${text}tables: [{ match: "*", tier: critical }]\nobjectives: { critcal: { rpo: 5s } }\n`,
    ['7:15 objectives.critcal: no rule of tables has this tier; did you mean critical?'],
  ],
  [
    'an objective below the heartbeat',
    (text) => `${text}tables: [{ match: "*", tier: a }]\nobjectives: { a: { rpo: 3s } }\n`,
    ['7:25 objectives.a.rpo: is less than two heartbeats of 2s; write heartbeat: at most half of it'],
  ],
  [
    'a name that no slot can have',
    (text) => text.replace('shop', 'Shop-1'),
    ['1:7 name: "Shop-1" is no name for a lane; write small letters, digits and _, a letter first, at most 40'],
  ],
  [
    'a variable that is not set',
    (text) => text.replace('DUBLIN_URL', 'CORK_URL'),
    ['4:23 sites.dublin.postgres: the environment variable CORK_URL is not set; set it, or write ${CORK_URL:-default}'],
  ],
  [
    'an empty variable',
    (text) => text.replace('DUBLIN_URL', 'EMPTY'),
    ['4:23 sites.dublin.postgres: the environment variable EMPTY is empty; set it, or write ${EMPTY:-default}'],
  ],
  [
    'a broker of NATS without its stream, at no address',
    (text) => `${text}broker: { nats: { servers: "http://user:secret@there" } }\n`,
    [
      '6:11 broker.nats.stream: is missing; write letters, digits, _ and -, for example shop',
      '6:28 broker.nats.servers: is no address of NATS; write nats://host:4222, several with commas between them, and % in a password as %25',
    ],
  ],
  [
    'two brokers for one lane',
    (text) => `${text}broker: { nats: { servers: one, stream: a }, kafka: { bootstrap: "one:9092", topic: a } }\n`,
    ['6:46 broker.kafka: broker.nats is given already; one broker carries a lane'],
  ],
  [
    'a seal without keys',
    (text) => `${text}broker: { seal: {} }\n`,
    ['6:11 broker.seal: names no keys; write one of key_file, keys and vault in it'],
  ],
  [
    'a seal with two rings, one of them incomplete',
    (text) => `${text}broker: { seal: { key_file: ./k, vault: { address: "vault:8200", key: shop } } }\n`,
    [
      '6:34 broker.seal.vault.token: is missing; write "${NAME}" or { file: ./path }',
      '6:34 broker.seal.vault: broker.seal.key_file is given already; keep one of the two',
      '6:52 broker.seal.vault.address: "vault:8200" is no address of a Vault; write https://host:8200',
    ],
  ],
  ['an empty file', () => '# nothing\n', ['1:1 the file is empty; changeover init writes one to start from']],
];

for (const [slip, change, expected] of slips) {
  test(`says where and what would be right: ${slip}`, () => {
    assert.deepEqual(
      complaintsAbout(change(valid)).map((line) => line.replace(/^(\d+:\d+) : /, '$1 ')),
      expected,
    );
  });
}

test('says everything at once, in the order of the file', () => {
  const broken = valid
    .replace('primary: london', 'primary: x\nheartbeat: soon\nnmae: y')
    .replace('name: shop', 'name: SHOP');
  assert.deepEqual(
    read(broken).problems.map(({ key }) => key),
    ['name', 'primary', 'heartbeat', 'nmae'],
  );
});

test('never quotes an address, a password or a line of the file', () => {
  const secret = 'hunter2';
  const leaks = [
    `postgres: mysql://u:${secret}@h/db`,
    `postgres: "postgres://u:${secret}@h:bad/db"`,
    `postgres: "postgres://u:${secret}@h"`,
    `postgres://u:${secret}@h/db`,
    `postgres: *${secret}`,
    `postgres: @${secret}`,
    `postgres: "${secret}`,
    `postgres: ["${secret}"]`,
    `postgres: "\${${secret}:-x}", password: [${secret}]`,
    `postgres: "postgres://u:${secret}@h/db", password: ${secret}`,
    `password: "\\y${secret}"`,
  ];
  for (const leak of leaks) {
    const complaints = complaintsAbout(valid.replace('postgres: "${DUBLIN_URL}"', leak));
    assert.notEqual(complaints.length, 0, leak);
    assert.doesNotMatch(complaints.join('\n'), new RegExp(secret), leak);
  }
});

test('takes secrets from the environment, from defaults and from files', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'changeover-config-'));
  try {
    await writeFile(join(folder, 'password'), 'p@ss:w/rd%#\n');
    const text = valid
      .replace('"${LONDON_URL}"', '"postgres://app@${HOST:-london}/shop", password: { file: ./password }')
      .replace('"${DUBLIN_URL}"', '{ file: ./nowhere }');
    const { problems } = readConfiguration(text, { env: {}, folder });
    assert.equal(
      problems[0]?.message,
      'the file ./nowhere cannot be read (ENOENT); check its path and its permissions',
    );
    const mended = readConfiguration(text.replace('./nowhere', './url'), { env: {}, folder: await withUrl(folder) });
    const london = new URL(mended.configuration?.sites[0]?.url ?? '');
    assert.equal(london.hostname, 'london');
    assert.equal(decodeURIComponent(london.password), 'p@ss:w/rd%#');
    assert.equal(mended.configuration?.sites[1]?.url, 'postgres://dublin/shop');
  } finally {
    await rm(folder, { recursive: true });
  }
});

async function withUrl(folder: string): Promise<string> {
  await writeFile(join(folder, 'url'), 'postgres://dublin/shop\n');
  return folder;
}

test('the code tells whether only secrets are missing, and the message names file, line and column', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'changeover-config-'));
  const file = join(folder, 'changeover.yaml');
  try {
    await assert.rejects(loadConfiguration(file, { env }), (error) => isCode(error, 'CONFIG_UNREADABLE'));
    await writeFile(file, valid);
    await assert.rejects(loadConfiguration(file, { env: {} }), (error) => {
      assert(isCode(error, 'CONFIG_SECRET_MISSING') && error instanceof Error);
      assert.match(error.message, /changeover\.yaml:3:23 sites\.london\.postgres: the environment variable LONDON_URL/);
      return true;
    });
    await writeFile(file, `${valid}x: 1\n`);
    await assert.rejects(loadConfiguration(file, { env: {} }), (error) => isCode(error, 'CONFIG_INVALID'));
  } finally {
    await rm(folder, { recursive: true });
  }
});
