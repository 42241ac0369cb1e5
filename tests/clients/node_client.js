// node-postgres against Margay: plain and named queries, transactions, a pool, errors.

const assert = require('node:assert/strict');
const { Client, Pool } = require('pg');

const url = process.env.MARGAY_POSTGRES_URL;
let passed = 0;
const check = (what, got, expected) => {
  assert.deepEqual(got, expected, `node-postgres: ${what}`);
  passed++;
};

async function main() {
  const client = new Client({ connectionString: url });
  await client.connect();
  for (let i = 0; i < 20; i++) {
    await client.query('INSERT INTO items (id, owner, label, data) VALUES ($1, $2, $3, $4)', [i, 9000 + i, `n ${i}`, { i }]);
  }
  const one = await client.query('SELECT label, data FROM items WHERE owner = $1', [9007]);
  check('a row by its key', one.rows, [{ label: 'n 7', data: { i: 7 } }]);
  const count = await client.query('SELECT count(*) AS n FROM items WHERE owner BETWEEN 9000 AND 9019');
  check('a count over nodes', count.rows[0].n, '20');
  for (let i = 0; i < 20; i++) {
    const named = await client.query({ name: 'by-owner', text: 'SELECT id FROM items WHERE owner = $1', values: [9000 + i] });
    check('a named query finds each shard', named.rows, [{ id: String(i) }]);
  }
  const array = await client.query('SELECT owner FROM items WHERE owner = ANY($1) ORDER BY owner', [[9001, 9002]]);
  check('a key in an array', array.rows.map(r => r.owner), [9001, 9002]);
  await client.query('BEGIN');
  const update = await client.query("UPDATE items SET label = 'x' WHERE owner BETWEEN 9000 AND 9019");
  check('affected rows', update.rowCount, 20);
  await client.query('ROLLBACK');
  const left = await client.query("SELECT 1 FROM items WHERE label = 'x' AND owner BETWEEN 9000 AND 9019");
  check('rolled back', left.rowCount, 0);
  await assert.rejects(client.query('SELECT nope FROM items WHERE owner = 1'), { code: '42703' });
  await assert.rejects(client.query('SELECT nope FROM items WHERE owner = $1', [1]), { code: '42703' });
  const several = await client.query('SELECT 1 AS a; SELECT 2 AS a');
  check('several statements', several.map(r => r.rows[0].a), [1, 2]);
  await client.end();

  const pool = new Pool({ connectionString: url, max: 5 });
  const got = await Promise.all(
    Array.from({ length: 100 }, (_, i) => pool.query('SELECT owner FROM items WHERE owner = $1', [9000 + (i % 20)])),
  );
  check('a pool', got.map(r => r.rows[0].owner), Array.from({ length: 100 }, (_, i) => 9000 + (i % 20)));
  await pool.end();
  console.log(`node-postgres: ${passed} checks`);
}

main().catch(error => {
  console.error(error);
  process.exit(1);
});
