import { z } from 'zod';
import { addressFault, addressForm } from './address.ts';
import { kafka } from './kafka.ts';
import { nats } from './nats.ts';
import { described, type Page, pages } from './page.ts';
import { rabbitmq } from './rabbitmq.ts';
import { rule } from './rule.ts';
import { seal } from './seal.ts';
import { tls } from './tls.ts';
import { durationForm, parseDurationMs, parseSizeBytes, sizeForm } from './units.ts';

interface Measure {
  readonly least: string;
  readonly most: string;
  readonly default?: string;
}

const measured = (form: string, noun: string, parse: (text: string) => number | undefined, bounds: Measure) => {
  const [least = 0, most = Number.MAX_SAFE_INTEGER] = [parse(bounds.least), parse(bounds.most)];
  return z.string().transform((text, context) => {
    const value = parse(text);
    if (value !== undefined && value >= least && value <= most) return value;
    const message =
      value === undefined
        ? `is no ${noun}; write ${form}`
        : `is out of bounds; write at least ${bounds.least} and at most ${bounds.most}`;
    context.addIssue({ code: 'custom', message });
    return z.NEVER;
  });
};

type MeasurePage = Omit<Page, 'right' | 'example' | 'default' | 'least' | 'most'>;
const duration = (bounds: Measure & { readonly default: string }, page: MeasurePage) =>
  described(measured(durationForm, 'duration', parseDurationMs, bounds).prefault(bounds.default), {
    ...page,
    ...bounds,
    right: durationForm,
    example: bounds.default,
  });
const size = (bounds: Measure & { readonly default: string }, page: MeasurePage) =>
  described(measured(sizeForm, 'size', parseSizeBytes, bounds).prefault(bounds.default), {
    ...page,
    ...bounds,
    right: sizeForm,
    example: bounds.default,
  });
const optionalDuration = (bounds: Measure, page: MeasurePage & { readonly example: string }) =>
  described(measured(durationForm, 'duration', parseDurationMs, bounds).optional(), {
    ...page,
    ...bounds,
    right: durationForm,
  });

export const laneName = /^[a-z][a-z0-9_]{0,39}$/;
const siteName = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
export const isSiteName = (text: string): boolean => siteName.test(text);

const address = z.string().superRefine((text, context) => {
  const fault = addressFault(text);
  if (fault !== undefined) context.addIssue({ code: 'custom', message: fault });
});

const site = z.strictObject({
  postgres: described(address, {
    says: 'Address of the database, and of the user that we log in as. Where physical standbys may take its place, all hosts: postgres://user@one:5432,two:5432/database; the one that leads is meant.',
    why: 'The password does not belong in this file: take it from the environment with "${NAME}", or from a file.',
    right: `an address like ${addressForm}, or { file: ./path } to read it from a file`,
    example: '"${LONDON_URL}"',
    required: true,
    secret: true,
  }),
  password: described(z.string().optional(), {
    says: 'The password, apart from the address.',
    why: 'Given so, its characters need no %40-like spelling. Without it and without one in the address, PGPASSWORD and ~/.pgpass are asked.',
    right: 'the password as text, "${NAME}", or { file: ./path } to read it from a file',
    example: '{ file: ./london.password }',
    secret: true,
  }),
  canary: described(address.optional(), {
    says: 'Address that an application logs in with. A switchover tries it to prove that nobody can write any more.',
    why: 'Where the server asks for a password, only a login with the right one proves that it is refused for another reason.',
    right: `an address like ${addressForm}, or { file: ./path } to read it from a file`,
    example: '"${LONDON_APP_URL}"',
    secret: true,
  }),
  tls: described(tls.optional(), {
    says: 'Connects to this database by TLS, and only if it proves who it is. `{}` is enough where its certificate is of a public authority.',
    why: 'The same can stand in the address, as libpq writes it: sslmode, sslrootcert, sslcert, sslkey. There, require and verify-ca mean verify-full; prefer and allow are refused.',
    right: 'a mapping like { ca: ./ca.pem }',
    example: '{ ca: ./ca.pem }',
  }),
  role: described(z.enum(['peer', 'warehouse']).prefault('peer'), {
    says: 'A peer may lead one day; a warehouse only ever receives.',
    right: 'peer or warehouse',
    example: 'peer',
    default: 'peer',
  }),
});

const objective = z.strictObject({
  rpo: optionalDuration(
    { least: '1s', most: '30d' },
    {
      says: 'Recovery point objective: the most that may be lost. A secondary further behind than the least of all tiers is called lagging.',
      example: '5s',
    },
  ),
  rto: optionalDuration(
    { least: '1s', most: '30d' },
    {
      says: 'Recovery time objective: the longest that a failover may take. This version only keeps it.',
      example: '60s',
    },
  ),
  verify_every: optionalDuration(
    { least: '1m', most: '365d' },
    { says: 'How often both sides are to be compared row by row. This version only keeps it.', example: '24h' },
  ),
});

const log = z.strictObject({
  log: described(z.string().min(1).prefault('./changeover-data'), {
    says: 'Folder of the embedded log and of everything else that we keep on disk. Relative paths start at this file.',
    why: 'Put it on a disk of its own, away from the primary: it is what remains when the primary is gone.',
    right: 'a path, for example ./changeover-data',
    example: './changeover-data',
    default: './changeover-data',
  }),
  nats: described(nats.optional(), {
    says: 'Carries the changes in a stream of NATS JetStream instead of in our own log. 2.9 or later.',
    why: 'Where capture and apply run on different machines. Only entries that every secondary has are removed there.',
    right: 'a mapping like { servers: "nats://localhost:4222", stream: shop }',
    example: '{ servers: "nats://localhost:4222", stream: shop }',
  }),
  kafka: described(kafka.optional(), {
    says: 'Carries the changes in a topic of Kafka instead of in our own log. 3.9 or later.',
    why: 'Where capture and apply run on different machines. Only entries that every secondary has are removed there.',
    right: 'a mapping like { bootstrap: "kafka-1:9092", topic: shop }',
    example: '{ bootstrap: "kafka-1:9092", topic: shop }',
  }),
  rabbitmq: described(rabbitmq.optional(), {
    says: 'Carries the changes in a stream of RabbitMQ instead of in our own log. 3.10 or later.',
    why: 'A queue of type stream: classic and quorum queues cannot be read again. It forgets by its own settings (x-max-age): a secondary that is down for longer must be copied anew. One that we make keeps entries as long as `keep` says, and a week at the least.',
    right: 'a mapping like { url: "${RABBITMQ_URL}", stream: shop }',
    example: '{ url: "${RABBITMQ_URL}", stream: shop }',
  }),
  seal: described(seal.optional(), {
    says: 'Seals everything that the broker holds, our own log included: compressed, encrypted, and chained from the first entry on.',
    why: 'Whoever runs the broker can then neither read it, nor change, drop, reorder or repeat anything in it unnoticed. A stream is sealed from its first entry on or not at all: to turn this on for a lane that runs, begin a new copy with changeover run --restart.',
    right: 'a mapping with one of key_file, keys and vault, like { key_file: ./changeover.keys }',
    example: '{ key_file: ./changeover.keys }',
  }),
  keep: duration(
    { default: '24h', least: '0s', most: '3650d' },
    {
      says: 'How long entries stay in the log after every secondary has them.',
      why: 'What a secondary still needs stays as long as it needs it, whatever is written here.',
    },
  ),
  keep_at_most: size(
    { default: '50GB', least: '64MB', most: '1000TB' },
    {
      says: 'From this size on, the oldest entries that every secondary has go earlier than `keep` says.',
      why: 'Never at the cost of a secondary: for one that is down the log grows beyond this.',
    },
  ),
});

/** The file as it is written; `load.ts` turns it into a Configuration. */
export const fileSchema = z.strictObject({
  name: described(
    z.string().regex(laneName, {
      error: 'is no name for a lane; write small letters, digits and _, a letter first, at most 40',
    }),
    {
      says: 'Names the lane. Do not change it while it runs: the slot and the publication at the primary carry it.',
      why: 'PostgreSQL allows small letters, digits and _ in the name of a slot.',
      right: 'small letters, digits and _, a letter first, for example shop',
      example: 'shop',
      required: true,
    },
  ),
  sites: described(
    z.record(z.string().regex(siteName, { error: 'is no name for a site; write letters, digits, . _ and -' }), site),
    {
      says: 'The databases, by names of yours; at least two. They are symmetric: who leads is in the log, not here.',
      right: 'a mapping of at least two sites, each like london: { postgres: "${LONDON_URL}" }',
      example: '{ london: { postgres: "${LONDON_URL}" }, dublin: { postgres: "${DUBLIN_URL}" } }',
      required: true,
    },
  ),
  primary: described(z.string(), {
    says: 'Which site leads at the first start.',
    right: 'the name of one of the sites',
    example: 'london',
    required: true,
  }),
  broker: described(log.prefault({}), {
    says: 'What carries the changes from site to site.',
    right: 'a mapping like { log: ./changeover-data }',
    example: '{ log: ./changeover-data }',
    default: '{ log: ./changeover-data }',
  }),
  tables: described(z.array(rule).prefault([]), {
    says: 'Rules about tables. The last rule that matches a table decides; a table that none matches is replicated.',
    right: 'a list of rules like - { match: "public.*" }',
    example: '[{ match: "tmp_*", leave_out: true }]',
    default: '[]',
  }),
  mask_key: described(
    z.string().min(16, { error: 'is too short to keep a secret; write at least 16 characters' }).optional(),
    {
      says: 'The key of all hashes of `mask`. Needed where there is one. Another key makes other hashes, and so needs a new copy.',
      why: 'Without the key nobody can find out a hashed value by hashing all that it could be.',
      right: '"${NAME}" or { file: ./path }, with at least 16 characters in it',
      example: '"${MASK_KEY}"',
      secret: true,
    },
  ),
  objectives: described(z.record(z.string(), objective).prefault({}), {
    says: 'What each tier demands.',
    right: 'a mapping of tiers like critical: { rpo: 5s }',
    example: '{ critical: { rpo: 5s, rto: 60s, verify_every: 24h } }',
    default: '{}',
  }),
  guard: described(z.boolean().prefault(false), {
    says: 'Whether a secondary is shut to everybody who could write there, from the first start on, as it is after every switchover.',
    why: 'What is written at a secondary is lost or stops its lane. Roles are shut out of the whole server, also of other databases there.',
    right: 'true or false',
    example: 'true',
    default: 'false',
  }),
  heartbeat: duration(
    { default: '2s', least: '100ms', most: '5m' },
    {
      says: 'How often a mark is written through the log of the primary.',
      why: 'It moves the slot of an idle database and makes the lag known; it costs one tiny record of WAL each time.',
    },
  ),
  wal_budget: size(
    { default: '10GB', least: '16MB', most: '1000TB' },
    {
      says: 'How much WAL the primary may keep on our account before `changeover status` raises it.',
      why: 'What happens then says `over_budget`. To have the primary itself draw the line, set max_slot_wal_keep_size there.',
    },
  ),
  over_budget: described(z.enum(['warn', 'release']).prefault('warn'), {
    says: 'What capture does when the primary keeps more WAL for us than `wal_budget`: only `warn`, or `release` it: the slot is given up, capture stops, and the secondary stays as it is until changeover resync copies what differs.',
    why: 'A primary whose disk is full takes no more writes; a slot that is given up costs a comparison of both sides, and until then everything that is not captured is at the primary only. Which is worse only you know. It works while capture runs: for when it does not, set max_slot_wal_keep_size at the primary.',
    right: 'warn or release',
    example: 'release',
    default: 'warn',
  }),
  lagging_after: duration(
    { default: '30s', least: '1s', most: '30d' },
    {
      says: 'A secondary further behind than this is called lagging, unless an objective asks for less.',
      why: 'Well above the heartbeat: an idle database is only as fresh as its last mark.',
    },
  ),
  unheard_after: duration(
    { default: '60s', least: '1s', most: '10m' },
    {
      says: 'A connection of which nothing was heard for so long is given up and opened anew.',
      why: 'A network can fail without telling either end. A server that is busy for longer is not given up: it is asked.',
    },
  ),
});

export type ConfigurationFile = z.output<typeof fileSchema>;

/** The schema inside defaults and options. */
function inside(schema: z.ZodType): z.ZodType {
  let found: unknown = schema;
  while (found instanceof z.ZodPrefault || found instanceof z.ZodOptional) found = found.unwrap();
  return found as z.ZodType;
}

/** The schema at a place of the file; `*` in a path stands for any name or index. Undefined: nothing may stand there. */
function schemaAt(path: readonly PropertyKey[]): z.ZodType | undefined {
  let schema: z.ZodType | undefined = fileSchema;
  for (const part of path) {
    const holder: z.ZodType | undefined = schema && inside(schema);
    if (holder instanceof z.ZodObject) schema = (holder.shape as Record<PropertyKey, z.ZodType>)[part];
    else if (holder instanceof z.ZodRecord) schema = holder.valueType as z.ZodType;
    else if (holder instanceof z.ZodArray) schema = holder.element as z.ZodType;
    else return undefined;
  }
  return schema;
}

export function pageAt(path: readonly PropertyKey[]): Page | undefined {
  const schema = schemaAt(path);
  return schema && pages.get(schema);
}

/** The keys that a mapping at `path` may hold. Empty where it may hold each, or is no mapping. */
export function keysAt(path: readonly PropertyKey[]): readonly string[] {
  const schema = schemaAt(path);
  const holder = schema && inside(schema);
  return holder instanceof z.ZodObject ? Object.keys(holder.shape) : [];
}

/** Every option in the order of the file, depth first, with its path, for example `sites.*.postgres`. */
export function options(
  path: readonly string[] = [],
): readonly { readonly path: readonly string[]; readonly page: Page }[] {
  const schema = schemaAt(path);
  const holder = schema && inside(schema);
  const page = pageAt(path);
  const own = page ? [{ path, page }] : [];
  if (holder instanceof z.ZodObject)
    return [...own, ...Object.keys(holder.shape).flatMap((key) => options([...path, key]))];
  if (holder instanceof z.ZodRecord || holder instanceof z.ZodArray) return [...own, ...options([...path, '*'])];
  return own;
}
