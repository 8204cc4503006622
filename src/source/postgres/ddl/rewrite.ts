import { quoteIdentifier, quoteLiteral } from '../../../engine/postgres/identifier.ts';
import { block } from '../schema/catalog.ts';
import type { CommandNotice, NotedObject, NotedTable } from './notice.ts';
import { isWord, type Statement } from './statement.ts';
import type { Token } from './tokens.ts';
import { uncarried } from './trigger.ts';

/* What of a statement would do something else at the secondary than it did at the primary, or cannot be done there. */

interface Edit {
  readonly from: number;
  readonly to: number;
  readonly with: string;
}

/** What replays a statement. Empty: nothing is to be done, since the snapshot does not copy such things either. */
export function stepsFor(statement: Statement, notice: CommandNotice): readonly string[] {
  const { tokens } = statement;
  const { tag } = notice;
  if (isOwnerChange(tokens)) return ownerSteps(notice.objects);
  if (tag === 'GRANT' || tag === 'REVOKE') return grantSteps(statement, notice.role);
  if (tag === 'CREATE POLICY' || tag === 'ALTER POLICY') return [policyStep(statement)];
  if (tag === 'CREATE SCHEMA') return [edited(statement.sql, authorization(tokens, notice))];
  if (tag === 'DROP OWNED') return disownSteps(statement, notice.role);
  if (isTablespaceChange(tokens)) return [];
  const edits = [...concurrently(tokens), ...tablespaces(tokens, tag)];
  if (tag === 'CREATE TABLE') return [edited(statement.sql, [...edits, ...boundEdits(tokens, notice)])];
  if (tag !== 'ALTER TABLE') return [edited(statement.sql, edits)];
  const detached = detachedConcurrently(statement);
  if (detached) return [detachStep(edited(statement.sql, edits), detached)];
  const table = notice.tables[0];
  const fills = table ? fillEdits(tokens, table) : { edits: [], after: [] };
  return [edited(statement.sql, [...edits, ...fills.edits]), ...fills.after];
}

/** A table made by a query is made from its columns: its rows come by themselves. Where rows came first it is there by now. */
export function tableMadeSteps(table: NotedTable): readonly string[] {
  const name = `${quoteIdentifier(table.schema)}.${quoteIdentifier(table.name)}`;
  const columns = table.made ?? [];
  const unlogged = table.unlogged ? 'UNLOGGED ' : '';
  return [
    `CREATE ${unlogged}TABLE IF NOT EXISTS ${name} (${columns.join(', ')})`,
    ...columns
      .filter((column) => column.includes(' COLLATE '))
      .map((column) => `ALTER TABLE ${name} ALTER COLUMN ${column.replace(/^("(?:[^"]|"")*"|\S+) /, '$1 TYPE ')}`),
    ...(table.options ? [`ALTER TABLE ${name} SET (${table.options})`] : []),
  ];
}

function edited(sql: string, edits: readonly Edit[]): string {
  let text = sql;
  for (const edit of edits.toSorted((a, b) => b.from - a.from || b.to - a.to))
    text = text.slice(0, edit.from) + edit.with + text.slice(edit.to);
  return text;
}

const gone = (first: Token | undefined, last: Token | undefined): Edit[] =>
  first && last ? [{ from: first.from, to: last.to, with: '' }] : [];

const isOwnerChange = (tokens: readonly Token[]): boolean =>
  isWord(tokens[0], 'alter') &&
  isWord(tokens.at(-3), 'owner') &&
  isWord(tokens.at(-2), 'to') &&
  tokens.every((token) => token.value !== ',' || token.depth > 0);

/** Objects belong to the roles that own the originals, where those exist there and whoever applies has their rights: as in the snapshot. */
export const ownerSteps = (objects: readonly NotedObject[]): readonly string[] =>
  objects.flatMap(({ type, identity, owner }) => {
    if (identity === undefined || owner === undefined) return [];
    const word = /function|procedure|aggregate/.test(type)
      ? 'ROUTINE'
      : type === 'schema'
        ? 'SCHEMA'
        : /type|domain/.test(type)
          ? 'TYPE'
          : 'TABLE';
    const role = `SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = ${quoteLiteral(owner)} AND pg_catalog.pg_has_role(r.oid, 'USAGE')`;
    return [
      block(`IF EXISTS (${role}) THEN ALTER ${word} ${identity} OWNER TO ${quoteIdentifier(owner)}; END IF;
EXCEPTION WHEN insufficient_privilege THEN NULL; -- The new owner may not create in this schema.`),
    ];
  });

/** Runs within a transaction there. */
const concurrently = (tokens: readonly Token[]): Edit[] =>
  tokens.filter((token) => token.depth === 0 && isWord(token, 'concurrently')).flatMap((token) => gone(token, token));

/** The name of the partition. */
function detachedConcurrently({ sql, tokens }: Statement): string | undefined {
  const from = tokens.findIndex((token, at) => isWord(token, 'partition') && isWord(tokens[at - 1], 'detach'));
  const to = tokens.findIndex((token) => isWord(token, 'concurrently'));
  return from < 0 || to < from ? undefined : sql.slice(tokens[from + 1]?.from, tokens[to - 1]?.to);
}

/** Concurrently, a partition keeps its bounds as a constraint. */
const detachStep = (plain: string, partition: string): string =>
  block(
    `bound := pg_catalog.pg_get_partition_constraintdef(part);
EXECUTE ${quoteLiteral(plain)};
IF NOT EXISTS (SELECT FROM pg_catalog.pg_constraint
  WHERE conrelid = part AND contype = 'c' AND pg_catalog.pg_get_constraintdef(oid) = 'CHECK (' || bound || ')') THEN
  EXECUTE pg_catalog.format('ALTER TABLE %s ADD CHECK (%s)', part, bound);
END IF;`,
    `part pg_catalog.regclass := ${quoteLiteral(partition)}; bound text;`,
  );

/** As one of several actions it stays, and fails where there is no such tablespace. */
const isTablespaceChange = (tokens: readonly Token[]): boolean =>
  isWord(tokens[0], 'alter') &&
  tokens.some((token, at) => isWord(token, 'tablespace') && isWord(tokens[at - 1], 'set')) &&
  !tokens.some((token) => token.value === ',' && token.depth === 0);

/** Tablespaces are the affair of each site. */
const tablespaces = (tokens: readonly Token[], tag: string): Edit[] =>
  tokens.flatMap((token, at) => {
    if (!isWord(token, 'tablespace')) return [];
    const isOfIndex = isWord(tokens[at - 1], 'index') && isWord(tokens[at - 2], 'using');
    if (!isOfIndex && (token.depth > 0 || !tag.startsWith('CREATE'))) return [];
    return gone(isOfIndex ? tokens[at - 2] : token, tokens[at + 1]);
  });

/** A bound may be an expression, such as CURRENT_DATE: it is what the primary found. */
function boundEdits(tokens: readonly Token[], { tables }: CommandNotice): Edit[] {
  const bound = tables[0]?.bound;
  const from = tokens.findIndex(
    (token, at) => token.depth === 0 && isWord(token, 'for') && isWord(tokens[at + 1], 'values'),
  );
  if (!bound || from < 0) return [];
  // IN (...), WITH (...) or FROM (...) TO (...).
  const isEnd = (token: Token, at: number): boolean =>
    at > from && token.value === ')' && token.depth === 0 && !isWord(tokens[at + 1], 'to');
  const end = tokens.findIndex(isEnd);
  return gone(tokens[from], tokens[end]).map((edit) => ({ ...edit, with: bound }));
}

function authorization(tokens: readonly Token[], { objects }: CommandNotice): Edit[] {
  const at = tokens.findIndex((token) => token.depth === 0 && isWord(token, 'authorization'));
  if (at < 0) return [];
  const isUnnamed = isWord(tokens[at - 1], 'schema', 'exists');
  const schema = objects.find(({ type }) => type === 'schema')?.identity ?? '';
  return gone(tokens[at], tokens[at + 1]).map((edit) => ({ ...edit, with: isUnnamed ? schema : '' }));
}

/** One statement for each role, for those that exist there: as the snapshot does. */
function grantSteps({ sql, tokens }: Statement, current: string): readonly string[] {
  const verb = isWord(tokens[0], 'grant') ? 'to' : 'from';
  const at = tokens.findLastIndex((token) => token.depth === 0 && isWord(token, verb));
  if (at < 0) return [sql];
  const roles: { readonly name: string; readonly isPublic: boolean }[] = [];
  let next = at + 1;
  for (;;) {
    if (isWord(tokens[next], 'group')) next += 1;
    const token = tokens[next];
    if (!token) break;
    const isSelf = isWord(token, 'current_user', 'session_user', 'current_role');
    roles.push({ name: isSelf ? current : token.value, isPublic: isWord(token, 'public') });
    next += 1;
    if (tokens[next]?.value !== ',') break;
    next += 1;
  }
  const by = tokens.findIndex((token, place) => place >= next && isWord(token, 'granted'));
  const tail = sql.slice(tokens[next - 1]?.to ?? sql.length, by < 0 ? sql.length : tokens[by]?.from);
  const head = sql.slice(0, tokens[at]?.to);
  return roles.map(({ name, isPublic }) => {
    const whole = `${head} ${isPublic ? 'PUBLIC' : quoteIdentifier(name)}${tail}`;
    // A table that is not there is one that is left out.
    const run = `BEGIN EXECUTE ${quoteLiteral(whole)}; EXCEPTION WHEN undefined_table THEN NULL; END;`;
    if (isPublic) return block(run);
    return block(
      `IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = ${quoteLiteral(name)}) THEN\n${run}\nEND IF;`,
    );
  });
}

interface Dropped {
  readonly type: string;
  readonly identity: string;
}

/** Each by itself, in whichever order lets them go: what a role owned may hang on one another. */
export function dropEachSteps(dropped: readonly Dropped[]): readonly string[] {
  const drops = dropped.flatMap(({ type, identity }) =>
    type === 'default acl' || uncarried.includes(type) ? [] : [quoteLiteral(`DROP ${type} IF EXISTS ${identity}`)],
  );
  if (drops.length === 0) return [];
  return [
    block(
      `WHILE pg_catalog.cardinality(left_over) > 0 LOOP
  tried := left_over;
  left_over := '{}';
  FOREACH step IN ARRAY tried LOOP
    BEGIN
      EXECUTE step;
    EXCEPTION WHEN dependent_objects_still_exist THEN
      IF pg_catalog.cardinality(tried) = pg_catalog.cardinality(left_over) + 1 THEN RAISE; END IF;
      left_over := left_over || step;
    END;
  END LOOP;
END LOOP;`,
      `left_over text[] := ARRAY[${drops.join(', ')}]; tried text[]; step text;`,
    ),
  ];
}

/** The objects went before; this takes the privileges. What else a role owns at the secondary is not ours to drop. */
function disownSteps({ tokens }: Statement, current: string): readonly string[] {
  const at = tokens.findIndex((token) => isWord(token, 'by'));
  const roles = tokens.slice(at + 1).filter((token) => token.value !== ',' && !isWord(token, 'cascade', 'restrict'));
  return roles.map((token) => {
    const isSelf = isWord(token, 'current_user', 'session_user', 'current_role');
    const name = isSelf ? current : token.value;
    return block(
      `SELECT oid INTO held FROM pg_catalog.pg_roles WHERE rolname = ${quoteLiteral(name)};
IF held IS NULL THEN RETURN; END IF;
IF EXISTS (SELECT FROM pg_catalog.pg_shdepend d JOIN pg_catalog.pg_database b ON b.oid = d.dbid AND b.datname = pg_catalog.current_database()
  WHERE d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND d.refobjid = held AND d.deptype = 'o'
    AND d.classid <> 'pg_catalog.pg_default_acl'::pg_catalog.regclass) THEN
  RAISE 'the role ${name.replaceAll("'", "''").replaceAll('%', '%%')} owns other things here';
END IF;
DROP OWNED BY ${quoteIdentifier(name)};`,
      'held oid;',
    );
  });
}

/** For those of its roles that exist there, and not at all where none does: as the snapshot does. */
function policyStep({ sql, tokens }: Statement): string {
  const at = tokens.findIndex(
    (token, place) => token.depth === 0 && isWord(token, 'to') && !isWord(tokens[place - 1], 'rename'),
  );
  if (at < 0) return sql;
  let end = at + 1;
  while (tokens[end + 1]?.value === ',') end += 2;
  const roles = tokens.slice(at + 1, end + 1).filter((token) => token.value !== ',');
  if (roles.some((role) => isWord(role, 'public', 'current_user', 'session_user', 'current_role'))) return sql;
  const head = sql.slice(0, tokens[at]?.to);
  const tail = sql.slice(tokens[end]?.to);
  return block(
    `SELECT string_agg(quote_ident(rolname), ', ' ORDER BY rolname) INTO present
  FROM pg_catalog.pg_roles WHERE rolname IN (${roles.map((role) => quoteLiteral(role.value)).join(', ')});
IF present IS NOT NULL THEN
  EXECUTE ${quoteLiteral(`${head} `)} || present || ${quoteLiteral(tail)};
END IF;`,
    'present text;',
  );
}

const constraintWords =
  'constraint not null check unique primary references deferrable initially generated storage compression enforced'.split(
    ' ',
  );

/** A column with a default gives all former rows one value, found once: `now()` was another moment at the primary. The column is made
 *  with that value, and gets its default afterwards. */
function fillEdits(
  tokens: readonly Token[],
  table: NotedTable,
): { readonly edits: readonly Edit[]; readonly after: readonly string[] } {
  const edits: Edit[] = [];
  const after: string[] = [];
  const name = `${quoteIdentifier(table.schema)}.${quoteIdentifier(table.name)}`;
  for (const action of actionsOf(tokens)) {
    const column = columnAdded(action);
    const filled = column === undefined ? undefined : table.filled?.[column];
    if (column === undefined || filled === undefined) continue;
    const [value, present] = filled;
    if (value === null) continue;
    const literal = `DEFAULT ${quoteLiteral(value)}`;
    const from = action.findIndex((token) => token.depth === 0 && isWord(token, 'default'));
    const last = action.at(-1)?.to ?? 0;
    if (from < 0) edits.push({ from: last, to: last, with: ` ${literal}` });
    else {
      // The first word of an expression may be one that also begins a constraint: DEFAULT NULL.
      const end = action.findIndex(
        (token, at) => at > from + 1 && token.depth === 0 && isWord(token, ...constraintWords),
      );
      const to = end < 0 ? last : (action[end - 1]?.to ?? last);
      edits.push({ from: action[from]?.from ?? 0, to, with: literal });
    }
    const change = present === null ? 'DROP DEFAULT' : `SET DEFAULT ${present}`;
    after.push(`ALTER TABLE ${name} ALTER COLUMN ${quoteIdentifier(column)} ${change}`);
  }
  return { edits, after };
}

/** The actions of an ALTER TABLE, which commas part. The first begins with the table's name. */
function actionsOf(tokens: readonly Token[]): readonly (readonly Token[])[] {
  const actions: Token[][] = [[]];
  for (const token of tokens) {
    if (token.value === ',' && token.kind === 'sign' && token.depth === 0) actions.push([]);
    else actions.at(-1)?.push(token);
  }
  return actions;
}

/** The name of the column that an action adds. */
function columnAdded(action: readonly Token[]): string | undefined {
  let at = action.findIndex((token) => token.depth === 0 && isWord(token, 'add'));
  if (at < 0) return undefined;
  at += 1;
  const isSaid = isWord(action[at], 'column');
  if (isSaid) at += 1;
  if (isWord(action[at], 'if')) at += 3;
  const token = action[at];
  if (!isSaid && isWord(token, 'constraint', 'primary', 'unique', 'check', 'foreign', 'exclude', 'not'))
    return undefined;
  return token?.kind === 'word' || token?.kind === 'name' ? token.value : undefined;
}
