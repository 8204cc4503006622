import { z } from 'zod';

/** What people read about an option: `docs/config.md`, the file of `changeover init` and every complaint come from it. */
export interface Page {
  readonly says: string;
  /** Why the default, or the bound, is what it is. */
  readonly why?: string;
  /** What would be right, to follow "write". */
  readonly right: string;
  /** The value as YAML. */
  readonly example: string;
  /** As it would stand in the file. Undefined: the option must be given, or is off without it (see `says`). */
  readonly default?: string;
  readonly required?: boolean;
  readonly least?: string;
  readonly most?: string;
  /** The value may hold a password: it is never shown, and may stand in a file of its own. */
  readonly secret?: boolean;
}

export const pages = z.registry<Page>();
export const described = <S extends z.ZodType>(schema: S, page: Page): S => {
  pages.add(schema, page);
  return schema;
};
