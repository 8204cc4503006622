interface Due {
  readonly atMs: number;
  /** Of two that are due at once, the one that was asked for first. */
  readonly order: number;
  readonly work: () => void;
}

const isSooner = (a: Due, b: Due): boolean => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);

/** Time of a simulated world: nothing happens but what is due here, one after the other. */
export class Scheduler {
  nowMs = 0;
  steps = 0;
  readonly #heap: Due[] = [];
  #order = 0;

  after(ms: number, work: () => void): void {
    const due = { atMs: this.nowMs + Math.max(0, ms), order: this.#order, work };
    this.#order += 1;
    const heap = this.#heap;
    let at = heap.push(due) - 1;
    while (at > 0) {
      const above = (at - 1) >> 1;
      const parent = heap[above];
      if (!parent || !isSooner(due, parent)) break;
      heap[at] = parent;
      at = above;
    }
    heap[at] = due;
  }

  /** Until `isOver`, or nothing is due any more. */
  async run(isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      const due = this.#next();
      if (!due) return;
      this.nowMs = due.atMs;
      this.steps += 1;
      due.work();
      // All that follows from it without waiting has happened when this resolves.
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
  }

  #next(): Due | undefined {
    const heap = this.#heap;
    const [top] = heap;
    const last = heap.pop();
    if (!top || !last || heap.length === 0) return top;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      const [left, right] = [heap[below], heap[below + 1]];
      if (!left) break;
      if (right && isSooner(right, left)) below += 1;
      const child = heap[below];
      if (!child || !isSooner(child, last)) break;
      heap[at] = child;
      at = below;
    }
    heap[at] = last;
    return top;
  }
}
