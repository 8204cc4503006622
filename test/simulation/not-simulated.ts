import { ChangeoverError } from '../../src/error.ts';

/** No loop of those that are simulated asks for it. */
export const notSimulated = (): Promise<never> =>
  Promise.reject(new ChangeoverError('ASSERTION', 'The simulation does not know this question'));
