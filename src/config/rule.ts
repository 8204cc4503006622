import { z } from 'zod';
import type { MaskPlan } from './configuration.ts';
import { described } from './page.ts';
import { isPattern, patternForm } from './tables.ts';

const maskForm = 'hash, null, or { fixed: TEXT }';
/** One column's. A mapping without a prototype is what a file gives. */
const mask = z.unknown().transform((value, context): MaskPlan => {
  if (value === 'hash') return { kind: 'hash' };
  if (value === null || value === 'null') return { kind: 'null' };
  const parts = typeof value === 'object' && value !== null ? Object.entries(value) : [];
  const [[name, text] = []] = parts;
  if (parts.length === 1 && name === 'fixed' && typeof text === 'string') return { kind: 'fixed', value: text };
  context.addIssue({ code: 'custom', message: `is no mask; write ${maskForm}` });
  return z.NEVER;
});

/** A rule about tables. */
export const rule = z.strictObject({
  match: described(z.string().refine(isPattern, { error: `is no pattern of tables; write ${patternForm}` }), {
    says: 'Which tables the rule is about. `*` stands for any run of characters; a name without a schema means any schema; names are spelt as in the catalogue, in double quotes where they hold a dot or a star.',
    right: patternForm,
    example: '"public.*"',
    required: true,
  }),
  tier: described(
    z
      .string()
      .regex(/^[a-z][a-z0-9_-]*$/, { error: 'is no name of a tier; write small letters, digits, - and _' })
      .optional(),
    {
      says: 'How precious the tables are, in a word of yours; `objectives` says what it means.',
      right: 'a word in small letters, for example critical',
      example: 'critical',
    },
  ),
  leave_out: described(z.boolean().prefault(false), {
    says: 'These tables are not replicated.',
    right: 'true or false',
    example: 'true',
    default: 'false',
  }),
  rows: described(z.string().min(1).optional(), {
    says: 'Only rows that meet this condition are replicated; one that no longer meets it is deleted at the secondary. SQL of the primary, as in WHERE, with built-in functions only. Needs PostgreSQL 15 and REPLICA IDENTITY FULL.',
    why: 'The primary itself judges every row, in the copy and in the stream; to tell rows that begin or cease to meet it, it needs them whole.',
    right: `a condition like "region = 'eu'"`,
    example: `"region = 'eu'"`,
  }),
  leave_out_columns: described(z.array(z.string()).prefault([]), {
    says: 'Columns whose values stay at the primary. At the secondary they are null, or what their default gives.',
    why: 'Their values are dropped before anything is written to the log. A column that identifies rows, or that must not be null, cannot be left out.',
    right: 'a list of names of columns, for example [notes, photo]',
    example: '[notes]',
    default: '[]',
  }),
  mask: described(z.record(z.string(), mask).prefault({}), {
    says: 'Columns whose values are replaced before anything is written to the log: `hash` by an HMAC-SHA-256 in 64 hexadecimal digits, `null` by null, `{ fixed: TEXT }` by that text. A null stays null when it is hashed.',
    why: 'Equal texts have equal hashes, so joins still work. A column that identifies rows cannot be masked; what is hashed must be text.',
    right: `a mapping of columns, each with ${maskForm}`,
    example: '{ email: hash, phone: null, name: { fixed: "***" } }',
    default: '{}',
  }),
});
