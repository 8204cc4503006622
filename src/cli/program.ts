import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { type Building, define, type Words, withConfig } from './building.ts';
import type { CheckOptions } from './check.ts';
import type { DemoArguments } from './demo.ts';
import type { Session } from './desk.ts';
import type { FailoverArguments } from './failover.ts';
import type { ExitCode } from './failure.ts';
import type { InitOptions } from './init.ts';
import type { KeysRotateOptions } from './keys.ts';
import type { ConfiguredOptions } from './lane.ts';
import type { LogListOptions } from './log.ts';
import { addOrphans } from './orphans-command.ts';
import type { RepairArguments } from './repair.ts';
import type { ReplicateArguments } from './replicate.ts';
import type { ResyncArguments } from './resync.ts';
import type { RunArguments } from './run.ts';
import type { SetAsideArguments } from './set-aside.ts';
import type { SnapshotArguments } from './snapshot.ts';
import type { StatusOptions } from './status.ts';
import type { SwitchoverArguments } from './switchover.ts';
import type { VerifyArguments } from './verify.ts';
import type { WaitArguments } from './wait.ts';

/** The commands, their options and their help. What a command does is loaded only when it is run. `finish` takes its exit code. */
export function buildProgram(session: Session, finish: (exitCode: ExitCode) => void): Command {
  const program = new Command('changeover')
    .description('Event-driven data replication for disaster recovery: nothing lost, nothing doubled, nothing torn.')
    .exitOverride()
    // An error is told once, by `failure.ts`.
    .configureOutput({ writeOut: (text) => session.desk.out(text), writeErr: () => undefined })
    .configureHelp({ subcommandTerm: (command) => command.name() })
    .helpCommand(false)
    .version(versionHere(), '-V, --version')
    .addHelpText(
      'after',
      '\nExit codes: 0 done, 1 failed or findings, 2 usage, 3 refused for safety.\nStart: changeover demo',
    );
  const building: Building = { program, session, finish };
  addReplicate(building);
  addRoles(building);
  addQuestions(building);
  addRows(building);
  addResync(building);
  addSetAside(building);
  addMoves(building);
  addOrphans(building);
  addLog(building);
  addKeys(building);
  addDemo(building);
  return program;
}

function versionHere(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return String((JSON.parse(text) as { readonly version: unknown }).version);
}

function addReplicate({ program, session, finish }: Building): void {
  define(program, {
    usage: 'replicate [from-url] [to-url]',
    says: 'copy a database to another and keep it in step; run again, it resumes, also without the addresses',
    example: 'replicate postgres://app@london/shop postgres://app@dublin/shop',
  })
    .option('--tables <pattern...>', 'only these tables, for example "public.*"')
    .option('--leave-out <pattern...>', 'not these tables')
    .option('--folder <folder>', 'where the log and the state lie', 'changeover-data')
    .option('--name <name>', 'name of the lane, for a primary that feeds several')
    .option('--restart', 'forget what was copied and begin with a new copy; the tables at the secondary are emptied')
    .action(async (from: string | undefined, to: string | undefined, options: ReplicateArguments) => {
      const { replicate } = await import('./replicate.ts');
      finish(await replicate(session, { ...options, ...(from && { from }), ...(to && { to }) }));
    });
  define(program, {
    usage: 'init',
    says: 'write a commented changeover.yaml to start from',
    example: 'init && changeover check',
  })
    .option('--force', 'replace the file that is there')
    .action(async (options: InitOptions) => {
      const { init } = await import('./init.ts');
      finish(await init(session, options));
    });
}

function addRoles({ program, session, finish }: Building): void {
  const role = (words: Words, roles: RunArguments['roles']): Command =>
    withConfig(define(program, words))
      .option('--standby', 'wait until nobody else does this, then take over; and wait again when somebody else has')
      .action(async (options: Omit<RunArguments, 'roles'>) => {
        const { run } = await import('./run.ts');
        finish(await run(session, { ...options, roles }));
      });
  role(
    {
      usage: 'run',
      says: 'do everything that changeover.yaml asks for, until stopped',
      example: 'run -c changeover.yaml',
    },
    ['capture', 'apply'],
  )
    .option('--restart', 'forget what was copied and begin with a new copy; the tables at the secondaries are emptied')
    .option('--print-config', 'show the configuration, defaults filled in, secrets as ***, and end');
  role(
    {
      usage: 'capture',
      says: 'only read the primary into the log, until stopped',
      example: 'capture -c changeover.yaml',
    },
    ['capture'],
  );
  role(
    {
      usage: 'apply',
      says: 'only bring the log to the secondaries, until stopped',
      example: 'apply -c changeover.yaml --site dublin',
    },
    ['apply'],
  ).option('--site <name>', 'to this secondary only');
}

function addQuestions({ program, session, finish }: Building): void {
  withConfig(
    define(program, {
      usage: 'check [from-url] [to-url]',
      says: 'prove that replication can start, and print the cure for everything in its way; changes nothing',
      example: 'check postgres://app@london/shop postgres://app@dublin/shop',
    }),
  ).action(async (from: string | undefined, to: string | undefined, options: CheckOptions) => {
    const { check } = await import('./check.ts');
    finish(await check(session, { ...options, ...(from && { from }), ...(to && { to }) }));
  });
  withConfig(
    define(program, {
      usage: 'status',
      says: 'say whether the secondary is in step, how far each part is, and what would be lost now; exit 0 only when in step',
      example: 'status --watch',
    }),
  )
    .option('--watch', 'look again and again, until stopped')
    .option('--every <seconds>', 'how often to look', '2')
    .action(async (options: StatusOptions) => {
      const { status } = await import('./status.ts');
      finish(await status(session, options));
    });
  withConfig(
    define(program, {
      usage: 'wait',
      says: 'return when all that was committed at the primary before the call is visible at the secondary',
      example: 'wait --caught-up --timeout 60',
    }),
  )
    .option('--caught-up', 'what to wait for; the only thing so far, and the default')
    .option('--timeout <seconds>', 'give up after so long, with exit code 1', '60')
    .option('--site <name>', 'for this secondary only')
    .action(async (options: WaitArguments) => {
      const { wait } = await import('./wait.ts');
      finish(await wait(session, options));
    });
}

/** What looks at rows, and puts them right. */
function addRows({ program, session, finish }: Building): void {
  const onRows = (words: Words): Command =>
    withConfig(define(program, words)).option(
      '--timeout <seconds>',
      'give up when both sides do not come to one position within so long',
      '60',
    );
  const some = (command: Command): Command =>
    command
      .option('--table <pattern...>', 'only these tables, for example "public.*"')
      .option('--site <name>', 'this secondary only');
  some(
    onRows({
      usage: 'verify',
      says: 'compare every row of both sides at one exact position, without locks, while changes go on; exit 0 only when equal',
      example: 'verify --table "public.*"',
    }),
  )
    .option('--values', 'print the values of columns that differ: mind who reads along')
    .action(async (options: VerifyArguments) => {
      const { verify } = await import('./verify.ts');
      finish(await verify(session, options));
    });
  some(
    onRows({
      usage: 'repair',
      says: 'compare, put right what differs at the secondary, through the log, and compare again',
      example: 'repair --table public.orders --dry-run',
    }),
  )
    .option('--dry-run', 'only say what differs')
    .action(async (options: RepairArguments) => {
      const { repair } = await import('./repair.ts');
      finish(await repair(session, options));
    });
  onRows({
    usage: 'snapshot <table>',
    says: 'copy one table anew to every secondary, through the log; a large one in parts, between which the others go on',
    example: 'snapshot public.orders',
  }).action(async (table: string, options: SnapshotArguments) => {
    const { snapshot } = await import('./snapshot.ts');
    finish(await snapshot(session, table, options));
  });
}

function addResync({ program, session, finish }: Building): void {
  withConfig(
    define(program, {
      usage: 'resync',
      says: 'bring back a lane whose slot is lost, or a secondary that needs what the log forgot: copy only what differs, in one transaction, and prove both sides equal',
      example: 'resync --dry-run && changeover resync && changeover run',
    }),
  )
    .option('--dry-run', 'only say what differs')
    .action(async (options: ResyncArguments) => {
      const { resync } = await import('./resync.ts');
      finish(await resync(session, options));
    });
}

/** One bad table must not hold the others up. */
function addSetAside({ program, session, finish }: Building): void {
  withConfig(
    define(program, {
      usage: 'set-aside <table>',
      says: 'let the lane go on without a table whose rows a secondary refuses; changeover snapshot brings it back',
      example: 'set-aside public.orders --site dublin',
    }),
  )
    .option('--site <name>', 'at this secondary only')
    .action(async (table: string, options: SetAsideArguments) => {
      const { setAside } = await import('./set-aside.ts');
      finish(await setAside(session, table, options));
    });
}

function addMoves({ program, session, finish }: Building): void {
  withConfig(
    define(program, {
      usage: 'switchover',
      says: 'let the other site lead, planned, with nothing lost; the old primary follows it',
      example: 'switchover --to dublin --dry-run && changeover switchover --to dublin',
    }),
  )
    .option('--to <site>', 'the site that is to lead')
    .option('--dry-run', 'only check everything that would keep it from being done; changes nothing')
    .option('--cancel', 'give up the one that is under way, as long as the new primary is not opened')
    .action(async (options: SwitchoverArguments) => {
      const { switchover } = await import('./switchover.ts');
      finish(await switchover(session, options));
    });
  withConfig(
    define(program, {
      usage: 'failover',
      says: 'let the other site lead when the primary is gone; says first what may be lost, and loses no more than you accept',
      example: 'failover --to dublin --accept-loss 30s',
    }),
  )
    .requiredOption('--to <site>', 'the site that is to lead')
    .option('--accept-loss <bound>', 'what was committed in the last so long may be lost, for example 30s; or all')
    .option('--dry-run', 'only say what may be lost; changes nothing')
    .action(async (options: FailoverArguments) => {
      const { failover } = await import('./failover.ts');
      finish(await failover(session, options));
    });
}

function addLog({ program, session, finish }: Building): void {
  const log = program
    .command('log')
    .description('look into the log')
    .addHelpText('after', '\nExample:\n  changeover log ls --limit 5');
  withConfig(define(log, { usage: 'ls', says: 'list entries, the newest last', example: 'log ls --limit 5' }))
    .option('--from <offset>', 'first entry to list; default: so that the list ends with the newest')
    .option('--limit <count>', 'how many', '20')
    .action(async (options: LogListOptions) => {
      const { logList } = await import('./log.ts');
      finish(await logList(session, options));
    });
  withConfig(
    define(log, {
      usage: 'show <offset>',
      says: 'print the changes of one entry, values included: mind who reads along',
      example: 'log show 41',
    }),
  ).action(async (offset: string, options: ConfiguredOptions) => {
    const { logShow } = await import('./log-show.ts');
    finish(await logShow(session, offset, options));
  });
  withConfig(
    define(log, {
      usage: 'verify',
      says: 'read the whole log and prove that nothing in it is missing, exchanged or damaged',
      example: 'log verify',
    }),
  ).action(async (options: ConfiguredOptions) => {
    const { logVerify } = await import('./log-verify.ts');
    finish(await logVerify(session, options));
  });
}

function addKeys({ program, session, finish }: Building): void {
  const keys = program
    .command('keys')
    .description('the keys that seal what the broker holds')
    .addHelpText('after', '\nExample:\n  changeover keys ls');
  withConfig(
    define(keys, {
      usage: 'ls',
      says: 'list the keys of the ring by their names, the newest last',
      example: 'keys ls',
    }),
  ).action(async (options: ConfiguredOptions) => {
    const { keysList } = await import('./keys.ts');
    finish(await keysList(session, options));
  });
  withConfig(
    define(keys, {
      usage: 'rotate',
      says: 'add a key to the ring, which seals from now on, while everything runs; the first one makes the key file',
      example: 'keys rotate --dry-run',
    }),
  )
    .option('--dry-run', 'say what would be done, and do nothing')
    .action(async (options: KeysRotateOptions) => {
      const { keysRotate } = await import('./keys.ts');
      finish(await keysRotate(session, options));
    });
}

function addDemo({ program, session, finish }: Building): void {
  define(program, {
    usage: 'demo',
    says: 'show it on this machine: two real servers, a live workload, and keys that kill',
    example: 'demo --broker kafka --seconds 30 --kill broker,apply,capture --json',
  })
    .option('--seconds <seconds>', 'unattended: run so long, prove, and end')
    .option('--kill <parts>', 'kill these in turn: primary, capture, broker, apply, secondary')
    .option('--broker <name>', 'what carries the changes: log, kafka, rabbitmq, nats', 'log')
    .option('--rate <number>', 'transactions per second', '200')
    .action(async (options: DemoArguments) => {
      const { demo } = await import('./demo.ts');
      finish(await demo(session, options));
    });
}
