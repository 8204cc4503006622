import type { ControlEvent } from '../../src/change/control.ts';
import { type Command, decide, type Occurrence, type Request } from '../../src/control/decide.ts';
import { type Step } from '../../src/control/plan.ts';
import { evolve, firstStanding, type Standing } from '../../src/control/state.ts';
import { unreachable } from '../../src/error.ts';

/* A story is a text. A line with `>` is what happens; the lines below it, indented, are what is decided about it, and how things stand
   then. What is to be recorded is in the journal at once. A crash forgets all but the journal. */

const sites = ['london', 'dublin', 'cork'];
const loss = { toApply: { entries: 0, bytes: 0 }, notDurableBytes: 0, known: undefined, coveredAtMs: 0 };

export class Story {
  readonly #journal: ControlEvent[] = [];
  #standing: Standing = firstStanding('london');
  #moves = 0;

  /** The same text with the answers as they are. */
  play(text: string): string {
    const lines: string[] = [];
    for (const line of text.split('\n').filter((one) => !one.startsWith('  '))) {
      lines.push(line);
      if (line.startsWith('> ')) lines.push(...this.#happens(line.slice(2)).map((answer) => `  ${answer}`));
    }
    return lines.join('\n');
  }

  #happens(words: string): readonly string[] {
    if (words === 'the coordinator dies, another begins') {
      this.#standing = this.#journal.reduce((standing, event) => evolve(standing, event), firstStanding('london'));
      return this.#decided({ kind: 'began' });
    }
    const [verb = '', ...rest] = words.split(' ');
    switch (verb) {
      case 'begin':
        return this.#decided({ kind: 'began' });
      case 'ask':
        return this.#decided(this.#asked(rest));
      case 'done':
        return this.#decided({ kind: 'done', event: this.#eventOf(rest[0] as Step) });
      case 'fail':
        return this.#decided({ kind: 'failed', step: rest[0] as Step, code: 'SOURCE_UNREACHABLE', message: 'away' });
      default:
        throw new RangeError(`A story does not know: ${words}`);
    }
  }

  #asked([what = '', to = '', , accept, , bound]: readonly string[]): Occurrence {
    this.#moves += 1;
    const id = String(this.#moves);
    const request: Request =
      what === 'cancel'
        ? { id, what }
        : what === 'switchover'
          ? { id, what, to }
          : { id, what: 'failover', to, accept: accept === 'all' ? 'all' : Number(accept) };
    const boundMs = bound === 'unknown' ? undefined : Number(bound);
    return { kind: 'requested', request, sites, ...(what === 'failover' && { loss: { ...loss, boundMs } }) };
  }

  #eventOf(step: Step): ControlEvent {
    const { move, epoch } = this.#standing;
    const told = { id: move?.id ?? '', atMs: 0 };
    switch (step) {
      case 'arm':
        return { kind: 'armed', ...told };
      case 'fence':
        return { kind: 'fenced', ...told, roles: ['app'], proved: ['app'], unfenced: [] };
      case 'seal':
        return { kind: 'sealed', ...told, position: '0/1' };
      case 'prove':
        return { kind: 'proved', ...told, comparison: undefined, sequences: 1 };
      case 'promote':
        return {
          kind: 'promoted',
          ...told,
          what: move?.what ?? 'switchover',
          from: move?.from ?? '',
          leader: move?.to ?? '',
          epoch: epoch + 1,
        };
      case 'open':
        return { kind: 'opened', ...told, roles: ['app'] };
      case 'follow':
        return { kind: 'finished', ...told };
      case 'undo':
        return { kind: 'cancelled', ...told };
      default:
        return unreachable(step);
    }
  }

  #decided(occurrence: Occurrence): readonly string[] {
    const { standing, commands } = decide(this.#standing, occurrence, 0);
    this.#standing = standing;
    return commands.flatMap((command) => [wordsOf(command), ...this.#follow(command)]);
  }

  #follow(command: Command): readonly string[] {
    if (command.kind !== 'record') return [];
    this.#journal.push(command.event);
    const before = this.#standing;
    const answers = this.#decided({ kind: 'journalled', event: command.event });
    const { leader, epoch, stranded } = this.#standing;
    if (before.epoch === epoch) return answers;
    const left = stranded.length > 0 ? `, ${stranded.join(' and ')} left behind` : '';
    return [`${leader} leads in epoch ${epoch}${left}`, ...answers];
  }
}

function wordsOf(command: Command): string {
  if (command.kind === 'lead') return 'lead';
  if (command.kind !== 'record') return `${command.kind} ${command.step}`;
  const { event } = command;
  const why = event.kind === 'refused' || event.kind === 'cancelling' ? `: ${event.code} ${event.message}` : '';
  return `record ${event.kind}${why}`;
}
