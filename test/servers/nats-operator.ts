import { randomUUID } from 'node:crypto';
import { nkeys } from '@nats-io/transport-node';

type KeyPair = ReturnType<typeof nkeys.createOperator>;

/** An operator of NATS with one account, as nsc would make them: users are made by whoever holds the account's key, and servers are told
 *  of none of them. https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_intro/jwt */
export interface Operator {
  /** For nats-server.conf. */
  readonly config: string;
  /** What a user logs in with: its JWT and its seed in one text. `lastsS` may lie behind us. */
  creds(lastsS?: number): string;
}

export function makeOperator(): Operator {
  const [operator, account, system] = [nkeys.createOperator(), nkeys.createAccount(), nkeys.createAccount()];
  const accountOf = (pair: KeyPair, streams: object): string =>
    `${pair.getPublicKey()}: ${token(operator, {
      sub: pair.getPublicKey(),
      nats: { type: 'account', limits: { ...noLimits, ...streams } },
    })}`;
  return {
    config: `operator: ${token(operator, { sub: operator.getPublicKey(), nats: { type: 'operator' } })}
system_account: ${system.getPublicKey()}
resolver: MEMORY
resolver_preload: { ${accountOf(system, {})}, ${accountOf(account, noStreamLimits)} }
`,
    creds(lastsS = 3600) {
      const user = nkeys.createUser();
      const exp = Math.floor(Date.now() / 1000) + lastsS;
      const nats = { type: 'user', subs: -1, data: -1, payload: -1 };
      return `${framed('NATS USER JWT', token(account, { sub: user.getPublicKey(), exp, nats }))}
${framed('USER NKEY SEED', Buffer.from(user.getSeed()).toString())}`;
    },
  };
}

const noLimits = { subs: -1, data: -1, payload: -1, imports: -1, exports: -1, conn: -1, leaf: -1, wildcards: true };
const noStreamLimits = { mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 };

const framed = (name: string, text: string): string => `-----BEGIN ${name}-----\n${text}\n------END ${name}------\n`;

function token(by: KeyPair, { nats, ...claims }: { readonly nats: object; readonly [claim: string]: unknown }): string {
  const body = { jti: randomUUID(), iat: Math.floor(Date.now() / 1000), iss: by.getPublicKey(), ...claims };
  const text = [
    { typ: 'JWT', alg: 'ed25519-nkey' },
    { ...body, nats: { ...nats, version: 2 } },
  ]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.');
  return `${text}.${Buffer.from(by.sign(Buffer.from(text))).toString('base64url')}`;
}
