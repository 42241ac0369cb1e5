// Sequelize's ORM against Margay: sync, rows, relations, aggregates, transactions, introspection.

const assert = require('node:assert/strict');
const { DataTypes, Op, Sequelize, Transaction } = require('sequelize');

const sequelize = new Sequelize(process.env.MARGAY_POSTGRES_URL, { logging: false, pool: { max: 3 } });
let passed = 0;
const check = (what, got, expected) => {
  assert.deepEqual(got, expected, `Sequelize: ${what}`);
  passed++;
};

async function main() {
  const options = { timestamps: false, freezeTableName: true };
  const Customer = sequelize.define(
    'customer',
    { id: { type: DataTypes.BIGINT, primaryKey: true }, name: DataTypes.STRING(50), joined: DataTypes.DATE, data: DataTypes.JSONB, tags: DataTypes.ARRAY(DataTypes.TEXT) },
    { ...options, indexes: [{ fields: ['name'] }] },
  );
  const Kind = sequelize.define('kind', { id: { type: DataTypes.INTEGER, primaryKey: true }, name: { type: DataTypes.STRING, unique: true } }, options);
  const Order = sequelize.define(
    'orders',
    { customer_id: { type: DataTypes.BIGINT, primaryKey: true }, id: { type: DataTypes.BIGINT, primaryKey: true }, total: DataTypes.DECIMAL(10, 2), state: DataTypes.ENUM('new', 'paid') },
    options,
  );
  const Note = sequelize.define('note', { text: DataTypes.TEXT }, { freezeTableName: true });
  // An update of the sharding key can't cascade.
  const byKey = { foreignKey: 'customer_id', onUpdate: 'NO ACTION' };
  Customer.hasMany(Order, byKey);
  Order.belongsTo(Customer, byKey);
  Order.belongsTo(Kind, { foreignKey: 'kind_id' });
  await sequelize.authenticate();
  await sequelize.sync();
  await sequelize.sync();

  await Kind.bulkCreate([{ id: 1, name: 'book' }, { id: 2, name: 'tool' }]);
  await Customer.bulkCreate(Array.from({ length: 40 }, (_, i) => ({ id: i, name: `c${i % 5}`, data: { n: i }, tags: ['a', `it's ${i}`] })));
  await Order.bulkCreate(Array.from({ length: 80 }, (_, i) => ({ customer_id: i % 40, id: i, kind_id: 1 + (i % 2), total: i + 0.25, state: i % 4 ? 'new' : 'paid' })));
  const one = await Customer.findByPk(7);
  check('a row by its key', [one.name, one.data, one.tags], ['c2', { n: 7 }, ['a', "it's 7"]]);
  check('a count over nodes', await Order.count(), 80);
  check('a filter', await Customer.count({ where: { name: 'c2' } }), 8);
  check('in a list', (await Customer.findAll({ where: { id: { [Op.in]: [1, 2, 77] } }, order: ['id'] })).map(c => c.id), ['1', '2']);
  check('sorted and cut', (await Customer.findAll({ order: [['id', 'DESC']], limit: 3, offset: 2 })).map(c => c.id), ['37', '36', '35']);
  check('sum', Number(await Order.sum('total')), 3180);
  check('max', Number(await Order.max('total')), 79.25);
  const groups = await Order.findAll({
    attributes: ['kind_id', [sequelize.fn('COUNT', sequelize.col('id')), 'n']],
    group: ['kind_id'],
    order: ['kind_id'],
    raw: true,
  });
  check('groups over nodes', groups.map(g => [g.kind_id, g.n]), [[1, '40'], [2, '40']]);
  const joined = await Customer.findOne({ where: { id: 5 }, include: { model: Order, include: Kind }, order: [[Order, 'id', 'ASC']] });
  check('a join by the key', joined.orders.map(o => [o.id, o.kind.name, o.state]), [['5', 'tool', 'new'], ['45', 'tool', 'new']]);
  const all = await Customer.findAll({ include: { model: Order, required: true } });
  check('a join over nodes', all.reduce((n, c) => n + c.orders.length, 0), 80);
  const both = await Customer.findAndCountAll({ where: { name: 'c3' }, order: ['id'], limit: 2 });
  check('find and count', [both.count, both.rows.length], [8, 2]);

  const [changed] = await Order.update({ state: 'paid' }, { where: { kind_id: 2 } });
  check('update', changed, 40);
  one.name = 'other';
  await one.save();
  check('saved', await Customer.count({ where: { name: 'other' } }), 1);
  await Customer.upsert({ id: 7, name: 'upserted' });
  check('upserted', (await Customer.findByPk(7)).name, 'upserted');
  const [, made] = await Customer.findCreateFind({ where: { id: 100 }, defaults: { name: 'late' } });
  check('find or create', made, true);
  // It makes a function in pg_temp that inserts: no server could split what that does.
  await assert.rejects(Customer.findOrCreate({ where: { id: 101 }, defaults: { name: 'late' } }), /pg_temp.*MG1502/);
  await assert.rejects(
    sequelize.transaction(async transaction => {
      await Customer.create({ id: 200, name: 'gone' }, { transaction });
      await Customer.create({ id: 201, name: 'gone' }, { transaction });
      throw new Error('back');
    }),
    /back/,
  );
  check('rolled back on all nodes', await Customer.count({ where: { name: 'gone' } }), 0);
  await sequelize.transaction({ isolationLevel: Transaction.ISOLATION_LEVELS.REPEATABLE_READ }, async transaction => {
    for (const id of [300, 301, 302]) await Customer.create({ id, name: 'kept' }, { transaction });
    await sequelize.transaction({ transaction }, async inner => Customer.destroy({ where: { id: 302 }, transaction: inner }));
  });
  check('committed on all nodes', await Customer.count({ where: { name: 'kept' } }), 2);
  await assert.rejects(Customer.create({ id: 300, name: 'twice' }), { name: 'SequelizeUniqueConstraintError' });
  await assert.rejects(Order.create({ customer_id: 1, id: 999, kind_id: 77 }), { name: 'SequelizeForeignKeyConstraintError' });
  const note = await Note.create({ text: 'é' });
  check('a made key', (await Note.findByPk(note.id)).text, 'é');

  const query = sequelize.getQueryInterface();
  const tables = (await query.showAllTables()).map(t => t.tableName ?? t);
  check('tables, and no shards', tables.filter(t => /^(customer|orders)/.test(t)).sort(), ['customer', 'orders']);
  const columns = await query.describeTable('orders');
  check('columns', [columns.total.type, columns.customer_id.primaryKey, columns.state.special], ['NUMERIC', true, ['new', 'paid']]);
  check('indexes', (await query.showIndex('customer')).map(i => i.name).sort(), ['customer_name', 'customer_pkey']);
  const keys = await query.getForeignKeyReferencesForTable('orders');
  check('foreign keys', keys.map(k => `${k.columnName} ${k.referencedTableName}`).sort(), ['customer_id customer', 'kind_id kind']);
  await query.addColumn('customer', 'points', { type: DataTypes.INTEGER, defaultValue: 0, allowNull: false });
  check('a new column', await Customer.sequelize.query('SELECT sum(points) AS n FROM customer', { plain: true }), { n: '0' });
  await sequelize.drop({});
  console.log(`Sequelize: ${passed} checks`);
  await sequelize.close();
}

main().catch(error => {
  console.error(error);
  process.exit(1);
});
