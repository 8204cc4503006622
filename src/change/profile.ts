/** What a database holds, as far as another one must be able to hold it too. The source's inspector writes it, the target's
 *  check reads it; it stands here because neither may know the other. */
export interface SourceProfile {
  /** Which history (the `origin` of its positions), which running server of it, and which database there. Two sides that
   *  agree in all three are one database. A clone agrees in the origin only. */
  readonly origin: string;
  readonly server: string;
  readonly database: string;
  /** As PostgreSQL numbers it: 180004. */
  readonly version: number;
  readonly encoding: string;
  readonly collation: Collation;
  readonly extensions: readonly Extension[];
  /** The tables whose rows are copied. */
  readonly tables: readonly ProfileTable[];
  /** Roles that own these tables or were granted something on them. */
  readonly roles: readonly string[];
}

/** What sorts text where a column says nothing else. */
export interface Collation {
  readonly provider: 'libc' | 'icu' | 'builtin';
  readonly collate: string;
  readonly ctype: string;
  /** The provider's own name of the locale, where it has one. */
  readonly locale: string | undefined;
  /** Of the library that sorts. Undefined where the server does not say. */
  readonly version: string | undefined;
}

export interface Extension {
  readonly name: string;
  readonly version: string;
  readonly schema: string;
}

export interface ProfileColumn {
  readonly name: string;
  /** In the database's own words, qualified unless built in: `numeric(10,2)`, `public.mood`. */
  readonly type: string;
  /** `GENERATED ALWAYS AS (a + 1) STORED`. Undefined for a column that is written. */
  readonly generated: string | undefined;
}

export interface ProfileTable {
  readonly schema: string;
  readonly name: string;
  readonly columns: readonly ProfileColumn[];
}
