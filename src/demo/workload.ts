import { quoteLiteral } from '../engine/postgres/identifier.ts';
import { seed } from './schema.ts';

/** A whole number in [0, limit). */
export type Draw = (limit: number) => number;

export interface OrderLine {
  readonly product: number;
  readonly quantity: number;
}

/** An order that its client may still ship or take back. */
export interface OpenOrder {
  readonly id: number;
  readonly lines: readonly OrderLine[];
  readonly paid: boolean;
  readonly shipped: boolean;
}

/** What one client remembers between its transactions: only what is known to be committed. */
export interface Memory {
  readonly client: number;
  /** Its transactions so far. */
  readonly counter: number;
  readonly open: readonly OpenOrder[];
  /** The count of its last visit that still stands in the table without a key. */
  readonly visit: number | undefined;
}

/** One transaction, chosen but not done. */
export interface Plan {
  readonly kind: string;
  /** Statements of one transaction, to be sent as one text: PostgreSQL takes it as a whole or not at all. */
  readonly sql: string;
  /** Rows that it changes, those of the trigger and of cascades too. */
  readonly rows: number;
  /** The client's memory once it is committed. */
  readonly after: Memory;
}

interface Part {
  readonly statements: readonly string[];
  readonly rows: number;
  readonly open?: readonly OpenOrder[];
  readonly visit?: number | undefined;
}

/** Enough for a client to choose from; the rest are left as they are. */
const openOrdersMax = 50;

const kinds = [
  ...Array<string>(40).fill('order'),
  ...Array<string>(18).fill('ship'),
  ...Array<string>(6).fill('take back'),
  ...Array<string>(14).fill('document'),
  ...Array<string>(10).fill('profile'),
  ...Array<string>(11).fill('visit'),
  'campaign',
];

/** Chooses a client's next transaction. `seen`: the count of each client (from 1) that is known to be committed now. Rows are always
 *  locked in one order (accounts, products, stock, each by number), so that clients wait for one another and never in a ring. */
export function choose(memory: Memory, seen: readonly number[], draw: Draw): Plan {
  const counter = memory.counter + 1;
  const moved = moveMoney({ client: memory.client, counter }, seen, draw);
  const wanted = kinds[draw(kinds.length)] ?? 'visit';
  const kind = memory.open.length === 0 && (wanted === 'ship' || wanted === 'take back') ? 'order' : wanted;
  const rest = partOf(kind, { ...memory, counter }, draw);
  return {
    kind,
    sql: [...moved.statements, ...rest.statements].join(';\n'),
    rows: moved.rows + rest.rows,
    after: {
      client: memory.client,
      counter,
      open: (rest.open ?? memory.open).slice(-openOrdersMax),
      visit: 'visit' in rest ? rest.visit : memory.visit,
    },
  };
}

/** In every transaction: the client's counter, and a transfer that carries it. */
function moveMoney(of: { client: number; counter: number }, seen: readonly number[], draw: Draw): Part {
  const from = 1 + draw(seed.accounts);
  const to = 1 + ((from + draw(seed.accounts - 1)) % seed.accounts);
  const amount = (1 + draw(5000)) / 100;
  const change = (account: number): string => {
    const sign = account === from ? '-' : '+';
    return `update shop.accounts set balance = balance ${sign} ${amount}, changed_at = clock_timestamp() where id = ${account}`;
  };
  const [first, second] = from < to ? [from, to] : [to, from];
  return {
    statements: [
      `update shop.clients set counter = ${of.counter} where client = ${of.client} and counter = ${of.counter - 1}`,
      `insert into shop.transfers (client, counter, from_account, to_account, amount, seen)
       values (${of.client}, ${of.counter}, ${from}, ${to}, ${amount}, '{${seen.join(',')}}')`,
      change(first),
      change(second),
    ],
    // Two accounts, and the two lines that their trigger writes.
    rows: 6,
  };
}

function partOf(kind: string, memory: Memory, draw: Draw): Part {
  const { open } = memory;
  switch (kind) {
    case 'order':
      return order(memory, draw);
    case 'ship':
      return ship(open, draw);
    case 'take back':
      return takeBack(open, draw);
    case 'document':
      return document(draw);
    case 'profile':
      return profile(memory, draw);
    case 'campaign':
      return { statements: [events('campaign', 300)], rows: 300 };
    default:
      return visit(memory, draw);
  }
}

function order({ client, counter, open }: Memory, draw: Draw): Part {
  // Unique without asking: the count of the client, then the client.
  const id = seed.orders * 100 + counter * 100 + client;
  const products = new Set(Array.from({ length: 1 + draw(4) }, () => 1 + draw(seed.products)));
  const lines = [...products].toSorted((a, b) => a - b).map((product) => ({ product, quantity: 1 + draw(4) }));
  const paid = draw(5) > 0;
  const values = lines
    .map(({ product, quantity }, index) => `(${id}, ${index + 1}, ${product}, ${quantity})`)
    .join(', ');
  const priced = `from (values ${values}) l(order_id, line, product, quantity) join shop.products p on p.id = l.product`;
  const statements = [
    ...goods(lines, 1),
    `insert into shop.orders select ${id}, ${1 + draw(seed.customers)}, '${paid ? 'paid' : 'placed'}', sum(l.quantity * p.price), count(*) ${priced}`,
    `insert into shop.order_lines (order_id, line, product, quantity, price) select l.*, p.price ${priced}`,
  ];
  if (paid)
    statements.push(
      `insert into shop.payments (order_id, amount, method) select id, total, 'card' from shop.orders where id = ${id}`,
    );
  return {
    statements,
    rows: 1 + 3 * lines.length + (paid ? 1 : 0),
    open: [...open, { id, lines, paid, shipped: false }],
  };
}

function ship(open: readonly OpenOrder[], draw: Draw): Part {
  const unshipped = open.filter(({ shipped }) => !shipped);
  const chosen = unshipped[draw(Math.max(unshipped.length, 1))];
  if (!chosen) return { statements: [events('nothing to ship', 1)], rows: 1 };
  return {
    statements: [
      `update shop.orders set state = 'shipped' where id = ${chosen.id}`,
      `insert into shop.shipments values (${chosen.id}, ${(1 + draw(9000)) / 700}, '${1 + draw(9)} days 0${draw(9)}:30:00')`,
      events('shipped', 1),
    ],
    rows: 3,
    open: open.map((one) => (one === chosen ? { ...one, shipped: true } : one)),
  };
}

/** Deletes an order; its lines, payments and shipment go with it, its goods come back. */
function takeBack(open: readonly OpenOrder[], draw: Draw): Part {
  const chosen = open[draw(Math.max(open.length, 1))];
  if (!chosen) return { statements: [events('nothing to take back', 1)], rows: 1 };
  const { id, lines, paid, shipped } = chosen;
  return {
    statements: [...goods(lines, -1), `delete from shop.orders where id = ${id}`],
    rows: 1 + 3 * lines.length + (paid ? 1 : 0) + (shipped ? 1 : 0),
    open: open.filter((one) => one !== chosen),
  };
}

/** Moves goods between stock and orders; what both hold of a product is constant. */
function goods(lines: readonly OrderLine[], direction: 1 | -1): readonly string[] {
  return [
    ...lines.map(
      ({ product, quantity }) =>
        `update shop.products set ordered = ordered + ${direction * quantity} where id = ${product}`,
    ),
    ...lines.map(
      ({ product, quantity }) =>
        `update shop.stock set on_hand = on_hand - ${direction * quantity} where product = ${product}`,
    ),
  ];
}

function document(draw: Draw): Part {
  const change = quoteLiteral(
    JSON.stringify({ draft: draw(2) === 0, score: draw(1_000_000) / 1000, note: `it's "${draw(99)}"` }),
  );
  const id = 1 + draw(seed.documents);
  return {
    statements: [
      `update shop.documents set revision = revision + 1, body = body || ${change}, changed_at = clock_timestamp() where id = ${id}`,
      events('document', 2),
    ],
    rows: 3,
  };
}

/** Mostly leaves the long story alone, which is then not sent; sometimes writes it anew. */
function profile({ counter }: Memory, draw: Draw): Part {
  const story = `, story = (select string_agg(md5(${counter} + i || ''), ' ') from generate_series(1, 100) i)`;
  const tier = ['bronze', 'silver', 'gold'][draw(3)] ?? 'gold';
  const set = `tier = '${tier}', tags = tags[1:2] || array['${counter}', null, 'x,y'], changed_at = clock_timestamp()`;
  const id = 10 * (1 + draw(seed.customers / 10));
  return { statements: [`update shop.customers set ${set}${draw(10) === 0 ? story : ''} where id = ${id}`], rows: 1 };
}

/** In a table without a key: a change or a deletion is found by the whole row. */
function visit({ client, counter, visit: last }: Memory, draw: Draw): Part {
  const page = quoteLiteral(['/', '/cart', "/it's\\here", '/tab\there'][draw(4)] ?? '/');
  const insert = `insert into shop.visits values (${client}, ${counter}, ${page}, '10.0.${draw(256)}.${draw(256)}')`;
  if (last === undefined || draw(3) === 0) return { statements: [insert], rows: 1, visit: counter };
  const where = `where client = ${client} and counter = ${last}`;
  if (draw(2) === 0) return { statements: [`delete from shop.visits ${where}`, insert], rows: 2, visit: counter };
  return { statements: [`update shop.visits set page = ${page} ${where}`], rows: 1, visit: last };
}

const events = (kind: string, count: number): string =>
  `insert into shop.events (kind, payload, at) select '${kind}', jsonb_build_object('number', n), clock_timestamp() from generate_series(1, ${count}) n`;
