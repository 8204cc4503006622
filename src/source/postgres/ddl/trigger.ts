import { traitsSql } from '../../../engine/postgres/traits.ts';

/** Of the logical messages that tell of schema changes. */
export const ddlPrefix = 'changeover.ddl';

/** What of a session decides how a statement reads, apart from its search_path. */
const settings = [
  'search_path',
  'datestyle',
  'intervalstyle',
  'timezone',
  'standard_conforming_strings',
  'transform_null_equals',
  'extra_float_digits',
  'bytea_output',
  'lc_monetary',
  'xmloption',
] as const;

/** The tables a row of pg_event_trigger_ddl_commands() belongs to: itself, or the table of an index, trigger, policy, rule or sequence. */
const tableOf = `CASE c.classid
  WHEN 'pg_class'::regclass THEN coalesce(
    (SELECT x.indrelid FROM pg_index x WHERE x.indexrelid = c.objid),
    (SELECT d.refobjid FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.objid
       AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i') LIMIT 1), c.objid)
  WHEN 'pg_trigger'::regclass THEN (SELECT t.tgrelid FROM pg_trigger t WHERE t.oid = c.objid)
  WHEN 'pg_policy'::regclass THEN (SELECT p.polrelid FROM pg_policy p WHERE p.oid = c.objid)
  WHEN 'pg_rewrite'::regclass THEN (SELECT r.ev_class FROM pg_rewrite r WHERE r.oid = c.objid)
  WHEN 'pg_constraint'::regclass THEN (SELECT k.conrelid FROM pg_constraint k WHERE k.oid = c.objid)
  WHEN 'pg_statistic_ext'::regclass THEN (SELECT s.stxrelid FROM pg_statistic_ext s WHERE s.oid = c.objid)
  WHEN 'pg_attrdef'::regclass THEN (SELECT f.adrelid FROM pg_attrdef f WHERE f.oid = c.objid) END`;

/** Of what `ALTER ... OWNER TO` speaks of; a sequence of a column goes with its table. */
const ownerOf = `CASE c.classid
  WHEN 'pg_class'::regclass THEN (SELECT o.relowner FROM pg_class o WHERE o.oid = c.objid AND o.oid = t.oid AND o.relkind IN ('r', 'p', 'v', 'm', 'S'))
  WHEN 'pg_namespace'::regclass THEN (SELECT o.nspowner FROM pg_namespace o WHERE o.oid = c.objid)
  WHEN 'pg_proc'::regclass THEN (SELECT o.proowner FROM pg_proc o WHERE o.oid = c.objid)
  WHEN 'pg_type'::regclass THEN (SELECT o.typowner FROM pg_type o WHERE o.oid = c.objid) END`;

const pair = (schema: string, name: string): string => `jsonb_build_array(${schema}, ${name})`;

/** What a view reads, also by way of other views. */
const readFrom = (view: string): string => `
    SELECT ${view}
    UNION SELECT d.refobjid FROM read JOIN pg_rewrite w ON w.ev_class = read.oid
      JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
        AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> w.ev_class`;

/** Tables that a view reads. */
const readBy = (view: string): string => `(WITH RECURSIVE read (oid) AS (${readFrom(view)})
  SELECT coalesce(jsonb_agg(${pair('n.nspname', 'b.relname')}), '[]') FROM read JOIN pg_class b ON b.oid = read.oid AND b.relkind IN ('r', 'p')
    JOIN pg_namespace n ON n.oid = b.relnamespace)`;

/** Of these kinds the snapshot copies nothing either: neither are their comments, nor who may use them. */
export const uncarried: readonly string[] = [
  'event trigger',
  'foreign data wrapper',
  'foreign server',
  'foreign table',
  'foreign-data wrapper',
  'large object',
  'publication',
  'server',
  'subscription',
  'user mapping',
];

/** What is nobody's affair but the session's, or hangs on what no secondary has: temporary things and what is made of them, what is
 *  foreign and what reads it. */
const isApart = `t.relpersistence = 't' OR c.schema_name = 'pg_temp' OR lower(c.object_type) IN (${uncarried.map((kind) => `'${kind}'`).join(', ')})
  OR t.relkind = 'f' OR t.relkind IN ('v', 'm') AND EXISTS (WITH RECURSIVE read (oid) AS (${readFrom('t.oid')})
    SELECT FROM read JOIN pg_class b ON b.oid = read.oid AND b.relkind = 'f')
  OR c.classid IN ('pg_proc'::regclass, 'pg_type'::regclass, 'pg_operator'::regclass, 'pg_cast'::regclass) AND EXISTS (
    SELECT FROM pg_depend d LEFT JOIN pg_type y ON d.refclassid = 'pg_type'::regclass AND y.oid = d.refobjid
      LEFT JOIN pg_class r ON d.refclassid = 'pg_class'::regclass AND r.oid = d.refobjid
     WHERE d.classid = c.classid AND d.objid = c.objid AND d.deptype = 'n'
       AND coalesce(y.typnamespace, r.relnamespace) = pg_my_temp_schema())`;

/** Words that say another thing at another moment, or to somebody else. */
export const momentary: readonly string[] =
  'current_timestamp current_date current_time localtime localtimestamp current_user session_user current_role user current_catalog current_schema serial bigserial smallserial serial2 serial4 serial8 identity'.split(
    ' ',
  );
const momentaryPattern = `\\m(${momentary.join('|')})\\M|''\\s*(now|today|tomorrow|yesterday)`;

/** Rows that were written anew are told up to here: they take as much log again as the server wrote for them. A larger table is not worth
 *  the time that the application would wait for it. */
const toldBytesMax = 1024 ** 3;
const blockBytes = 1024 ** 2;

/** The functions behind the event triggers. Only what a superuser wrote is run: the first of them has the application's search_path and
 *  calls nothing by a bare name, all others have one of their own. The application's statement never fails by us: what goes wrong is told
 *  instead, and stops the lanes. */
export const functionsSql: readonly string[] = [
  `CREATE OR REPLACE FUNCTION changeover.on_ddl() RETURNS event_trigger
     LANGUAGE plpgsql SECURITY DEFINER SET lc_messages = 'C' AS $changeover$
   DECLARE
     frames text;
   BEGIN
     GET DIAGNOSTICS frames = PG_CONTEXT;
     BEGIN
       PERFORM changeover.note_ddl(TG_EVENT, TG_TAG, frames, pg_catalog.jsonb_build_object(
         ${settings.map((name) => `'${name}', pg_catalog.current_setting('${name}')`).join(', ')}));
     EXCEPTION WHEN OTHERS THEN
       BEGIN
         PERFORM changeover.note_failure(TG_TAG, SQLERRM);
       EXCEPTION WHEN OTHERS THEN
         RAISE WARNING 'changeover: a schema change could not be told to the secondaries: %', SQLERRM;
       END;
     END;
   END $changeover$`,
  // Logical decoding orders a message by where its record ends, which is where the next one begins: a row that a transaction writes right
  // behind a message of its subtransaction may come before it. A record that nobody reads keeps them apart.
  `CREATE OR REPLACE FUNCTION changeover.emit_ddl(content jsonb) RETURNS void
     LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $changeover$
   SELECT pg_logical_emit_message(true, '${ddlPrefix}', convert_to((content || jsonb_build_object('seal', s.token, 'id', pg_current_wal_insert_lsn(),
     'role', coalesce(nullif(current_setting('role'), 'none'), session_user)))::text, 'UTF8')) FROM changeover.seal s;
   SELECT pg_logical_emit_message(false, 'changeover', 'apart')
   $changeover$`,
  // All rows of a table, in the text format of COPY. Those that are hidden from us make it fail.
  `CREATE OR REPLACE FUNCTION changeover.emit_rows(given oid) RETURNS void
     LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET row_security = off AS $changeover$
   DECLARE
     head jsonb;
     query text;
     line text;
     lines text[] := '{}';
     bytes bigint := 0;
   BEGIN
     SELECT jsonb_build_object('event', 'rows', 'tag', '', 'schema', n.nspname, 'name', c.relname, 'columns',
         coalesce(jsonb_agg(jsonb_build_array(a.attname, format_type(a.atttypid, a.atttypmod), a.attnum = ANY (i.indkey)) ORDER BY a.attnum), '[]')),
         format('SELECT concat_ws(E''\\t'', %s) FROM ONLY %I.%I', coalesce(string_agg(format(
           $$CASE WHEN num_nulls(%1$I) = 1 THEN '\\N' ELSE replace(replace(replace(replace(format('%%s', %1$I), '\\', '\\\\'), E'\\t', '\\t'), E'\\n', '\\n'), E'\\r', '\\r') END$$,
           a.attname), ', ' ORDER BY a.attnum), ''''''), n.nspname, c.relname)
       INTO head, query
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
       LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary AND i.indimmediate
      WHERE c.oid = given GROUP BY n.nspname, c.relname;
     FOR line IN EXECUTE query LOOP
       lines := lines || line;
       bytes := bytes + octet_length(line);
       CONTINUE WHEN bytes < ${blockBytes};
       PERFORM changeover.emit_ddl(head || jsonb_build_object('count', cardinality(lines), 'block', array_to_string(lines, E'\\n') || E'\\n'));
       lines := '{}';
       bytes := 0;
     END LOOP;
     IF lines <> '{}' THEN
       PERFORM changeover.emit_ddl(head || jsonb_build_object('count', cardinality(lines), 'block', array_to_string(lines, E'\\n') || E'\\n'));
     END IF;
   END $changeover$`,
  `CREATE OR REPLACE FUNCTION changeover.note_failure(tag text, problem text) RETURNS void
     LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $changeover$
   SELECT changeover.emit_ddl(jsonb_build_object('event', 'failed', 'tag', tag, 'problem', problem, 'text', current_query()))
   $changeover$`,
  // What stands behind the statement in the frames is the frame that ran it.
  `CREATE OR REPLACE FUNCTION changeover.statement_text(frames text) RETURNS jsonb
     LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $changeover$
   DECLARE
     outer_frames text := coalesce(substr(frames, nullif(strpos(frames, E'\\n'), 0) + 1), '');
     inner_text text;
   BEGIN
     IF outer_frames = '' THEN RETURN jsonb_build_object('text', current_query(), 'depth', 0); END IF;
     inner_text := substring(outer_frames FROM '^SQL statement "(.*?)"\\n(?:PL/pgSQL|SQL) ');
     RETURN jsonb_build_object('text', inner_text, 'depth', 1);
   END $changeover$`,
  `CREATE OR REPLACE FUNCTION changeover.note_ddl(event text, tag text, frames text, settings jsonb) RETURNS void
     LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO' SET intervalstyle = 'postgres' SET timezone = 'UTC'
     SET extra_float_digits = 3 SET bytea_output = 'hex' SET lc_monetary = 'C' AS $changeover$
   DECLARE
     found jsonb := jsonb_build_object('event', event, 'tag', tag, 'settings', settings);
     said jsonb;
     objects jsonb;
     tables oid[];
     key text;
     places jsonb;
     rewritten jsonb := coalesce(nullif(current_setting('changeover.rewritten', true), ''), '{}');
     remade jsonb := '[]';
     remade_table record;
     is_full boolean;
     is_moving boolean;
     is_renaming boolean;
     unstable text[];
     told oid[] := '{}';
     is_read boolean := EXISTS (SELECT FROM changeover.lane l JOIN pg_replication_slots s ON s.slot_name = l.slot AND s.database = current_database());
   BEGIN
     IF tag ~ '^(CREATE|ALTER|DROP) (PUBLICATION|SUBSCRIPTION|FOREIGN|SERVER|USER MAPPING|EVENT)'
       OR tag IN ('ALTER DEFAULT PRIVILEGES', 'SECURITY LABEL', 'IMPORT FOREIGN SCHEMA', 'REINDEX', 'CLUSTER')
       -- A table is looked after as soon as it is published, also while the slot waits to be made.
       OR NOT (is_read OR event = 'ddl_command_end' AND EXISTS (SELECT FROM changeover.lane l JOIN pg_publication p ON p.pubname = l.publication))
     THEN RETURN; END IF;
     IF event = 'ddl_command_start' THEN
       PERFORM changeover.emit_ddl(found);
       RETURN;
     END IF;
     IF event = 'table_rewrite' THEN
       PERFORM set_config('changeover.rewritten', (rewritten
         || jsonb_build_object(pg_event_trigger_table_rewrite_oid()::text, pg_event_trigger_table_rewrite_reason()))::text, true);
       RETURN;
     END IF;
     IF event = 'sql_drop' THEN
       -- What an ALTER drops is told with it.
       IF tag NOT LIKE 'DROP %' THEN RETURN; END IF;
       SELECT jsonb_agg(jsonb_build_object('type', object_type, 'schema', schema_name, 'identity', object_identity,
           'names', address_names)) FILTER (WHERE original AND NOT is_temporary),
           jsonb_build_object('cascade', coalesce(bool_or(normal AND NOT original
             AND NOT EXISTS (SELECT FROM pg_event_trigger_dropped_objects() o WHERE o.original AND o.address_names = d.address_names[1:2])), false))
         INTO objects, said FROM pg_event_trigger_dropped_objects() d;
       IF objects IS NOT NULL THEN PERFORM changeover.emit_ddl(found || said || jsonb_build_object('dropped', objects)); END IF;
       RETURN;
     END IF;
     IF tag LIKE 'DROP %' AND tag <> 'DROP OWNED' THEN RETURN; END IF;

     said := changeover.statement_text(frames);
     is_renaming := tag LIKE 'ALTER %' AND coalesce(said ->> 'text' ~* 'rename|schema', true);
     -- Rows that were written anew are not in the stream: what called them into being must say the same everywhere.
     IF rewritten <> '{}' THEN
       SELECT array_agg(DISTINCT p.proname) INTO unstable
         FROM regexp_matches(lower(said ->> 'text'), '([a-z_][a-z0-9_$]*)"?\\s*\\(', 'g') m JOIN pg_proc p ON p.proname = m[1]
        WHERE p.provolatile = 'v' OR (p.provolatile = 's' AND (p.oid >= 16384
          OR p.proname ~ '^(now|age|timeofday|obj_description|col_description|shobj_description|transaction_timestamp|statement_timestamp)$'
          OR p.proname ~ '^(current|has|inet|txid|to_reg|pg|query_to|table_to|cursor_to|database_to|schema_to)_'));
       is_moving := unstable IS NOT NULL OR said ->> 'text' ~* '${momentaryPattern}';
     END IF;
     FOR remade_table IN SELECT c.oid, r.value::int AS reason, n.nspname, c.relname, c.relpersistence = 'p' AS is_logged FROM jsonb_each_text(rewritten) r
       JOIN pg_class c ON c.oid = r.key::oid AND c.relkind = 'r' JOIN pg_namespace n ON n.oid = c.relnamespace
     LOOP
       EXECUTE format('SELECT EXISTS (SELECT FROM ONLY %I.%I)', remade_table.nspname, remade_table.relname) INTO is_full;
       CONTINUE WHEN NOT is_full;
       -- 1: it became logged or unlogged; 2: a default that is not the same for every row; 4: values of another type.
       is_full := is_read AND remade_table.is_logged AND pg_table_size(remade_table.oid) <= ${toldBytesMax}
         AND (remade_table.reason & 3 <> 0 OR remade_table.reason & 4 <> 0 AND is_moving);
       remade := remade || jsonb_build_object('schema', remade_table.nspname, 'name', remade_table.relname,
         'reason', remade_table.reason, 'logged', remade_table.is_logged, 'told', is_full);
       IF is_full THEN told := told || remade_table.oid; END IF;
     END LOOP;
     IF said ->> 'depth' = '0' THEN
       -- Which statement of its tag this is, of those that were sent as one text. What is rolled back is not counted.
       key := md5(said ->> 'text') || statement_timestamp();
       places := coalesce(nullif(current_setting('changeover.places', true), ''), '{}')::jsonb;
       IF places ->> 'key' IS DISTINCT FROM key THEN places := jsonb_build_object('key', key); END IF;
       places := places || jsonb_build_object(tag, coalesce((places ->> tag)::int, 0) + 1);
       PERFORM set_config('changeover.places', places::text, false);
     END IF;
     SELECT array_agg(DISTINCT t.oid) FILTER (WHERE t.relkind IN ('r', 'p') AND t.relpersistence <> 't'),
         coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object('command', c.command_tag, 'type', c.object_type, 'schema', c.schema_name,
           'identity', c.object_identity, 'apart', ${isApart},
           'owner', pg_get_userbyid(${ownerOf}),
           'address', (SELECT format('%L, %L, %L', a.type, a.object_names, a.object_args)
             FROM pg_identify_object_as_address(c.classid, c.objid, c.objsubid) a WHERE c.objid IS NOT NULL),
           'table', CASE WHEN t.relkind IN ('r', 'p') THEN ${pair('n.nspname', 't.relname')} END,
           'reads', CASE WHEN t.relkind IN ('v', 'm') THEN ${readBy('t.oid')} END))), '[]')
       INTO tables, objects
       FROM pg_event_trigger_ddl_commands() c LEFT JOIN pg_class t ON t.oid = ${tableOf}
         LEFT JOIN pg_namespace n ON n.oid = t.relnamespace
      WHERE NOT c.in_extension AND c.schema_name IS DISTINCT FROM 'changeover';
     PERFORM set_config('changeover.rewritten', '', true);
     IF tag NOT IN ('CREATE TABLE AS', 'SELECT INTO', 'DROP OWNED') AND NOT jsonb_path_exists(objects, '$[*] ? (!(@.apart == true))') THEN RETURN; END IF;
     IF key IS NOT NULL THEN
       -- A text of thousands of statements is told once for a transaction.
       IF current_setting('changeover.told', true) = key THEN said := said - 'text';
       ELSE PERFORM set_config('changeover.told', key, true); END IF;
       said := said || jsonb_build_object('key', key, 'place', (places ->> tag)::int);
     END IF;

     found := found || said || jsonb_build_object('remade', remade, 'unstable', unstable, 'objects', objects,
       'heirs', CASE WHEN is_renaming THEN (
         WITH RECURSIVE heirs (oid) AS (
           SELECT i.inhrelid FROM pg_inherits i WHERE i.inhparent = ANY (tables)
           UNION SELECT i.inhrelid FROM heirs h JOIN pg_inherits i ON i.inhparent = h.oid)
         SELECT jsonb_agg(jsonb_build_object('schema', n.nspname, 'name', r.relname))
           FROM pg_class r JOIN pg_namespace n ON n.oid = r.relnamespace
          WHERE r.relkind IN ('r', 'p') AND (r.oid IN (SELECT oid FROM heirs) OR r.relnamespace IN (
            SELECT c.objid FROM pg_event_trigger_ddl_commands() c WHERE c.classid = 'pg_namespace'::regclass))) END,
       'tables', coalesce((
       SELECT jsonb_agg(jsonb_build_object('schema', n.nspname, 'name', t.relname, 'traits', ${traitsSql('t.oid')},
           'unlogged', t.relpersistence = 'u',
           'bound', CASE WHEN tag = 'CREATE TABLE' THEN pg_get_expr(t.relpartbound, t.oid) END,
           'filled', (SELECT jsonb_object_agg(f.name, jsonb_build_array(f.value, f.present)) FROM (
             SELECT DISTINCT ON (a.attname) a.attname AS name, (a.attmissingval::text::text[])[1] AS value,
                 (SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum) AS present
               FROM (SELECT relid::oid FROM pg_partition_tree(t.oid) UNION SELECT t.oid) p (oid) JOIN pg_attribute a ON a.attrelid = p.oid
              WHERE a.atthasmissing AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attname, p.oid) f),
           'made', CASE WHEN tag IN ('CREATE TABLE AS', 'SELECT INTO') THEN
             (SELECT jsonb_agg(quote_ident(a.attname) || ' ' || format_type(a.atttypid, a.atttypmod)
                || CASE WHEN a.attcollation <> y.typcollation THEN ' COLLATE ' || a.attcollation::regcollation ELSE '' END ORDER BY a.attnum)
              FROM pg_attribute a JOIN pg_type y ON y.oid = a.atttypid WHERE a.attrelid = t.oid AND a.attnum > 0) END,
           'options', array_to_string(t.reloptions, ', ')))
         FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace WHERE t.oid = ANY (tables)), '[]'));
     IF is_read THEN
       PERFORM changeover.emit_ddl(found);
       PERFORM changeover.emit_rows(t) FROM unnest(told) t;
     END IF;
     IF tables IS NOT NULL THEN PERFORM changeover.publish(tables, tag ~ '^(CREATE|SELECT INTO)'); END IF;
   END $changeover$`,
  // Before anybody writes to them: PostgreSQL refuses updates of a published table without identity (decision 7).
  `CREATE OR REPLACE FUNCTION changeover.publish(given oid[], made boolean) RETURNS void
     LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $changeover$
   DECLARE
     leaf record;
     lane record;
   BEGIN
     FOR leaf IN SELECT DISTINCT c.oid, format('%I.%I', n.nspname, c.relname) AS name, c.relreplident IN ('d', 'n')
           AND (c.relreplident = 'n' OR NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND i.indimmediate))
           AND (current_setting('server_version_num')::int < 180000 OR NOT EXISTS (
             SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attgenerated <> '' AND NOT a.attisdropped)) AS keyless
         FROM unnest(given) g (oid)
         CROSS JOIN LATERAL (SELECT relid FROM pg_partition_tree(g.oid) UNION SELECT g.oid) p (oid)
         JOIN pg_class c ON c.oid = p.oid AND c.relkind = 'r' AND c.relpersistence = 'p'
         JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname !~ '^(pg_|changeover$|information_schema$)'
     LOOP
       FOR lane IN SELECT p.pubname, p.puballtables
           OR EXISTS (SELECT FROM pg_get_publication_tables(p.pubname::text) t WHERE t.relid = leaf.oid) AS covers
         FROM changeover.lane l JOIN pg_publication p ON p.pubname = l.publication
       LOOP
         IF made AND NOT lane.covers THEN EXECUTE format('ALTER PUBLICATION %I ADD TABLE %s', lane.pubname, leaf.name); END IF;
         CONTINUE WHEN NOT (leaf.keyless AND (made OR lane.covers));
         EXECUTE format('ALTER TABLE %s REPLICA IDENTITY FULL', leaf.name);
         leaf.keyless := false;
       END LOOP;
     END LOOP;
   END $changeover$`,
];

/** By event; CREATE TABLE AS writes its rows before its end is told. */
export const triggersSql: Readonly<Record<string, string>> = {
  changeover_ddl_start: `ddl_command_start WHEN TAG IN ('CREATE TABLE AS', 'SELECT INTO')`,
  changeover_ddl_rewrite: 'table_rewrite',
  changeover_ddl_drop: 'sql_drop',
  changeover_ddl_end: 'ddl_command_end',
};
