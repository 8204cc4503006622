import type { Chance } from './chance.ts';
import { cuts } from './network.ts';
import type { World } from './world.ts';

/** What goes wrong, and when. */
interface Fault {
  readonly share: number;
  readonly strike: (world: World, chance: Chance) => string;
}

const faults: readonly Fault[] = [
  {
    share: 5,
    strike: (world, chance) => {
      const awayMs = chance.between(1, chance.is(0.3) ? 4000 : 300);
      world.kill(awayMs);
      return `the agents are killed, and away for ${awayMs} ms`;
    },
  },
  {
    share: 2,
    strike: (world, chance) => {
      const awayMs = chance.between(100, 4000);
      world.losePower(awayMs);
      return `the machine of the agents loses power, and is away for ${awayMs} ms`;
    },
  },
  {
    share: 2,
    strike: (world, chance) => {
      const forMs = chance.between(50, chance.is(0.3) ? 12_000 : 800);
      world.pause(forMs);
      return `the agents are stopped for ${forMs} ms`;
    },
  },
  {
    share: 3,
    strike: (world, chance) => {
      const site = chance.of(world.sites);
      const awayMs = chance.between(20, chance.is(0.3) ? 6000 : 400);
      world.crash(site, awayMs);
      return `${site.name} crashes, and is away for ${awayMs} ms`;
    },
  },
  {
    share: 3,
    strike: (world, chance) => {
      const site = chance.of(world.sites);
      const forMs = chance.between(20, chance.is(0.3) ? 9000 : 600);
      const ways = chance.of(cuts);
      world.cut(site, ways, forMs);
      return `nothing goes ${ways.map((way) => (way === 'toMs' ? 'to' : 'from')).join(' or ')} ${site.name} for ${forMs} ms`;
    },
  },
  {
    share: 1,
    strike: (world, chance) => {
      const byMs = chance.of([-3_600_000, -10_000, -700, 700, 10_000, 3_600_000]);
      world.clock.jump(byMs);
      return `the clock of the agents jumps by ${byMs} ms`;
    },
  },
  {
    share: 1,
    strike: (world, chance) => {
      const site = chance.of(world.sites);
      world.endReader(site);
      return `${site.name} ends the session of its reader`;
    },
  },
];

export function strike(world: World, chance: Chance): void {
  const shares = faults.flatMap((fault) => Array.from({ length: fault.share }, () => fault));
  const [first, ...others] = shares;
  if (!first) return;
  world.trace(`fault: ${chance.of([first, ...others]).strike(world, chance)}`);
}
