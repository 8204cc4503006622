import { z } from 'zod';
import { described } from './page.ts';

export const streamName = described(
  z.string().regex(/^[A-Za-z0-9_-]{1,100}$/, { error: 'is no name for a stream; write letters, digits, _ and -' }),
  {
    says: 'Name of the stream, for one lane alone. It is made when it is not there; one that you made yourself keeps its settings.',
    why: 'Everything that one primary writes is one sequence, and only one process writes to it.',
    right: 'letters, digits, _ and -, for example shop',
    example: 'shop',
    required: true,
  },
);

/** The servers of one line. */
export const serversOf = (text: string): readonly string[] => text.split(',').map((server) => server.trim());
