import { stripVTControlCharacters, styleText } from 'node:util';
import { unreachable } from '../error.ts';
import type { CarrierName } from './carriers.ts';
import type { LifeKind, PartName } from './part.ts';
import type { Proof } from './prove.ts';

export interface ShownPart {
  readonly kind: LifeKind;
  readonly forMs: number;
  readonly pid: number | undefined;
}

/** Everything that the view shows, at one moment. */
export interface Scene {
  readonly stage: 'starting' | 'copying' | 'flowing' | 'proving' | 'leaving';
  /** What happens, while nothing flows yet. */
  readonly doing: string;
  readonly elapsedMs: number;
  readonly carrier: CarrierName;
  readonly parts: Readonly<Record<Exclude<PartName, 'broker'>, ShownPart>> & { readonly broker?: ShownPart };
  /** Per second. */
  readonly rates: {
    readonly transactions: number;
    readonly rows: number;
    readonly bytes: number;
    readonly applied: number;
  };
  readonly lagMs: number | undefined;
  readonly behindBytes: number | undefined;
  /** The largest lag of each second, oldest first. */
  readonly historyMs: readonly number[];
  readonly committed: number;
  readonly applied: number;
  readonly atRisk: { readonly bytes: number; readonly transactions: number } | undefined;
  readonly readings: number;
  readonly torn: number;
  /** What torn readings showed, in words. */
  readonly tornWhat: readonly string[];
  readonly recoveries: readonly {
    readonly part: PartName;
    readonly atMs: number;
    readonly recoveredMs: number | undefined;
    readonly proof: Proof | undefined;
  }[];
  readonly hasKeys: boolean;
}

export interface Canvas {
  readonly columns: number;
  readonly rows: number;
  readonly color: boolean;
}

type Style = Parameters<typeof styleText>[0];
type Paint = (style: Style, text: string) => string;

const widthMax = 120;
/** Narrower, the boxes cannot hold their words. */
const pictureWidthMin = 76;
const proofsShownMax = 6;
/** A lag past this is not "in step" any more. */
const inStepMsMax = 1000;

/** The picture as lines, none wider than the canvas, none too many for it. */
export function view(scene: Scene, canvas: Canvas): readonly string[] {
  const width = Math.min(canvas.columns, widthMax) - 2;
  const paint: Paint = (style, text) => (canvas.color ? styleText(style, text, { validateStream: false }) : text);
  const above = [
    ...header(scene, width, paint),
    '',
    ...(width < pictureWidthMin ? [] : [...way(scene, width, paint), '']),
    ...lag(scene, width, paint),
    '',
    ...parts(scene, width, paint),
    '',
    checked(scene, paint),
  ];
  const below = scene.hasKeys ? ['', keys(scene, paint)] : [];
  // The keys and the newest proof stay on a small screen.
  const room = Math.max(1, Math.min(proofsShownMax, canvas.rows - above.length - below.length));
  const lines = [
    ...above.slice(0, Math.max(2, canvas.rows - below.length - room)),
    ...proofs(scene, room, paint),
    ...below,
  ];
  return lines.slice(0, canvas.rows).map((line) => ` ${clip(line, width)}`.trimEnd());
}

/** The picture in one line, for a pipe or a file. */
export function line(scene: Scene): string {
  const lives = Object.entries(scene.parts)
    .filter(([, { kind }]) => kind !== 'waiting' && kind !== 'running')
    .map(([name, { kind, forMs }]) => `${name} ${kind} ${seconds(forMs)}`);
  const said = [
    `${clock(scene.elapsedMs)} ${verdict(scene).text}`,
    `${count(scene.rates.transactions)} tx/s`,
    `lag ${duration(scene.lagMs)}`,
    `behind ${bytes(scene.behindBytes)}`,
    `at risk ${risk(scene)}`,
    `${count(scene.readings)} readings, ${scene.torn} torn`,
    ...lives,
  ];
  return said.join(' · ');
}

/** What is true now, in words: the worst first. */
function verdict(scene: Scene): { readonly style: Style; readonly sign: string; readonly text: string } {
  const unequal = scene.recoveries.find(({ proof }) => proof && !proof.equal);
  if (scene.torn > 0)
    return { style: ['bold', 'red'], sign: '✖', text: `TORN: ${scene.torn} readings, ${scene.tornWhat[0] ?? ''}` };
  if (unequal)
    return {
      style: ['bold', 'red'],
      sign: '✖',
      text: `NOT EQUAL after ${unequal.part}: ${unequal.proof?.differing.join(', ')}`,
    };
  switch (scene.stage) {
    case 'starting':
    case 'copying':
      return { style: 'cyan', sign: '…', text: scene.doing };
    case 'proving':
      return { style: 'cyan', sign: '⚖', text: 'proving: the workload rests, every row of both sides is compared' };
    case 'leaving':
      return { style: 'cyan', sign: '…', text: 'leaving: servers and folders are removed' };
    case 'flowing':
      return flowingVerdict(scene);
    default:
      return unreachable(scene.stage);
  }
}

function flowingVerdict({ parts: all, lagMs }: Scene): {
  readonly style: Style;
  readonly sign: string;
  readonly text: string;
} {
  const names = Object.entries(all);
  const are = (wanted: LifeKind): string =>
    names
      .filter(([, { kind }]) => kind === wanted)
      .map(([name]) => name)
      .join(' and ');
  const [killed, starting, recovering] = [are('killed'), are('starting'), are('recovering')];
  if (killed) return { style: 'red', sign: '✖', text: `${killed} killed: comes back in a moment` };
  if (starting) return { style: 'yellow', sign: '↻', text: `${starting} starting again` };
  if (recovering) return { style: 'yellow', sign: '↻', text: `${recovering} recovering: ${duration(lagMs)} behind` };
  if (lagMs !== undefined && lagMs > inStepMsMax)
    return { style: 'yellow', sign: '↻', text: `catching up: ${duration(lagMs)} behind` };
  return { style: 'green', sign: '●', text: `in step: the secondary is ${duration(lagMs)} behind` };
}

function header(scene: Scene, width: number, paint: Paint): readonly string[] {
  const { style, sign, text } = verdict(scene);
  return [spread(paint('bold', 'CHANGEOVER  demo'), clock(scene.elapsedMs), width), paint(style, `${sign} ${text}`)];
}

/** What moves along an arrow: nothing when nothing is written. */
function flow({ stage, elapsedMs }: Scene, length: number): string {
  const at = Math.floor(elapsedMs / 50) % length;
  return stage === 'flowing' ? `${'━'.repeat(at)}●${'━'.repeat(length - 1 - at)}` : '━'.repeat(length);
}

/** primary -> log -> secondary, what flows between them, and where it is cut. */
function way(scene: Scene, width: number, paint: Paint): readonly string[] {
  const box = Math.floor((width - 4) / 4.6);
  const gap = Math.floor((width - 3 * box) / 2);
  const { rates, parts: all } = scene;
  // The embedded log is files: it is there whoever runs.
  const isUp = (name: PartName): boolean => ['running', 'recovering'].includes(all[name]?.kind ?? 'running');
  const edge = (top: boolean): string => {
    const one = top ? `╭${'─'.repeat(box - 2)}╮` : `╰${'─'.repeat(box - 2)}╯`;
    return `${one}${' '.repeat(gap)}${one}${' '.repeat(gap)}${one}`;
  };
  const middle = (words: readonly [string, string, string], between: readonly [string, string]): string => {
    const [a, b, c] = words.map((word) => `│${center(word, box - 2)}│`);
    return `${a}${between[0]}${b}${between[1]}${c}`;
  };
  const stroke = (agent: PartName, end: PartName): string => {
    const flows = isUp(agent) && isUp(end) && isUp('broker');
    const shaft = flows ? flow(scene, gap - 3) : center('✖', gap - 3, '╌');
    return paint(flows ? 'green' : 'red', ` ${shaft}${flows ? '▶' : '▷'} `);
  };
  const server = (name: PartName, word: string = name): string =>
    paint(isUp(name) ? 'bold' : ['bold', 'red'], word.toUpperCase());
  const over = (word: string): string => center(word, gap);
  return [
    edge(true),
    middle([server('primary'), server('broker', scene.carrier), server('secondary')], [over('capture'), over('apply')]),
    middle(['london', 'on disk', 'dublin'], [stroke('capture', 'primary'), stroke('apply', 'secondary')]),
    edge(false),
    spread3(
      [
        `${count(rates.transactions)} tx/s  ${count(rates.rows)} rows/s`,
        `${bytes(rates.bytes)}/s`,
        `${count(rates.applied)} commits/s`,
      ],
      [box, gap],
    ),
    spread3([`${count(scene.committed)} committed`, '', `${count(scene.applied)} applied`], [box, gap]),
  ];
}

/** `  max 340 ms in 60 s` */
const scaleWidth = 20;

function lag(scene: Scene, width: number, paint: Paint): readonly string[] {
  const history = scene.historyMs.slice(-60);
  const label = `lag      ${duration(scene.lagMs).padEnd(9)}`;
  const shown = history.slice(-Math.max(width - label.length - scaleWidth, 0));
  const scale = shown.length > 0 ? `max ${duration(Math.max(...shown))} in ${shown.length} s` : '';
  return [
    `${label}${paint('cyan', sparkline(shown))}  ${paint('dim', scale)}`,
    `behind   ${bytes(scene.behindBytes)}`,
    `at risk  ${risk(scene)}${paint('dim', '  lost if the primary vanished now')}`,
  ];
}

const signs: Record<LifeKind, { readonly sign: string; readonly style: Style }> = {
  waiting: { sign: '○', style: 'dim' },
  running: { sign: '●', style: 'green' },
  killed: { sign: '✖', style: 'red' },
  starting: { sign: '↻', style: 'yellow' },
  recovering: { sign: '↻', style: 'yellow' },
};

function parts(scene: Scene, width: number, paint: Paint): readonly string[] {
  const cells = Object.entries(scene.parts).map(([name, { kind, forMs, pid }]) => {
    const { sign, style } = signs[kind];
    const what = `${sign} ${kind} ${kind === 'running' ? clock(forMs) : kind === 'waiting' ? '' : seconds(forMs)}`;
    return `${name.padEnd(10)} ${paint(style, pad(what, 22))}${paint('dim', pid === undefined ? '' : `pid ${pid}`)}`;
  });
  if (width < 104) return cells;
  const [a = '', b = '', c = '', d = '', e = ''] = cells;
  return [`${pad(a, 58)}${b}`, `${pad(c, 58)}${d}`, ...(e ? [e] : [])];
}

function checked(scene: Scene, paint: Paint): string {
  const torn = scene.torn === 0 ? paint('green', '0 torn') : paint(['bold', 'red'], `${scene.torn} torn`);
  return `checked  ${count(scene.readings)} readings of the secondary, ${torn}`;
}

/** Newest first. */
function proofs(scene: Scene, room: number, paint: Paint): readonly string[] {
  return scene.recoveries
    .slice(-room)
    .toReversed()
    .map(({ part, atMs, recoveredMs, proof }) => {
      const back = recoveredMs === undefined ? 'not back yet' : `back in step after ${seconds(recoveredMs)}`;
      const style = proof === undefined ? 'yellow' : proof.equal ? 'green' : 'red';
      return `${pad(clock(atMs), 8)} ${pad(part, 9)} ${back}${proof ? `; ${paint(style, proofText(proof))}` : ''}`;
    });
}

export function proofText({ equal, tables, rows, differing }: Proof): string {
  if (equal) return `equal: ${tables} tables, ${count(rows)} rows`;
  return `NOT EQUAL: ${differing.length} of ${tables} tables: ${differing.slice(0, 3).join(', ')}`;
}

function keys({ parts: all }: Scene, paint: Paint): string {
  const key = (letter: string): string => paint('bold', `[${letter}]`);
  const broker = all.broker ? `${key('b')} broker  ` : '';
  return `kill:  ${key('p')} primary  ${key('c')} capture  ${broker}${key('a')} apply  ${key('s')} secondary     ${key('q')} quit`;
}

const risk = ({ atRisk }: Scene): string =>
  atRisk === undefined ? 'unknown' : `at most ${count(atRisk.transactions)} transactions, ${bytes(atRisk.bytes)}`;

const blocks = '▁▂▃▄▅▆▇█';

/** One bar per number, on a logarithmic scale from 1 ms to a minute: one outage must not flatten all the rest. */
export function sparkline(valuesMs: readonly number[]): string {
  const top = Math.log(60_000);
  return valuesMs
    .map((ms) => {
      const part = Math.log(Math.max(ms, 1)) / top;
      return blocks[Math.min(blocks.length - 1, Math.floor(part * blocks.length))] ?? '';
    })
    .join('');
}

/** Digits in groups of three. */
export const count = (value: number): string =>
  Math.round(value)
    .toString()
    .replaceAll(/\B(?=(\d{3})+$)/g, ',');

export function bytes(value: number | undefined): string {
  if (value === undefined) return 'unknown';
  const unit = ['B', 'kB', 'MB', 'GB', 'TB'];
  const power = value < 1 ? 0 : Math.min(unit.length - 1, Math.floor(Math.log10(value) / 3));
  const scaled = value / 1000 ** power;
  return `${power === 0 || scaled >= 100 ? Math.round(scaled) : scaled.toFixed(1)} ${unit[power]}`;
}

/** `<1 ms`, `340 ms`, `2.4 s`, `3 min`. */
export function duration(ms: number | undefined): string {
  if (ms === undefined) return 'unknown';
  if (ms < 1) return '<1 ms';
  if (ms < 1000) return `${Math.round(ms)} ms`;
  return ms < 120_000 ? seconds(ms) : `${Math.round(ms / 60_000)} min`;
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;

function clock(ms: number): string {
  const whole = Math.max(0, Math.floor(ms / 1000));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const tail = `${String(minutes).padStart(2, '0')}:${String(rest).padStart(2, '0')}`;
  return hours > 0 ? `${hours}:${tail}` : tail;
}

const widthOf = (text: string): number => stripVTControlCharacters(text).length;
const pad = (text: string, width: number): string => text + ' '.repeat(Math.max(0, width - widthOf(text)));

function center(text: string, width: number, fill = ' '): string {
  const left = Math.max(0, Math.floor((width - widthOf(text)) / 2));
  return `${fill.repeat(left)}${text}${fill.repeat(Math.max(0, width - widthOf(text) - left))}`;
}

const spread = (left: string, right: string, width: number): string =>
  `${left}${' '.repeat(Math.max(1, width - widthOf(left) - widthOf(right)))}${right}`;

/** Three texts, each in the middle of its box, with what does not fit reaching into the gaps. */
function spread3(texts: readonly [string, string, string], [box, gap]: readonly [number, number]): string {
  let row = '';
  for (const [index, text] of texts.entries()) {
    const middle = index * (box + gap) + box / 2;
    row = pad(row, Math.max(index === 0 ? 0 : widthOf(row) + 1, Math.round(middle - widthOf(text) / 2))) + text;
  }
  return row;
}

/** Cuts to `width` characters; a line that is cut loses its colours. Every sign used here is one column and one UTF-16 unit. */
const clip = (text: string, width: number): string =>
  widthOf(text) <= width ? text : stripVTControlCharacters(text).slice(0, Math.max(0, width));
