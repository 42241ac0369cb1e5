// Sequelize, TypeORM, Knex and Drizzle: what they send. Run by record.sh: node node_orms.js NAME.
const at = { host: process.env.PGHOST, port: +process.env.PGPORT, database: process.env.PGDATABASE, user: "app" };

async function sequelize() {
  const { Sequelize, DataTypes, Op, fn, col, literal } = require("sequelize");
  const s = new Sequelize(at.database, "app", "", { ...at, dialect: "postgres", logging: false });
  const User = s.define("User", { name: DataTypes.STRING, meta: DataTypes.JSONB, tags: DataTypes.ARRAY(DataTypes.TEXT) });
  const Post = s.define("Post", { title: { type: DataTypes.STRING, unique: true }, score: DataTypes.DECIMAL, kind: DataTypes.ENUM("a", "b") });
  User.hasMany(Post);
  Post.belongsTo(User);
  await s.sync();
  await s.sync({ alter: true });
  const ann = await User.create({ name: "ann", meta: { a: 1 }, tags: ["x"] });
  await Post.bulkCreate([1, 2, 3].map((n) => ({ title: `t${n}`, score: n, kind: "a", UserId: ann.id })), { updateOnDuplicate: ["score"] });
  await User.findAll({ include: Post, where: { name: { [Op.iLike]: "a%" } }, limit: 2, order: [["name", "DESC"]] });
  await User.findAndCountAll({ include: { model: Post, where: { score: { [Op.between]: [1, 2] } } }, limit: 1, offset: 0, distinct: true });
  await User.findAll({ where: { [Op.or]: [{ meta: { a: 1 } }, { tags: { [Op.contains]: ["x"] } }, { id: { [Op.in]: [1, 2] } }] } });
  await Post.findAll({ attributes: ["UserId", [fn("SUM", col("score")), "sum"]], group: ["UserId"], having: literal("SUM(score) > 1") });
  await Post.findOrCreate({ where: { title: "t9" }, defaults: { score: 9 } });
  await Post.upsert({ title: "t9", score: 10 });
  await Post.increment("score", { by: 2, where: { title: "t1" } });
  await Post.update({ kind: "b" }, { where: { UserId: ann.id }, returning: true });
  await s.transaction(async (t) => User.findByPk(1, { transaction: t, lock: t.LOCK.UPDATE, skipLocked: true }));
  await Post.max("score"), await Post.count({ where: { kind: "b" } });
  await Post.destroy({ where: { title: ["t2", "t3"] } });
  await s.getQueryInterface().showAllTables(), await s.getQueryInterface().describeTable("Posts"), await s.getQueryInterface().showIndex("Posts");
  await s.close();
}

async function typeorm() {
  require("reflect-metadata");
  const { DataSource, EntitySchema, In, Like, MoreThan, IsNull } = require("typeorm");
  const User = new EntitySchema({ name: "TUser", columns: { id: { type: Number, primary: true, generated: true }, name: { type: String }, bio: { type: "jsonb", nullable: true }, at: { type: "timestamptz", createDate: true } }, relations: { posts: { type: "one-to-many", target: "TPost", inverseSide: "user" } } });
  const Post = new EntitySchema({ name: "TPost", columns: { id: { type: "uuid", primary: true, generated: "uuid" }, title: { type: String, unique: true }, n: { type: "int", default: 0 } }, relations: { user: { type: "many-to-one", target: "TUser", inverseSide: "posts", onDelete: "CASCADE" } } });
  const ds = await new DataSource({ type: "postgres", ...at, username: "app", entities: [User, Post], synchronize: true, installExtensions: false, uuidExtension: "pgcrypto" }).initialize();
  await ds.synchronize();
  const u = ds.getRepository("TUser"), p = ds.getRepository("TPost");
  const ann = await u.save({ name: "ann", bio: { x: 1 } });
  await p.save([{ title: "a", user: ann }, { title: "b", user: ann }]);
  await u.find({ relations: { posts: true }, where: { name: Like("a%"), id: In([1, 2]) }, order: { name: "ASC" }, take: 2, skip: 0 });
  await u.findAndCount({ where: [{ id: MoreThan(0) }, { bio: IsNull() }] });
  await u.createQueryBuilder("u").leftJoinAndSelect("u.posts", "p", "p.n >= :n", { n: 0 }).where("u.id = :id", { id: 1 }).andWhere((q) => "u.id IN " + q.subQuery().select("p2.userId").from("TPost", "p2").getQuery()).getMany();
  await p.createQueryBuilder("p").select("p.userId").addSelect("COUNT(*)", "n").groupBy("p.userId").having("COUNT(*) > 1").getRawMany();
  await p.createQueryBuilder().insert().values({ title: "a", n: 1 }).orUpdate(["n"], ["title"]).execute();
  await p.upsert({ title: "b", n: 2 }, ["title"]);
  await p.update({ title: "a" }, { n: 5 }), await p.increment({ title: "a" }, "n", 2), await p.delete({ title: "zz" });
  await ds.transaction((m) => m.getRepository("TUser").findOne({ where: { id: 1 }, lock: { mode: "pessimistic_write" } }));
  await u.remove(await u.findOneBy({ id: 1 }));
  await ds.destroy();
}

async function knex() {
  const k = require("knex")({ client: "pg", connection: at });
  await k.schema.createTable("kt", (t) => { t.increments("id"); t.string("name"); t.jsonb("j"); t.integer("g"); t.unique(["name"]); });
  await k.schema.hasTable("kt"), await k.schema.hasColumn("kt", "name"), await k("kt").columnInfo();
  await k("kt").insert([{ name: "a", g: 1 }, { name: "b", g: 2 }]).returning("id");
  await k("kt").insert({ name: "a", g: 3 }).onConflict("name").merge(), await k("kt").insert({ name: "a" }).onConflict().ignore();
  await k("kt").where({ g: 1 }).orWhereIn("id", [1, 2]).whereNot("name", "z").orderBy("id", "desc").limit(2).offset(1);
  await k("kt as x").join("kt as y", "x.id", "y.id").leftJoin("kt as z", (j) => j.on("z.id", "=", "x.id").andOnVal("z.g", 1)).select("x.*", "y.name as other");
  await k("kt").groupBy("g").count("* as n").sum("id").havingRaw("count(*) > ?", [0]);
  await k.with("c", k("kt").where("g", 1)).select("*").from("c").unionAll([k("kt")]);
  await k("kt").whereExists(k.select(1).from("kt as i").whereRaw("i.id = kt.id")).whereBetween("id", [1, 5]).first();
  await k("kt").whereJsonObject("j", { a: 1 }), await k("kt").distinctOn("g").select().orderBy("g");
  await k.transaction(async (t) => { await t("kt").forUpdate().skipLocked().where("id", 1); await t("kt").update({ g: k.raw("?? + 1", ["g"]) }); });
  await k("kt").where("id", ">", 100).del();
  await k.destroy();
}

async function drizzle() {
  const { drizzle } = require("drizzle-orm/node-postgres");
  const { pgTable, serial, text, integer, timestamp } = require("drizzle-orm/pg-core");
  const { eq, and, or, gt, inArray, like, sql, desc, count, relations } = require("drizzle-orm");
  const { Pool } = require("pg");
  const users = pgTable("du", { id: serial("id").primaryKey(), name: text("name").unique(), at: timestamp("at").defaultNow() });
  const posts = pgTable("dp", { id: serial("id").primaryKey(), userId: integer("user_id"), body: text("body") });
  const usersRelations = relations(users, ({ many }) => ({ posts: many(posts) }));
  const postsRelations = relations(posts, ({ one }) => ({ user: one(users, { fields: [posts.userId], references: [users.id] }) }));
  const pool = new Pool(at);
  const db = drizzle(pool, { schema: { users, posts, usersRelations, postsRelations } });
  await pool.query("CREATE TABLE du (id serial PRIMARY KEY, name text UNIQUE, at timestamp DEFAULT now()); CREATE TABLE dp (id serial PRIMARY KEY, user_id int, body text)");
  await db.insert(users).values([{ name: "a" }, { name: "b" }]).returning({ id: users.id });
  await db.insert(users).values({ name: "a" }).onConflictDoUpdate({ target: users.name, set: { at: sql`now()` } });
  await db.insert(posts).values({ userId: 1, body: "x" });
  await db.select().from(users).leftJoin(posts, eq(posts.userId, users.id)).where(and(gt(users.id, 0), or(like(users.name, "a%"), inArray(users.id, [1, 2])))).orderBy(desc(users.id)).limit(3);
  await db.select({ u: posts.userId, n: count() }).from(posts).groupBy(posts.userId).having(sql`count(*) > 0`);
  await db.query.users.findMany({ with: { posts: { limit: 2, columns: { body: true } } }, where: eq(users.id, 1) });
  await db.query.posts.findFirst({ with: { user: true } });
  const c = db.$with("c").as(db.select().from(users));
  await db.with(c).select().from(c);
  await db.transaction(async (t) => { await t.select().from(users).where(eq(users.id, 1)).for("update", { skipLocked: true }); await t.update(users).set({ name: sql`${users.name} || '!'` }).where(eq(users.id, 1)).returning(); });
  await db.delete(posts).where(eq(posts.id, 5));
  await pool.end();
}

({ sequelize, typeorm, knex, drizzle })[process.argv[2]]().catch((e) => { console.error(e); process.exit(1); });
