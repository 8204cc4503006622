import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Gulp, Pace } from '../../../src/source/postgres/pace.ts';

/* A sender and a wire in between, in milliseconds and bytes: what is sent waits until it is taken, 64 KiB at the most at once. */

const gulpBytes = 64 * 1024;
const messageBytes = 75;

interface Sender {
  /** Bytes per millisecond. */
  readonly rate: number;
  /** So much may wait; then the sender waits. */
  readonly room: number;
  /** How long before it is sent a commit was made. */
  readonly behindMs: number;
  readonly bytesOfMessage?: number;
}

/** Takes gulps for a while at the pace that is told; gives the bytes per millisecond that came, and the pauses. */
function taken({ rate, room, behindMs, bytesOfMessage = messageBytes }: Sender): { rate: number; pauses: number[] } {
  const pace = new Pace();
  const pauses: number[] = [];
  let [nowMs, sent, came] = [0, 0, 0];
  /** What was sent when, oldest first. */
  const waiting: { bytes: number; sentMs: number }[] = [];
  const pass = (ms: number): void => {
    const step = 0.25;
    for (let left = ms; left > 0; left -= step) {
      nowMs += step;
      const bytes = Math.min(rate * step, room - (sent - came));
      if (bytes <= 0) continue;
      waiting.push({ bytes, sentMs: nowMs });
      sent += bytes;
    }
  };
  pass(1);
  for (let gulps = 0; gulps < 1500; gulps += 1) {
    let bytes = 0;
    let sentMs = nowMs;
    while (bytes < gulpBytes && waiting[0]) {
      const [oldest] = waiting;
      const some = Math.min(oldest.bytes, gulpBytes - bytes);
      bytes += some;
      oldest.bytes -= some;
      ({ sentMs } = oldest);
      if (oldest.bytes <= 0) waiting.shift();
    }
    came += bytes;
    const gulp: Gulp = { messages: bytes / bytesOfMessage, bytes, sentMs, committedMs: sentMs - behindMs, nowMs };
    const pauseMs = pace.after(gulp);
    pauses.push(pauseMs);
    // To take it takes a moment, too.
    pass(Math.max(pauseMs, 0.25));
  }
  return { rate: came / nowMs, pauses };
}

test('a backlog is read as fast as it is sent, with more waiting than our window takes', () => {
  const sender = { rate: 20_000, room: 4_000_000, behindMs: 60_000 };
  const { rate, pauses } = taken(sender);
  assert.ok(rate > 0.95 * sender.rate, `${rate} of ${sender.rate}`);
  assert.equal(pauses[0], 8);
});

test('who keeps up with the commits is not held back, nor who reads large messages', () => {
  const live = taken({ rate: 20_000, room: 4_000_000, behindMs: 5 });
  assert.ok(live.pauses.every((pause) => pause === 1));
  const large = taken({ rate: 20_000, room: 4_000_000, behindMs: 60_000, bytesOfMessage: 10_000 });
  assert.ok(large.pauses.every((pause) => pause === 0));
});

test('a clock that is set back at the server stops nothing', () => {
  const pace = new Pace();
  const gulp = { messages: 800, bytes: 60_000, committedMs: 0 };
  let nowMs = 0;
  const after = (shiftMs: number): number => {
    nowMs += 3;
    return pace.after({ ...gulp, sentMs: nowMs + 5000 + shiftMs, committedMs: nowMs + shiftMs, nowMs });
  };
  for (let gulps = 0; gulps < 100; gulps += 1) after(0);
  let pause = 0;
  for (let gulps = 0; gulps < 100; gulps += 1) pause = after(-3_600_000);
  assert.ok(pause > 1, 'as before');
});

test('a torrent is over when little or nothing comes', () => {
  const pace = new Pace();
  const gulp = { messages: 800, bytes: 60_000, sentMs: 9000, committedMs: 0, nowMs: 1 };
  pace.after(gulp);
  assert.equal(pace.isTorrent, true);
  pace.rest();
  assert.equal(pace.isTorrent, false);
  pace.after(gulp);
  pace.after({ ...gulp, messages: 10, bytes: 750 });
  assert.equal(pace.isTorrent, false);
  pace.after({ ...gulp, committedMs: 8900 });
  assert.equal(pace.isTorrent, false);
});
