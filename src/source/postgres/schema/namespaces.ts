import type { Connection } from '../../../engine/postgres/connect.ts';
import { quoteLiteral } from '../../../engine/postgres/identifier.ts';
import { block, groupBy, isNoMember, isOwn, isOwnSchema, qualified, readRecords } from './catalog.ts';
import { address, firstOwnOid, type Item } from './item.ts';

export async function readSchemas(connection: Connection): Promise<readonly Item[]> {
  const records = await readRecords(
    connection,
    { oid: 'n.oid', name: 'quote_ident(n.nspname)' },
    `from pg_namespace n where (n.oid >= ${firstOwnOid} or n.nspname = 'public')
       and ${isOwnSchema('n.oid')} and ${isNoMember('pg_namespace', 'n.oid')}`,
  );
  return records.map(({ oid, name }) => ({
    id: address('schema', oid),
    kind: 'schema',
    object: `schema ${name}`,
    sql: `CREATE SCHEMA IF NOT EXISTS ${name}`,
  }));
}

/** Without a version: the other side may be a newer server that only brings a newer one. plpgsql is there from initdb. */
export async function readExtensions(connection: Connection): Promise<readonly Item[]> {
  const records = await readRecords(
    connection,
    {
      oid: 'e.oid',
      name: 'quote_ident(e.extname)',
      schema: 'quote_ident(n.nspname)',
    },
    `from pg_extension e join pg_namespace n on n.oid = e.extnamespace where e.oid >= ${firstOwnOid}`,
  );
  return records.map(({ oid, name, schema }) => ({
    id: address('extension', oid),
    kind: 'extension',
    object: `extension ${name}`,
    sql: `CREATE EXTENSION IF NOT EXISTS ${name} WITH SCHEMA ${schema}`,
  }));
}

/** The columns differ by version; to_jsonb gives null for those that a server does not know. */
export async function readCollations(connection: Connection): Promise<readonly Item[]> {
  const records = await readRecords(
    connection,
    {
      oid: 'c.oid',
      name: qualified('n.nspname', 'c.collname'),
      provider: `case c.collprovider when 'c' then 'libc' when 'i' then 'icu' when 'b' then 'builtin' else 'default' end`,
      collate: `coalesce(to_jsonb(c) ->> 'colllocale', to_jsonb(c) ->> 'colliculocale', c.collcollate)`,
      ctype: `coalesce(c.collctype, '')`,
      deterministic: 'c.collisdeterministic',
      rules: `coalesce(to_jsonb(c) ->> 'collicurules', '')`,
    },
    `from pg_collation c join pg_namespace n on n.oid = c.collnamespace where ${isOwn('pg_collation', 'c', 'n.oid')}`,
  );
  return records.map(({ oid, name, provider, collate, ctype, deterministic, rules }) => {
    const options = [
      `provider = ${provider}`,
      provider === 'libc'
        ? `lc_collate = ${quoteLiteral(collate)}, lc_ctype = ${quoteLiteral(ctype)}`
        : `locale = ${quoteLiteral(collate)}`,
      ...(deterministic === 'false' ? ['deterministic = false'] : []),
      ...(rules === '' ? [] : [`rules = ${quoteLiteral(rules)}`]),
    ];
    return {
      id: address('collation', oid),
      kind: 'collation',
      object: `collation ${name}`,
      sql: `CREATE COLLATION ${name} (${options.join(', ')})`,
    };
  });
}

export async function readTextSearch(connection: Connection): Promise<readonly Item[]> {
  const dictionaries = await readRecords(
    connection,
    {
      oid: 'd.oid',
      name: qualified('n.nspname', 'd.dictname'),
      template: `(select ${qualified('tn.nspname', 't.tmplname')} from pg_ts_template t
         join pg_namespace tn on tn.oid = t.tmplnamespace where t.oid = d.dicttemplate)`,
      options: `coalesce(', ' || d.dictinitoption, '')`,
    },
    `from pg_ts_dict d join pg_namespace n on n.oid = d.dictnamespace where ${isOwn('pg_ts_dict', 'd', 'n.oid')}`,
  );
  const configurations = await readRecords(
    connection,
    {
      oid: 'c.oid',
      name: qualified('n.nspname', 'c.cfgname'),
      parser: `(select ${qualified('pn.nspname', 'p.prsname')} from pg_ts_parser p
         join pg_namespace pn on pn.oid = p.prsnamespace where p.oid = c.cfgparser)`,
    },
    `from pg_ts_config c join pg_namespace n on n.oid = c.cfgnamespace where ${isOwn('pg_ts_config', 'c', 'n.oid')}`,
  );
  const mappings = await readRecords(
    connection,
    {
      configuration: 'c.oid',
      token: `(select quote_ident(t.alias) from ts_token_type(c.cfgparser) t where t.tokid = m.maptokentype)`,
      dictionaries: `string_agg(m.mapdict::regdictionary::text, ', ' order by m.mapseqno)`,
    },
    `from pg_ts_config_map m join pg_ts_config c on c.oid = m.mapcfg where ${isOwn('pg_ts_config', 'c', 'c.cfgnamespace')}
       group by c.oid, c.cfgparser, m.maptokentype`,
  );
  const mappingsOf = groupBy(mappings, (mapping) => mapping.configuration);
  return [
    ...dictionaries.map(
      ({ oid, name, template, options }): Item => ({
        id: address('dictionary', oid),
        kind: 'search',
        object: `text search dictionary ${name}`,
        sql: unlessThere('dict', name, `CREATE TEXT SEARCH DICTIONARY ${name} (TEMPLATE = ${template}${options})`),
      }),
    ),
    ...configurations.flatMap(({ oid, name, parser }): Item[] => [
      {
        id: address('searchConfiguration', oid),
        kind: 'search',
        object: `text search configuration ${name}`,
        sql: unlessThere('config', name, `CREATE TEXT SEARCH CONFIGURATION ${name} (PARSER = ${parser})`),
      },
      // ALTER MAPPING replaces what is there; ADD MAPPING would fail on the second run.
      ...(mappingsOf.get(oid) ?? []).map(
        ({ token, dictionaries }): Item => ({
          id: address('searchConfiguration', oid, token),
          kind: 'search',
          object: `text search configuration ${name} for ${token}`,
          sql: `ALTER TEXT SEARCH CONFIGURATION ${name} ALTER MAPPING FOR ${token} WITH ${dictionaries}`,
          of: address('searchConfiguration', oid),
        }),
      ),
    ]),
  ];
}

/** The server has no `already exists` for these, only a unique violation in its catalog. */
function unlessThere(catalog: 'dict' | 'config', name: string, create: string): string {
  const prefix = catalog === 'dict' ? 'dict' : 'cfg';
  const there = `SELECT FROM pg_catalog.pg_ts_${catalog} x JOIN pg_catalog.pg_namespace n ON n.oid = x.${prefix}namespace
  WHERE pg_catalog.format('%I.%I', n.nspname, x.${prefix}name) = ${quoteLiteral(name)}`;
  return block(`IF NOT EXISTS (${there}) THEN\n  ${create};\nEND IF;`);
}
