import type { Chance } from './chance.ts';
import { running } from './process.ts';

interface File {
  text: string;
  isFlushed: boolean;
}

/** Names and files of one machine. A name is durable some time later than it was given, in the order in which names were given; a
 *  file, once it was flushed. */
export class Disk {
  readonly #chance: Chance;
  #names = new Map<string, File>();
  #durable = new Map<string, File>();
  #pending: ((names: Map<string, File>) => void)[] = [];

  constructor(chance: Chance) {
    this.#chance = chance;
  }

  read(path: string): string {
    const file = this.#names.get(path);
    if (!file) throw missing(path);
    return file.text;
  }

  list(folder: string): string[] {
    const start = `${folder}/`;
    return [...this.#names.keys()].filter((path) => path.startsWith(start)).map((path) => path.slice(start.length));
  }

  write(path: string, text: string, isFlushed: boolean): void {
    const file = { text, isFlushed };
    this.#change((names) => names.set(path, file));
  }

  rename(from: string, to: string): void {
    this.#change((names) => {
      const file = names.get(from);
      if (!file) return;
      names.delete(from);
      names.set(to, file);
    });
  }

  remove(path: string): void {
    this.#change((names) => names.delete(path));
  }

  /** Something else whose name goes: told whether it was durable when the power went. */
  gone(undo: () => void): void {
    this.#pending.push((names) => {
      if (names !== this.#durable) undo();
    });
  }

  /** What the power leaves. */
  losePower(): void {
    const kept = this.#chance.between(0, this.#pending.length);
    for (const change of this.#pending.slice(0, kept)) change(this.#durable);
    const lost = new Map<string, File>();
    // From the last back: each is told that it never was.
    for (const change of this.#pending.slice(kept).toReversed()) change(lost);
    for (const file of this.#durable.values()) if (!file.isFlushed && this.#chance.is(0.5)) file.text = '';
    this.#names = new Map(this.#durable);
    this.#pending = [];
  }

  #change(change: (names: Map<string, File>) => void): void {
    change(this.#names);
    this.#pending.push(change);
    // The file system writes its own log now and then.
    if (this.#pending.length < 40) return;
    for (const one of this.#pending) one(this.#durable);
    this.#pending = [];
  }
}

const missing = (path: string): Error => Object.assign(new Error(`No such file: ${path}`), { code: 'ENOENT' });

/** An effect on the disk of whoever runs now: he can die before it, and behind it. Reading has no effect, and is not waited for. */
export function onDisk(effect: (disk: Disk) => void): Promise<void> | undefined {
  const process = running.getStore();
  if (!process) return undefined;
  const { disk, scheduler, chance } = process.machine;
  return process.wait((resolve, reject) => {
    scheduler.after(chance.next(), () => {
      if (!process.isAlive) return;
      try {
        effect(disk);
        resolve();
      } catch (error) {
        reject(error);
      }
    });
  });
}
