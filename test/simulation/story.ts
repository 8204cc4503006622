import type { Acceptance, Request } from '../../src/control/decide.ts';
import { putRequest } from '../../src/control/requests.ts';
import type { Chance } from './chance.ts';
import { strike } from './faults.ts';
import { cuts } from './network.ts';
import { Process } from './process.ts';
import type { World } from './world.ts';

/** How long things go wrong; behind it all is healed. */
export const troubledMs = 10_000;

/** What is asked for and what goes wrong in one world: by its chance, and near to one another, where it is worst. */
export function tell(world: World, chance: Chance): void {
  const { scheduler } = world;
  const at = (ms: number, work: () => void): void => scheduler.after(ms, work);
  const asks = chance.between(0, 4);
  let number = 0;
  const ask = (request: (id: string) => Request): void => {
    number += 1;
    const asked = request(String(number).padStart(4, '0'));
    const operator = new Process(`operator ${number}`, world.machine);
    world.trace(`operator: ${Object.values(asked).join(' ')}`);
    void operator.run(() => putRequest(world.folder, asked));
  };
  for (let count = 0; count < asks; count += 1) {
    const startMs = 800 + chance.between(0, troubledMs - 2000);
    const site = chance.of(world.sites);
    const isFailover = chance.is(0.3);
    at(startMs, () => {
      if (!isFailover) return ask((id) => ({ id, what: 'switchover', to: site.name }));
      disable(world, chance);
      const { leader } = world.checks;
      const to = world.sites.find(({ name }) => name !== leader)?.name ?? '';
      const accept = chance.of<Acceptance>(['all', 1000, 5000, 60_000]);
      at(chance.between(0, 3000), () => ask((id) => ({ id, what: 'failover', to, accept })));
    });
    // Two operators at once.
    if (chance.is(0.25)) at(startMs + chance.between(0, 900), () => ask((id) => ({ id, what: 'cancel' })));
    if (chance.is(0.15))
      at(startMs + chance.between(0, 900), () =>
        ask((id) => ({ id, what: 'switchover', to: chance.of(world.sites).name })),
      );
    // A switchover takes less than a second: so that something goes wrong amid it, it must be wanted.
    for (let more = chance.between(0, 2); more > 0; more -= 1)
      at(startMs + chance.between(0, 1500), () => strike(world, chance));
  }
  for (let more = chance.between(0, 4); more > 0; more -= 1)
    at(chance.between(0, troubledMs), () => strike(world, chance));
  if (chance.is(0.25)) at(chance.between(500, 6000), () => world.startStray());
  // What the secondary shows just before it leads is not on its disk.
  const blinks = chance.is(0.4);
  world.checks.onJournalled = (kind) => {
    if (kind !== 'sealed' || !blinks) return;
    const follower = world.sites.find(({ name }) => name !== world.checks.leader) ?? world.sites[1];
    at(chance.between(20, 250), () => {
      if (scheduler.nowMs > troubledMs) return;
      world.trace(`fault: ${follower.name} crashes, and is back at once`);
      world.crash(follower, chance.between(1, 4));
    });
  };
  // What a fresh coordinator says first is still on its way when the move begins.
  if (chance.is(0.15))
    at(chance.between(1000, 4000), () => {
      const leader = world.sites.find(({ name }) => name === world.checks.leader) ?? world.sites[0];
      const to = world.sites.find((site) => site !== leader)?.name ?? '';
      world.kill(1);
      at(chance.between(2, 20), () => world.cut(leader, ['toMs'], chance.between(100, 900)));
      at(chance.between(2, 60), () => ask((id) => ({ id, what: 'switchover', to })));
    });
}

/** The leader is gone for longer than anybody waits, or only we think so. */
function disable(world: World, chance: Chance): void {
  const leader = world.sites.find(({ name }) => name === world.checks.leader);
  if (!leader) return;
  const forMs = chance.between(4000, 15_000);
  if (chance.is(0.5)) world.crash(leader, forMs);
  else world.cut(leader, chance.of(cuts), forMs);
  world.trace(`fault: ${leader.name} is out of reach for ${forMs} ms`);
}
