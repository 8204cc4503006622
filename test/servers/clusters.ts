import { openPostgresServer, type PostgresServer, type PostgresServerOptions } from '../../src/demo/postgres-server.ts';

/* initdb takes longer than many a test. A run of many files has it make a few clusters, and the servers of the files begin as copies. */

type Cluster = Pick<PostgresServer, 'folder' | 'password'>;

/** How the processes of the files are told of them. */
const variable = 'CHANGEOVER_TEST_CLUSTERS';
/** As many servers as most files have at a time. A copy has the identity of its cluster, which no two servers of a file may share. */
const clustersMax = 2;

/** For the processes that are started from here on; gone with dispose, and also when this process is killed. */
export async function openClusters(): Promise<AsyncDisposable> {
  await using opened = new AsyncDisposableStack();
  const open = async (): Promise<Cluster> => {
    const server = opened.use(await openPostgresServer());
    await server.stop('fast');
    return { folder: server.folder, password: server.password };
  };
  process.env[variable] = JSON.stringify(await Promise.all(Array.from({ length: clustersMax }, open)));
  return opened.move();
}

const clusters = JSON.parse(process.env[variable] ?? '[]') as readonly Cluster[];
const taken = new Set<Cluster>();

/** A real server of the embedded PostgreSQL. No two that are open at a time in a process have the same identity. */
export async function openServer(options: PostgresServerOptions = {}): Promise<PostgresServer> {
  const isOrdinary = !options.durable && options.home === undefined && options.initArguments === undefined;
  const copyOf = isOrdinary ? clusters.find((cluster) => !taken.has(cluster)) : undefined;
  if (copyOf === undefined) return openPostgresServer(options);
  taken.add(copyOf);
  const server = await openPostgresServer({ ...options, copyOf });
  return {
    ...server,
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      taken.delete(copyOf);
    },
  };
}
