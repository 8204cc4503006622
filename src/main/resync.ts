import { randomUUID } from 'node:crypto';
import { apply } from '../apply/apply.ts';
import { isSame, type Position } from '../change/position.ts';
import type { House, ResyncHow } from '../cli/house.ts';
import { type Configuration, type Site, secondariesOf } from '../config/configuration.ts';
import { ChangeoverError } from '../error.ts';
import type { Target } from '../target/target.ts';
import { subscribe } from '../telemetry.ts';
import { type HeldSite, type Resynced, resync } from '../verify/resync.ts';
import { openBroker, openReader, openSourceInspector, openTarget, openTargetInspector } from './adapters.ts';

/** As `House.resync`. Whoever is at work on the lane elsewhere is in the way: the log has one writer, and so has each secondary. */
export async function resyncLane(
  configuration: Configuration,
  { dryRun, onTable }: ResyncHow,
  signal: AbortSignal,
): ReturnType<House['resync']> {
  await using opened = new AsyncDisposableStack();
  const broker = dryRun ? undefined : opened.use(await openBroker(configuration, signal));
  const log = opened.use(await openReader(configuration, signal));
  const source = opened.use(await openSourceInspector(configuration, configuration.primary));
  const sites: Held[] = [];
  for (const site of secondariesOf(configuration)) {
    const held = opened.use(new Held(configuration, site, await openTargetInspector(configuration, site.name)));
    await held.take(signal);
    sites.push(held);
  }
  const append = broker && ((...given: Parameters<typeof broker.append>) => broker.append(...given));
  const done: Resynced = await resync({ primary: configuration.primary, source, log, sites, append, onTable }, signal);
  return done;
}

class Held implements HeldSite, AsyncDisposable {
  readonly inspector: HeldSite['inspector'];
  readonly #configuration: Configuration;
  readonly #site: Site;
  #target: Target | undefined;

  constructor(configuration: Configuration, site: Site, inspector: HeldSite['inspector']) {
    this.#configuration = configuration;
    this.#site = site;
    this.inspector = inspector;
  }

  get site(): string {
    return this.#site.name;
  }

  async take(signal: AbortSignal): Promise<Target> {
    this.#target ??= await openTarget(this.#configuration, this.#site, signal);
    return this.#target;
  }

  async follow(end: Position, signal: AbortSignal): Promise<void> {
    const target = await this.take(signal);
    if (isSame((await target.checkpoint(signal))?.position, end)) return;
    const there = new AbortController();
    using _applied = subscribe('changeover:applied', ({ position }) => {
      if (isSame(position, end)) there.abort();
    });
    await using broker = await openReader(this.#configuration, signal);
    const both = AbortSignal.any([signal, there.signal]);
    try {
      await apply({ broker, target, consumer: this.site, progressed: () => undefined }, both);
    } catch (error) {
      if (!there.signal.aborted) throw error;
    }
    signal.throwIfAborted();
    await target.flush();
  }

  async view(signal: AbortSignal): ReturnType<HeldSite['view']> {
    const target = await this.take(signal);
    const id = randomUUID();
    await target.show(id, signal);
    const view = await this.inspector.view(id, signal);
    if (!view) throw new ChangeoverError('VERIFY_NO_STAND', `${this.site} shows nothing of itself`);
    return view;
  }

  async release(): Promise<void> {
    await this.#target?.[Symbol.asyncDispose]();
    this.#target = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
    await this.inspector[Symbol.asyncDispose]();
  }
}
