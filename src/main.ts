import { main as commandLine } from './cli/command-line.ts';
import { ChangeoverError } from './error.ts';

const missing = (): never => {
  throw new ChangeoverError('ASSERTION', 'A stand-in until the composition root is written');
};

/** A stand-in for the composition root: the face works, nothing stands behind it. */
export const main = (): Promise<number> =>
  commandLine({
    sourceInspector: async () => missing(),
    targetInspector: async () => missing(),
    logReader: async () => missing(),
    verifyLog: missing,
    run: async () => missing(),
    demo: async () => missing(),
  });
