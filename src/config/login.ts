import { z } from 'zod';
import { described } from './page.ts';

/* The login to a broker by user and password, apart from its address. That both are given, and no other login, is asked by
   `cross-check.ts`. */

export const user = described(z.string().min(1).optional(), {
  says: 'The user that we log in as. It needs `password`.',
  right: 'the name of a user',
  example: 'changeover',
});

export const password = described(z.string().min(1).optional(), {
  says: 'The password of `user`, apart from the address.',
  why: 'Given so, its characters need no %40-like spelling.',
  right: '"${NAME}", or { file: ./path } to read it from a file',
  example: '{ file: ./broker.password }',
  secret: true,
});
