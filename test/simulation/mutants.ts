/** A rule taken out of the loops: what the checkers must notice. */
export interface Mutant {
  readonly name: string;
  readonly file: string;
  /** Stands in the file once, and is replaced. */
  readonly rule: string;
  readonly without: string;
  /** Of the invariants, those by which it may be noticed. */
  readonly breaks: readonly number[];
}

export const mutants: readonly Mutant[] = [
  {
    name: 'acknowledge-first',
    file: 'src/capture/capture.ts',
    rule: '    await append(batch);\n',
    without: '    if (batch.end) await source.acknowledge(batch.end);\n    await append(batch);\n',
    breaks: [1],
  },
  {
    name: 'skip-the-epoch-check',
    file: 'src/apply/apply.ts',
    rule: '      this.#proveFollows(batch);\n',
    without: '',
    breaks: [7],
  },
  {
    name: 'infer-the-end-from-silence',
    file: 'src/control/deeds.ts',
    rule: "move.what === 'switchover' ? await this.#mark(move, signal) : undefined",
    without: 'undefined',
    breaks: [8],
  },
  {
    name: 'open-before-the-point-of-no-return',
    file: 'src/control/deeds.ts',
    rule: '    const end = await source.mark(signal);\n',
    without:
      "    const end = await source.mark(signal);\n    await (await reach.helm(move.to, 'primary')).open(signal);\n",
    breaks: [9],
  },
  {
    name: 'forget-sequences',
    file: 'src/control/deeds.ts',
    rule: 'await helm.raise({ values, beyond: 0 }, signal)',
    without: '0',
    breaks: [11],
  },
  {
    name: 'forget-sequences-of-the-dead',
    file: 'src/control/deeds.ts',
    rule: 'await helm.raise({ values, beyond: drawnMax }, signal)',
    without: '0',
    breaks: [11],
  },
  {
    name: 'no-fence',
    file: 'src/control/deeds.ts',
    rule: 'await helm.shut(signal);\n    return { event: { kind: ',
    without: '{ roles: [], proved: [], unfenced: [] };\n    return { event: { kind: ',
    breaks: [0, 8, 11],
  },
  {
    name: 'cancel-behind-it',
    file: 'src/control/plan.ts',
    rule: "stage === 'promoted' || stage === 'opened'",
    without: 'false',
    breaks: [0, 8, 9],
  },
  {
    name: 'writers-stay-shut-out',
    file: 'src/control/decide.ts',
    rule: '  if (isPastNoReturn(move.stage)) return [{ kind:',
    without: "  return [{ kind: 'lead' }];\n  if (isPastNoReturn(move.stage)) return [{ kind:",
    breaks: [0],
  },
  {
    name: 'the-last-look-covers',
    file: 'src/control/loss.ts',
    rule: 'sightings.waiting.findLast(isIn)',
    without: 'sightings.waiting.at(-1)',
    breaks: [10],
  },
  {
    name: 'believe-the-clock',
    file: 'src/control/loss.ts',
    rule: 'Math.max(0, now.atMs - then.atMs, now.machine.upMs - then.machine.upMs)',
    without: 'Math.max(0, now.atMs - then.atMs)',
    breaks: [10],
  },
  {
    name: 'a-look-outlives-its-time',
    file: 'src/control/coordinate.ts',
    rule: '    await this.watch.rest();\n',
    without: '',
    breaks: [8, 9],
  },
  {
    name: 'believe-the-cache',
    file: 'src/control/deeds.ts',
    rule: '    await this.#proveKept(move, stood, signal);\n',
    without: '',
    breaks: [8],
  },
  {
    name: 'apply-twice',
    file: 'src/apply/apply.ts',
    rule: 'const from = checkpoint ? nextOffset(checkpoint.offset) : offset(0);\n  // Three',
    without: 'const from = checkpoint ? checkpoint.offset : offset(0);\n  // Three',
    breaks: [0, 2, 4],
  },
];
