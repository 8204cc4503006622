export interface Node {
  readonly id: string;
  /** Ids of other nodes. */
  readonly needs: readonly string[];
}

export interface Ordered {
  /** Every id once, behind all that it needs; the given order is kept where needs do not speak against it. */
  readonly order: readonly string[];
  /** Nodes that need themselves by way of the others. Every circle that exists leaves at least one here. */
  readonly circles: readonly (readonly string[])[];
}

/** Depth first, without recursion: a chain of 100,000 views must not end in a stack overflow. */
export function orderByNeeds(nodes: readonly Node[]): Ordered {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const order: string[] = [];
  const circles: string[][] = [];
  const done = new Set<string>();
  const path = new Map<string, number>();
  const stack: { readonly node: Node; next: number }[] = [];
  const enter = (node: Node): void => {
    path.set(node.id, stack.length);
    stack.push({ node, next: 0 });
  };
  for (const root of nodes) {
    if (!done.has(root.id)) enter(root);
    for (let top = stack.at(-1); top; top = stack.at(-1)) {
      const need = byId.get(top.node.needs[top.next] ?? '');
      if (top.next === top.node.needs.length) {
        stack.pop();
        path.delete(top.node.id);
        done.add(top.node.id);
        order.push(top.node.id);
        continue;
      }
      top.next += 1;
      if (need === undefined || done.has(need.id)) continue;
      const onPath = path.get(need.id);
      if (onPath === undefined) enter(need);
      else circles.push(stack.slice(onPath).map(({ node }) => node.id));
    }
  }
  return { order, circles };
}

/** `from`, and all that is reached from there. */
export function reach(from: Iterable<string>, next: (id: string) => Iterable<string>): ReadonlySet<string> {
  const reached = new Set(from);
  for (const id of reached) for (const other of next(id)) reached.add(other);
  return reached;
}
