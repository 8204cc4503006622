import { writeSync } from 'node:fs';
import { line, type Scene, view } from './view.ts';

const enter = '\u001B[?1049h\u001B[?25l';
const leave = '\u001B[?25h\u001B[?1049l';
const home = '\u001B[H';
const eraseLine = '\u001B[K';
const eraseBelow = '\u001B[J';

export interface Screen extends Disposable {
  draw(scene: Scene): void;
  readonly everyMs: number;
}

/** The view on the terminal's other screen, redrawn in place; the person's own screen is back after dispose, or after a crash. */
export function openScreen(output: typeof process.stdout, scene: () => Scene): Screen {
  const draw = (now: Scene): void => {
    // https://no-color.org, FORCE_COLOR and the kind of terminal: what Node knows of them.
    const color = output.hasColors();
    const lines = view(now, { columns: output.columns, rows: output.rows, color });
    output.write(home + lines.map((one) => one + eraseLine).join('\r\n') + eraseBelow);
  };
  const onResize = (): void => draw(scene());
  const restore = (): void => {
    writeSync(output.fd, leave);
  };
  output.write(enter);
  output.on('resize', onResize);
  process.once('exit', restore);
  return {
    everyMs: 200,
    draw,
    [Symbol.dispose]: () => {
      output.off('resize', onResize);
      process.off('exit', restore);
      output.write(leave);
    },
  };
}

const lineMs = 1000;

/** Where there is no terminal to draw on: one line each second, and one whenever a part or the stage changes. */
export function openLines(write: (text: string) => void, now: () => number): Screen {
  let said = '';
  let dueMs = 0;
  return {
    everyMs: 50,
    draw(scene) {
      const kinds = Object.values(scene.parts).map(({ kind }) => kind);
      const state = [scene.stage, scene.doing, ...kinds].join();
      if (state === said && now() < dueMs) return;
      said = state;
      dueMs = now() + lineMs;
      write(`${line(scene)}\n`);
    },
    [Symbol.dispose]: () => undefined,
  };
}
