// node-postgres by TLS: verified, with channel binding where the driver has it.
const assert = require('node:assert/strict');
const fs = require('node:fs');
const { Client } = require('pg');

async function main() {
  const ca = fs.readFileSync(process.env.TLS_CA, 'utf8');
  for (const enableChannelBinding of [false, true]) {
    const client = new Client({
      host: 'localhost', port: Number(process.env.TLS_PORT), user: 'shop', password: 'secret', database: 'shop',
      ssl: { ca, rejectUnauthorized: true }, enableChannelBinding,
    });
    await client.connect();
    assert.deepEqual((await client.query('SELECT 42 AS n')).rows, [{ n: 42 }]);
    await client.end();
  }
  const stranger = new Client({
    host: 'localhost', port: Number(process.env.TLS_PORT), user: 'shop', password: 'secret', database: 'shop',
    ssl: { rejectUnauthorized: true },
  });
  await assert.rejects(stranger.connect());
  console.log('node-postgres: verified, channel binding, refused without the CA');
}

main().catch((error) => { console.error(error); process.exit(1); });
