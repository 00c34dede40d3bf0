// node-postgres: simple and extended queries, named statements, cursors with row limits, COPY streams, LISTEN, cancel.
import { readFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { pipeline } from "node:stream/promises";
import { Readable } from "node:stream";
import pg from "pg";
import Cursor from "pg-cursor";
import { from as copyFrom, to as copyTo } from "pg-copy-streams";

const told = JSON.parse(readFileSync(0, "utf8"));
const options = {
  host: told.host,
  port: told.port,
  user: told.user,
  database: told.database,
  ssl: told.ca ? { ca: readFileSync(told.ca, "utf8") } : false,
};
const steps = [];

function plain(value) {
  if (value === undefined) return null;
  if (Buffer.isBuffer(value)) return `bytes:${value.length}:${createHash("sha256").update(value).digest("hex")}`;
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "number" && !Number.isFinite(value)) return `${value}`;
  if (typeof value === "string" && value.length > 300) return `str:${value.length}:${createHash("sha256").update(value).digest("hex")}`;
  if (value instanceof Date) return `date:${Number.isNaN(value.valueOf()) ? "invalid" : value.toISOString()}`;
  if (Array.isArray(value)) {
    const items = value.map(plain);
    return items.length > 300 ? `list:${items.length}:${createHash("sha256").update(JSON.stringify(items)).digest("hex")}` : items;
  }
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, plain(v)]));
  return value;
}

function described(error) {
  const names = ["code", "severity", "detail", "hint", "position", "where", "schema", "table", "column", "dataType", "constraint", "file", "line", "routine"];
  const found = { message: error.message };
  for (const name of names) if (error[name] !== undefined) found[name] = error[name];
  return { error: found };
}

async function step(name, work) {
  try {
    steps.push([name, plain(await work())]);
  } catch (error) {
    if (!(error instanceof pg.DatabaseError) && !/cancel|terminat/i.test(error.message)) error.message = `${name}: ${error.message}`;
    if (!(error instanceof pg.DatabaseError)) throw error;
    steps.push([name, plain(described(error))]);
  }
}

const shown = (result) =>
  Array.isArray(result)
    ? result.map(shown)
    : { command: result.command, count: result.rowCount, rows: result.rows, fields: result.fields.map((f) => [f.name, Math.min(f.dataTypeID, 16384), f.format]) };

const client = new pg.Client(options);
const notices = [];
client.on("notice", (n) => notices.push({ message: n.message, severity: n.severity, detail: n.detail, hint: n.hint, code: n.code }));
await client.connect();
const query = async (...args) => shown(await client.query(...args));

for (const statement of told.setup) await step(statement, () => query(statement));
for (const [type, literals] of Object.entries(told.literals))
  for (const literal of [...literals, null]) {
    await step(`${type} ${literal}`, () => query(`SELECT $1::text::${type} AS v`, [literal]));
    // pg-types reads the length of a NULL in a binary array as 2^32 - 1, slowly.
    if (!type.endsWith("[]"))
      await step(`binary ${type} ${literal}`, () => query({ text: `SELECT $1::text::${type} AS v`, values: [literal], binary: true }));
  }
await step("empty", () => query(""));
await step("multi", () => query("SELECT 1 AS a; SELECT 'x' AS b; CREATE TEMP TABLE m (x int)"));
await step("multi with an error", () => query("INSERT INTO m VALUES (1); SELECT 1/0"));
await step("after", () => query("SELECT * FROM m"));
for (const [i, value] of [1, "text", true, null, 2.5, new Date(0), Buffer.from([0, 255]), { a: 1 }].entries())
  await step(`parameter ${i}`, () => query("SELECT $1 AS v", [value]));
for (const sql of told.errors) {
  await step(`error: ${sql}`, () => query(sql));
  await step(`error, extended: ${sql}`, () => query({ text: sql, values: [], queryMode: "extended" }));
  await step("begin", () => query("BEGIN"));
  await step("savepoint", () => query("SAVEPOINT one"));
  await step(`error in a transaction: ${sql}`, () => query(sql));
  await step("refused", () => query("SELECT 1"));
  await step("rollback to", () => query("ROLLBACK TO one"));
  await step("commit", () => query("COMMIT"));
}
for (const id of [1, 2, 99])
  await step(`named ${id}`, () => query({ name: "by-id", text: "SELECT id, name FROM parent WHERE id = $1", values: [id] }));
await step("pipelined", () =>
  Promise.all([...Array(50).keys()].map((i) => query("SELECT $1::int AS v", [i]))));
await step("row mode", () => query({ text: "SELECT id, name FROM parent WHERE id < $1 ORDER BY id", values: [4], rowMode: "array" }));
await step("row limit", () => query({ text: "SELECT id FROM parent ORDER BY id", values: [], rows: 7 }));

await step("cursor", async () => {
  const cursor = client.query(new Cursor("SELECT id, name FROM parent WHERE id > $1 ORDER BY id", [3]));
  const found = [await cursor.read(5), await cursor.read(1), await cursor.read(100), await cursor.read(1)];
  await cursor.close();
  return found;
});
await step("cursor closed early", async () => {
  const cursor = client.query(new Cursor("SELECT generate_series(1, 100000)"));
  const found = await cursor.read(3);
  await cursor.close();
  return found;
});
await step("cursor fails midway", async () => {
  const cursor = client.query(new Cursor("SELECT 10 / (8 - g) FROM generate_series(1, 20) g"));
  return [await cursor.read(5), await cursor.read(5)];
});

const into = (sql, ...blocks) => async () => {
  const stream = client.query(copyFrom(sql));
  await pipeline(Readable.from(blocks), stream);
  return stream.rowCount;
};
const out = (sql) => async () => {
  const blocks = [];
  for await (const block of client.query(copyTo(sql))) blocks.push(block);
  return Buffer.concat(blocks);
};
await step("copy in", into("COPY bag (a, b) FROM STDIN", ...[...Array(400).keys()].map((i) => Buffer.from(`${i}\ttext ${i}\n`))));
await step("copy in bad", into("COPY bag (a, b) FROM STDIN", Buffer.from("x\ty\n")));
await step("copy out", out("COPY (SELECT a, b FROM bag ORDER BY a, b) TO STDOUT"));
await step("copy out csv", out("COPY (SELECT a, b FROM bag ORDER BY a, b) TO STDOUT (FORMAT csv, HEADER)"));
await step("copy out binary", out("COPY (SELECT a, b FROM bag ORDER BY a, b) TO STDOUT (FORMAT binary)"));
await step("after copy", () => query("SELECT count(*) FROM bag"));

await step("notice", () => query("SELECT shout('hey')"));
await step("notices", async () => notices);
await step("1 MB", () => query("SELECT repeat('x', 1048576) AS big"));
await step("1 MB parameter", () => query("SELECT md5($1) AS sum", ["y".repeat(1048576)]));
await step("many rows", () => query("SELECT g, 'row ' || g AS t FROM generate_series(1, 50000) g"));

const other = new pg.Client(options);
await other.connect();
await step("listen", () => query("LISTEN news"));
await step("heard", async () => {
  const heard = new Promise((resolve) => client.once("notification", (n) => resolve([n.channel, n.payload])));
  await other.query("NOTIFY news, 'hello'");
  return heard;
});
await other.end();
await client.end();
process.stdout.write(JSON.stringify(steps));
