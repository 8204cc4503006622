/* Values of every type at its edges, as a client would write them. */

export interface Kind {
  /** As in CREATE TABLE. */
  readonly type: string;
  readonly values: readonly string[];
  /** There is no array of it, or not one that can be built. */
  readonly single?: boolean;
  /** The first major version that has it. */
  readonly from?: number;
}

const planes = '\u{1F4E6}\u{20000}\u{2FA1D}\u{E0041}\u{F0000}\u{10FFFD}\uFFFD\uE000\u0378\u2028\u200D\u0301';

export const texts = [
  '',
  ' ',
  '\t',
  '\n',
  '\r\n',
  '\\',
  '\\\\',
  '\\.',
  '\\.\n',
  'a\n\\.\nb',
  '\\N',
  'NULL',
  'null',
  '"',
  "'",
  '{}',
  '{',
  ',',
  '()',
  '\u0001\u0008\u000b\u000c\u001b\u007f\u0080\u009f',
  'trailing \\',
  planes,
  'e\u0301 \u00e9',
  'ß ẞ İ ı ﬃ',
  '\uFEFFmark',
  'x'.repeat(3000),
  '\\t\t'.repeat(3000),
];

const integers = (bits: bigint): string[] => ['0', '1', '-1', `${2n ** (bits - 1n) - 1n}`, `${-(2n ** (bits - 1n))}`];

const numerics = [
  'NaN',
  'Infinity',
  '-Infinity',
  '0',
  '0.0',
  '-0.000',
  '1',
  '1.0',
  '1.00',
  '9'.repeat(1000),
  `-0.${'0'.repeat(500)}1`,
  `${'123456789'.repeat(100)}.${'987654321'.repeat(100)}`,
  '1e131000',
  '1e-16000',
  '100000000',
];

const dates = ['infinity', '-infinity', '4713-01-01 BC', '0001-12-31 BC', '0001-01-01', '1582-10-10', '5874897-12-31'];
const moments = [
  'infinity',
  '-infinity',
  '4713-01-01 00:00:00 BC',
  '0044-03-15 12:00:00.000001 BC',
  '0001-12-31 23:59:59.999999 BC',
  '1969-12-31 23:59:59.999999',
  '1999-12-31 23:59:60',
  '2000-01-01 00:00:00.000001',
  '2038-01-19 03:14:08',
  '294276-12-31 23:59:59.999999',
];
const spans = [
  '0',
  '1 mon',
  '30 days',
  '720 hours',
  '-1 mon +2 days -03:04:05.000006',
  '1 year -2 mons +3 days -04:05:06.789',
  '178000000 years',
  '-178000000 years',
  '-00:00:00.000001',
];
const floats = (least: string, most: string, denormal: string): string[] => [
  'NaN',
  'Infinity',
  '-Infinity',
  '0',
  '-0',
  '0.1',
  '-1e-5',
  '16777217',
  '123456789.123456789',
  least,
  most,
  denormal,
];
const documents = [
  'null',
  'true',
  '0',
  '-0',
  '1e400',
  '1.50',
  '""',
  '"\\u00e9 \\\\ \\n \\/ 📦"',
  '{}',
  '[]',
  '[1, [2, [3, null]], {"a": {}}]',
  '{"b": 1, "a": 2, "b": 3}',
  `{"long": "${'y'.repeat(4000)}"}`,
];
const ranges = (one: string, two: string): string[] => [
  'empty',
  '(,)',
  `[${one},${two})`,
  `(${one},${two}]`,
  `(,${two})`,
  `[${one},)`,
];
const multiranges = (one: string, two: string): string[] => [
  '{}',
  '{(,)}',
  `{[${one},${two})}`,
  `{(,${one}),[${two},)}`,
];

const spanning: readonly (readonly [string, string, string])[] = [
  ['int4', '-2147483648', '7'],
  ['int8', '-9223372036854775808', '7'],
  ['num', '-1.50', '1e100'],
  ['ts', '"0044-03-15 12:00:00 BC"', 'infinity'],
  ['tstz', '-infinity', '"2026-01-01 00:00:00+14"'],
  ['date', '"4713-01-01 BC"', 'infinity'],
];

/** What PostgreSQL itself brings. */
export const builtIn: readonly Kind[] = [
  { type: 'boolean', values: ['t', 'f'] },
  { type: 'smallint', values: integers(16n) },
  { type: 'integer', values: integers(32n) },
  { type: 'bigint', values: integers(64n) },
  { type: 'numeric', values: numerics },
  { type: 'numeric(10,2)', values: ['NaN', '-99999999.99', '0.00', '1.005'] },
  { type: 'numeric(3,-2)', values: ['12300', '-50', 'NaN'], from: 15 },
  { type: 'real', values: floats('1.1754944e-38', '3.4028235e+38', '1e-45') },
  { type: 'double precision', values: floats('2.2250738585072014e-308', '1.7976931348623157e+308', '5e-324') },
  { type: 'money', values: ['0', '-92233720368547758.08', '92233720368547758.07', '-0.01', '1234567.89'] },
  { type: 'text', values: texts },
  { type: 'varchar', values: texts },
  { type: 'varchar(5)', values: ['', '     ', 'a\t\\\n.', '📦📦📦📦📦'] },
  { type: 'char(5)', values: ['', 'a', ' a', '📦', '\\.'] },
  { type: 'name', values: ['', 'A b', 'x'.repeat(63)] },
  { type: '"char"', values: ['', 'a', '\\', '\t', '\\001', '\\200', '\\377', 'é'] },
  { type: 'bytea', values: ['\\x', '\\x00', '\\x5c2e0a', '\\xff00fe5c', `\\x${'00ff5c0a09'.repeat(800)}`] },
  { type: 'date', values: dates },
  { type: 'time', values: ['00:00', '24:00', '23:59:59.999999', '12:00:00.5'] },
  { type: 'timetz', values: ['00:00+15:59:59', '24:00-15:59', '12:34:56.789+05:30'] },
  { type: 'timestamp', values: moments },
  { type: 'timestamp(0)', values: ['2026-02-28 23:59:59.5', 'infinity'] },
  {
    type: 'timestamptz',
    values: [...moments, '2026-03-29 02:30:00 Europe/Berlin', '1883-11-18 12:00:00 America/New_York'],
  },
  { type: 'interval', values: spans },
  { type: 'interval year to month', values: ['5 years 3 mons', '-1 mon'] },
  { type: 'interval second(2)', values: ['1.239', '-0.01'] },
  { type: 'uuid', values: ['00000000-0000-0000-0000-000000000000', 'FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF'] },
  { type: 'json', values: [...documents, ' { "spaces" :\t1\n} ', '"\\u0000"', '"\\ud83d\\ude00"'] },
  { type: 'jsonb', values: documents },
  { type: 'jsonpath', values: ['$', 'strict $."a b".c[*] ? (@ > 1 && exists (@.d))', '$.a.datetime()', '-1'] },
  {
    type: 'xml',
    values: [
      '',
      'text only',
      '<a/>',
      '<a b="&lt;&#xA;">&amp;\\.\n\t</a>',
      '<!DOCTYPE a><a/>',
      '<?xml version="1.0" encoding="LATIN1"?><a>é</a>',
      '<?xml version="1.0" standalone="yes"?><a/>',
      '<!-- 📦 --><a><![CDATA[ ]] > ]]></a><b/>',
    ],
  },
  { type: 'bit(3)', values: ['000', '101'] },
  { type: 'varbit', values: ['', '0', '1', '01'.repeat(100)] },
  {
    type: 'inet',
    values: ['0.0.0.0', '10.0.0.1/8', '255.255.255.255/0', '::', '::1/0', '::ffff:1.2.3.4/100', 'fe80::1'],
  },
  { type: 'cidr', values: ['0.0.0.0/0', '10.0.0.0/8', '::/0', '2001:db8::/32'] },
  { type: 'macaddr', values: ['00:00:00:00:00:00', 'ff-ff-ff-ff-ff-ff'] },
  { type: 'macaddr8', values: ['08:00:2b:01:02:03', 'ff:ff:ff:ff:ff:ff:ff:ff'] },
  { type: 'point', values: ['(0,-0)', '(1e-300,NaN)', '(Infinity,-Infinity)', '(0.1,123456789.123456789)'] },
  { type: 'line', values: ['{1,-1,0}', '{0,0.1,1e300}'] },
  { type: 'lseg', values: ['[(0,0),(-0,1e-300)]'] },
  { type: 'box', values: ['(1,1),(0,0)', '(Infinity,0.1),(-0,NaN)'] },
  { type: 'path', values: ['((0,0),(1,1))', '[(0,0),(1.5,-0)]'] },
  { type: 'polygon', values: ['((0,0))', '((0,0),(1,1),(2,0.1))'] },
  { type: 'circle', values: ['<(0,0),0>', '<(0.1,-0),Infinity>'] },
  { type: 'tsvector', values: ['', `'a':1A,2B 'it''s':3 '\\\\':4`, `'b c' '📦':16383`] },
  { type: 'tsquery', values: ['', `'a' & !'b' | 'c':*AB`, `'it''s' <-> 'x' <3> 'y'`] },
  { type: 'pg_lsn', values: ['0/0', 'FFFFFFFF/FFFFFFFF', '16/B374D848'] },
  { type: 'pg_snapshot', values: ['10:20:10,14,15', '1:1:'] },
  { type: 'txid_snapshot', values: ['10:20:10,14,15'] },
  { type: 'xid', values: ['0', '4294967295'] },
  { type: 'xid8', values: ['0', '18446744073709551615'] },
  { type: 'cid', values: ['0', '4294967295'] },
  { type: 'tid', values: ['(0,0)', '(4294967295,65535)'] },
  { type: 'oid', values: ['0', '2147483648', '4294967295'] },
  { type: 'oidvector', values: ['', '1 2 4294967295'] },
  { type: 'int2vector', values: ['', '1 -2 32767'] },
  { type: 'regclass', values: ['-', 'pg_catalog.pg_class', '4294967295'] },
  { type: 'regtype', values: ['-', 'integer', 'text[]', 'numeric'] },
  { type: 'regproc', values: ['-', 'pg_catalog.now'] },
  { type: 'regprocedure', values: ['-', 'pg_catalog.abs(integer)'] },
  { type: 'regoper', values: ['0', 'pg_catalog.|/'] },
  { type: 'regoperator', values: ['0', 'pg_catalog.+(integer,integer)'] },
  { type: 'regrole', values: ['-', 'postgres', 'pg_monitor'] },
  { type: 'regnamespace', values: ['-', 'pg_catalog'] },
  { type: 'regcollation', values: ['-', 'pg_catalog."C"'] },
  { type: 'regconfig', values: ['pg_catalog.simple'] },
  { type: 'regdictionary', values: ['pg_catalog.simple'] },
  { type: 'refcursor', values: ['', 'a "cursor" \\'] },
  { type: 'aclitem', values: ['postgres=r/postgres', '=U*/postgres'] },
  ...spanning.flatMap(([name, one, two]): Kind[] => [
    { type: `${name}range`, values: ranges(one, two) },
    { type: `${name}multirange`, values: multiranges(one, two) },
  ]),
];

export const madeTypes = [
  'CREATE EXTENSION hstore SCHEMA public',
  'CREATE EXTENSION citext SCHEMA public',
  'CREATE EXTENSION ltree SCHEMA public',
  'CREATE EXTENSION cube SCHEMA public',
  'CREATE EXTENSION seg SCHEMA public',
  'CREATE EXTENSION isn SCHEMA public',
  'CREATE EXTENSION intarray SCHEMA public',
  'CREATE EXTENSION "uuid-ossp" SCHEMA public',
  `CREATE TYPE public."Mood's" AS ENUM ('', 'so "so"', 'a,b', '📦', '\\', 'x y')`,
  `ALTER TYPE public."Mood's" ADD VALUE 'first of all' BEFORE ''`,
  `CREATE DOMAIN public.code AS text CHECK (VALUE <> 'no')`,
  `CREATE DOMAIN public.moods AS public."Mood's"`,
  'CREATE DOMAIN public.few AS integer[] CHECK (cardinality(VALUE) < 9)',
  `CREATE TYPE public.home AS (street text, "no" integer, at point, mood public."Mood's")`,
  'CREATE TYPE public.person AS (name public.citext, homes public.home[], born date)',
  'CREATE DOMAIN public.adult AS public.person',
  `CREATE TYPE public.shades AS RANGE (subtype = text, collation = "C")`,
  'CREATE TYPE public.nothing AS ()',
] as const;

/** What extensions bring and users make. */
export const userMade: readonly Kind[] = [
  { type: 'public.hstore', values: ['', 'k=>NULL', '"a b"=>"\\"q\\"", "\\\\"=>"", "📦"=>"=>"', 'a=>1,a=>2'] },
  { type: 'public.citext', values: texts },
  { type: 'public.ltree', values: ['', 'Top.Science.Astronomy', 'a_1.B'] },
  { type: 'public.lquery', values: ['*', '*.Astro*@.*{1,2}', '!a|b.c%'] },
  { type: 'public.ltxtquery', values: ['Europe & Russia*@ & !Transportation'] },
  { type: 'public.cube', values: ['()', '(1)', '(0.1,-0),(1e-300,Infinity)', '(1,2,3)'] },
  { type: 'public.seg', values: ['1.50', '1.0(+-)0.1', '<5', '1..', '~7.0'] },
  { type: 'public.isbn13', values: ['978-0-393-04002-9', '9780393040029!'] },
  { type: `public."Mood's"`, values: ['', 'so "so"', 'a,b', '📦', '\\', 'first of all'] },
  { type: 'public.code', values: texts },
  { type: 'public.moods', values: ['', 'x y'] },
  { type: 'public.few', single: true, values: ['{}', '{1,NULL}', '[-3:-2]={7,8}'] },
  { type: 'public.home', values: ['(,,,)', '("",0,"(1,-0)",)', '("a \\"b\\" \\\\ ,()\t\n",-1,,"so \\"so\\"")'] },
  { type: 'public.person', values: ['(Ada,,infinity)', '(,"{""(x,1,,)"",NULL}","0044-03-15 BC")'] },
  { type: 'public.adult', values: ['(Ada,{},)'] },
  { type: 'public.shades', values: ['empty', '["a b","c\\\\")', '(,"")'] },
  { type: 'public.nothing', values: ['()'] },
];

/** Arrays that no single value shows. */
export const arrays: readonly Kind[] = [
  {
    type: 'integer[]',
    values: ['{}', '{NULL}', '[0:0]={7}', '[-5:-3]={1,NULL,3}', '[2:3][0:1]={{1,2},{3,NULL}}', '{{{{{{1}}}}}}'],
  },
  {
    type: 'text[]',
    values: ['{}', '{"",NULL,"NULL","null"}', '{"a\\"b","c\\\\d","{}",","," "}', '{"\t","\n","\\\\."}'],
  },
  { type: 'box[]', values: ['{(1,1),(0,0);(2,2),(1,1)}'] },
  { type: 'public.hstore[]', values: ['{"\\"a\\"=>\\"b,c\\"",NULL}'] },
];

/** All that a server of this major version can hold. */
export const kindsOf = (major: number): readonly Kind[] =>
  [...builtIn, ...userMade, ...arrays].filter(({ from = 0 }) => from <= major);
