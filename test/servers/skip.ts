import type { Kind } from '../../src/demo/broker-server.ts';

/** Why the tests of a server are skipped. Undefined: they run, and where everything is meant to be there they fail without it. */
export function skipReason(kind: Kind): string | undefined {
  const missing = kind.missing();
  return process.env.CI === 'true' ? undefined : missing;
}
