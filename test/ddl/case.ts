/** What an application or a migration runs. */
export interface Case {
  readonly name: string;
  /** Each is sent as a text of its own. */
  readonly texts: readonly string[];
  /** PostgreSQL refuses it within a transaction, or what it made within the same one. */
  readonly alone?: true;
}

export const of = (name: string, ...texts: readonly string[]): Case => ({ name, texts });
export const alone = (name: string, ...texts: readonly string[]): Case => ({ name, texts, alone: true });
