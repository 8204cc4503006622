/** SQL of an array of texts: what a table looks like, in words that two servers share when their tables are alike. `oid` is SQL of the
 *  table's oid. The search_path must be without user schemas, so that names of types come out qualified. */
export const traitsSql = (oid: string): string => `ARRAY(
  SELECT 'column ' || pg_catalog.quote_ident(a.attname) || ' ' || pg_catalog.format_type(a.atttypid, a.atttypmod)
      || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END
      || CASE WHEN a.attgenerated <> '' THEN ' generated' ELSE '' END
      || CASE WHEN a.attidentity <> '' THEN ' identity ' || a.attidentity::text ELSE '' END AS trait
    FROM pg_catalog.pg_attribute a WHERE a.attrelid = ${oid} AND a.attnum > 0 AND NOT a.attisdropped
  UNION ALL SELECT 'constraint ' || pg_catalog.quote_ident(k.conname)
    FROM pg_catalog.pg_constraint k WHERE k.conrelid = ${oid} AND k.contype IN ('c', 'f', 'p', 'u', 'x')
  UNION ALL SELECT 'index ' || pg_catalog.quote_ident(i.relname)
    FROM pg_catalog.pg_index x JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid WHERE x.indrelid = ${oid}
  UNION ALL SELECT 'trigger ' || pg_catalog.quote_ident(t.tgname)
    FROM pg_catalog.pg_trigger t WHERE t.tgrelid = ${oid} AND NOT t.tgisinternal
  UNION ALL SELECT 'policy ' || pg_catalog.quote_ident(p.polname) FROM pg_catalog.pg_policy p WHERE p.polrelid = ${oid}
  UNION ALL SELECT 'rule ' || pg_catalog.quote_ident(r.rulename) FROM pg_catalog.pg_rewrite r WHERE r.ev_class = ${oid}
  ORDER BY trait)`;
