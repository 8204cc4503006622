import { addressFault, hasPassword, placeOf, saysTls } from './address.ts';
import { valueIn } from './complain.ts';
import { nearest } from './nearest.ts';
import { pageAt } from './schema.ts';
import { absent, keyOf, type Path, type Problem, type Tree } from './tree.ts';
import { formatDurationMs, parseDurationMs } from './units.ts';

type Mapping = Readonly<Record<string, unknown>>;

const brokerKinds = ['nats', 'kafka', 'rabbitmq'];

/** What is wrong between options that are each right. Works on the raw values, so that one bad option does not hide another. */
export function crossCheck(tree: Tree): readonly Problem[] {
  const sites = mapping(tree, ['sites']);
  return [
    ...siteCount(tree, sites),
    ...primary(tree, sites),
    ...addresses(tree, sites),
    ...encryption(tree, sites),
    ...brokers(tree),
    ...logins(tree),
    ...seals(tree),
    ...tiers(tree),
    ...heartbeat(tree),
    ...masks(tree),
  ];
}

function siteCount(tree: Tree, sites: Mapping | undefined): readonly Problem[] {
  if (sites === undefined || Object.keys(sites).length >= 2) return [];
  return [at(tree, ['sites'], 'key', 'one site is no replication; name at least two')];
}

function primary(tree: Tree, sites: Mapping | undefined): readonly Problem[] {
  const name = valueIn(tree.value, ['primary']);
  if (sites === undefined || typeof name !== 'string' || name === absent) return [];
  const names = Object.keys(sites);
  if (!names.includes(name)) {
    const meant = nearest(name, names);
    const written = tree.writtenAt(['primary']) ?? '';
    const cure = meant === undefined ? `write one of ${names.join(', ')}` : `did you mean ${meant}?`;
    return [at(tree, ['primary'], 'value', `"${written}" is none of the sites; ${cure}`)];
  }
  if (valueIn(sites, [name, 'role']) !== 'warehouse') return [];
  return [at(tree, ['primary'], 'value', `${name} is a warehouse, and those only receive; name a peer`)];
}

function addresses(tree: Tree, sites: Mapping | undefined): readonly Problem[] {
  const problems: Problem[] = [];
  const seen = new Map<string, string>();
  for (const [name, site] of Object.entries(sites ?? {})) {
    const address = valueIn(site, ['postgres']);
    if (typeof address !== 'string' || address === absent || addressFault(address) !== undefined) continue;
    const twin = seen.get(placeOf(address));
    if (twin !== undefined)
      problems.push(
        at(
          tree,
          ['sites', name, 'postgres'],
          'value',
          `is the same database as sites.${twin}; a copy needs a place of its own`,
        ),
      );
    seen.set(placeOf(address), name);
    if (hasPassword(address) && valueIn(site, ['password']) !== undefined)
      problems.push(
        at(tree, ['sites', name, 'password'], 'key', 'the address holds a password already; keep one of the two'),
      );
  }
  return problems;
}

/** Where TLS is planned twice, or half. */
function encryption(tree: Tree, sites: Mapping | undefined): readonly Problem[] {
  const twice = Object.entries(sites ?? {}).flatMap(([name, site]) => {
    const address = valueIn(site, ['postgres']);
    const both = valueIn(site, ['tls']) !== undefined && typeof address === 'string' && saysTls(address);
    return both
      ? [at(tree, ['sites', name, 'tls'], 'key', 'the address says how it is encrypted already; keep one of the two')]
      : [];
  });
  const half = Object.keys(sites ?? {}).flatMap((name) => halves(tree, ['sites', name, 'tls']));
  return [...twice, ...half, ...brokerKinds.flatMap((kind) => halves(tree, ['broker', kind, 'tls']))];
}

function halves(tree: Tree, path: Path): readonly Problem[] {
  const tls = mapping(tree, path);
  if (tls === undefined || (tls.cert === undefined) === (tls.key === undefined)) return [];
  const [given, lacking] = tls.cert === undefined ? ['key', 'cert'] : ['cert', 'key'];
  return [at(tree, [...path, given], 'key', `is nothing without ${lacking}; write both`)];
}

function brokers(tree: Tree): readonly Problem[] {
  const given = brokerKinds.filter((kind) => mapping(tree, ['broker', kind]) !== undefined);
  return given
    .slice(1)
    .map((kind) => at(tree, ['broker', kind], 'key', `broker.${given[0]} is given already; one broker carries a lane`));
}

/** Half a login, or two: one of them would be left out, and nobody would know which. */
function logins(tree: Tree): readonly Problem[] {
  return brokerKinds.flatMap((kind) => {
    const path: Path = ['broker', kind];
    const broker = mapping(tree, path);
    if (broker === undefined) return [];
    if ((broker.user === undefined) !== (broker.password === undefined)) {
      const [given, lacking] = broker.user === undefined ? ['password', 'user'] : ['user', 'password'];
      return [at(tree, [...path, given], 'key', `is nothing without ${lacking}; write both`)];
    }
    if (broker.mechanism !== undefined && broker.user === undefined)
      return [at(tree, [...path, 'mechanism'], 'key', 'is nothing without user; write both')];
    const holdsLogin = (key: string): boolean => {
      const address = broker[key];
      return typeof address === 'string' && /(^|\/\/|,)[^/]*@/.test(address);
    };
    const given = ['user', 'token', 'nkey', 'creds'].filter((key) => broker[key] !== undefined);
    const [first, ...others] = [...['servers', 'url'].filter(holdsLogin), ...given];
    return others.map((key) =>
      at(tree, [...path, key], 'key', `broker.${kind}.${first} holds a login already; keep one of the two`),
    );
  });
}

/** Sealed by nothing would look like sealed. */
function seals(tree: Tree): readonly Problem[] {
  const seal = mapping(tree, ['broker', 'seal']);
  if (seal === undefined) return [];
  const [first, ...others] = ['key_file', 'keys', 'vault'].filter((key) => seal[key] !== undefined);
  if (first === undefined)
    return [at(tree, ['broker', 'seal'], 'key', 'names no keys; write one of key_file, keys and vault in it')];
  return others.map((key) =>
    at(tree, ['broker', 'seal', key], 'key', `broker.seal.${first} is given already; keep one of the two`),
  );
}

/** An objective for a tier that no table has would be promised to nobody. */
function tiers(tree: Tree): readonly Problem[] {
  const rules = valueIn(tree.value, ['tables']);
  const known = Array.isArray(rules)
    ? rules.map((rule) => valueIn(rule, ['tier'])).filter((tier) => typeof tier === 'string')
    : [];
  return Object.keys(mapping(tree, ['objectives']) ?? {})
    .filter((tier) => !known.includes(tier))
    .map((tier) => {
      const meant = nearest(tier, known);
      const cure = meant === undefined ? `add tier: ${tier} to a rule, or take this out` : `did you mean ${meant}?`;
      return at(tree, ['objectives', tier], 'key', `no rule of tables has this tier; ${cure}`);
    });
}

/** An idle database is only as fresh as its last mark: with fewer, its secondaries would be called lagging for nothing. */
function heartbeat(tree: Tree): readonly Problem[] {
  const durationAt = (path: Path): number | undefined => {
    const text = valueIn(tree.value, path);
    return typeof text === 'string' ? parseDurationMs(text) : undefined;
  };
  const beat = durationAt(['heartbeat']) ?? parseDurationMs(pageAt(['heartbeat'])?.default ?? '') ?? 0;
  return Object.keys(mapping(tree, ['objectives']) ?? {})
    .map((tier): Path => ['objectives', tier, 'rpo'])
    .filter((path) => (durationAt(path) ?? Infinity) < 2 * beat)
    .map((path) =>
      at(
        tree,
        path,
        'value',
        `is less than two heartbeats of ${formatDurationMs(beat)}; write heartbeat: at most half of it`,
      ),
    );
}

/** A hash that anybody can compute hides nothing; and a column has one fate. */
function masks(tree: Tree): readonly Problem[] {
  const rules = valueIn(tree.value, ['tables']);
  const hasKey = valueIn(tree.value, ['mask_key']) !== undefined;
  return (Array.isArray(rules) ? rules : []).flatMap((rule: unknown, index): readonly Problem[] => {
    const path: Path = ['tables', index, 'mask'];
    const leftOut = valueIn(rule, ['leave_out_columns']);
    return Object.entries(mapping(tree, path) ?? {}).flatMap(([column, mask]): readonly Problem[] => [
      ...(mask === 'hash' && !hasKey
        ? [at(tree, [...path, column], 'value', 'needs a key; write mask_key: "${NAME}" at the top of the file')]
        : []),
      ...(Array.isArray(leftOut) && leftOut.includes(column)
        ? [at(tree, [...path, column], 'key', 'is in leave_out_columns too; keep one of the two')]
        : []),
    ]);
  });
}

const at = (tree: Tree, path: Path, part: 'key' | 'value', message: string): Problem => ({
  ...(part === 'key' ? tree.keyAt(path) : tree.valueAt(path)),
  key: keyOf(path),
  message,
});

const mapping = (tree: Tree, path: Path): Mapping | undefined => {
  const found = valueIn(tree.value, path);
  return typeof found === 'object' && found !== null && !Array.isArray(found) ? (found as Mapping) : undefined;
};
