import type { Session } from './desk.ts';
import type { ExitCode } from './failure.ts';
import { numberIn } from './lane.ts';

export interface DemoArguments {
  readonly seconds?: string;
  readonly kill?: string;
  readonly broker: string;
  readonly rate: string;
  readonly json?: true;
}

export async function demo(
  { house, signal }: Session,
  { seconds, kill, broker, rate, json }: DemoArguments,
): Promise<ExitCode> {
  const options = {
    kill: kill === undefined ? [] : kill.split(',').map((part) => part.trim()),
    broker,
    json: json === true,
    rate: numberIn(rate, { name: '--rate', whole: false }),
    ...(seconds !== undefined && { seconds: numberIn(seconds, { name: '--seconds', whole: false }) }),
  };
  return (await house.demo(options, signal)) === 0 ? 0 : 1;
}
