import type { ControlEvent } from '../change/control.ts';
import { unreachable } from '../error.ts';
import { countWords } from './words.ts';

/** An entry of the journal in a sentence. */
export function sentenceOf(event: ControlEvent): string {
  switch (event.kind) {
    case 'asked':
      return `${event.what} from ${event.from} to ${event.to}`;
    case 'refused':
      return `refused: ${event.message}`;
    case 'armed':
      return 'armed: the stream back is ready, and nobody else writes at the new primary';
    case 'fenced':
      return `fenced: ${countWords(event.roles.length, 'role', 'roles')} shut out (${fenceWords(event)})`;
    case 'sealed':
      return `sealed: the log ends at ${event.position}`;
    case 'proved':
      return `proved: ${comparisonWords(event)}${countWords(event.sequences, 'sequence', 'sequences')} moved beyond`;
    case 'promoted':
      return `promoted: ${event.leader} leads in epoch ${event.epoch}; from here only forward`;
    case 'opened':
      return `opened: ${countWords(event.roles.length, 'role', 'roles')} let in at the new primary`;
    case 'finished':
      return 'finished';
    case 'cancelling':
      return `cancelling: ${event.code} ${event.message}`;
    case 'cancelled':
      return 'cancelled: the old primary leads as before';
    case 'sampled':
      return `${countWords(Object.keys(event.sequences).length, 'sequence', 'sequences')} noted`;
    default:
      return unreachable(event);
  }
}

function fenceWords({ roles, proved, unfenced }: Extract<ControlEvent, { kind: 'fenced' }>): string {
  const shut = proved.length > 0 ? `a login of ${proved.join(', ')} was refused` : 'by the catalog; no login was tried';
  const open = unfenced.length > 0 ? `; no fence reaches ${unfenced.join(', ')}` : '';
  return roles.length === 0 ? `nobody could write${open}` : `${shut}${open}`;
}

function comparisonWords({ comparison }: Extract<ControlEvent, { kind: 'proved' }>): string {
  if (!comparison) return 'all of the log is applied, ';
  const { equal, rows, notCompared } = comparison;
  const left =
    notCompared.length > 0 ? `, ${countWords(notCompared.length, 'larger one', 'larger ones')} not compared` : '';
  return `${countWords(equal, 'table', 'tables')} equal (${countWords(rows, 'row', 'rows')})${left}, `;
}
