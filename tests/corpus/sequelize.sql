-- sequelize 6.37.8: node_orms.js
-- By tests/corpus/senders/record.sh; one statement of each shape, parameters as the server got them.

WITH ranges AS (  SELECT pg_range.rngtypid, pg_type.typname AS rngtypname,         pg_type.typarray AS rngtyparray, pg_range.rngsubtype    FROM pg_range LEFT OUTER JOIN pg_type ON pg_type.oid = pg_range.rngtypid)SELECT pg_type.typname, pg_type.typtype, pg_type.oid, pg_type.typarray,       ranges.rngtypname, ranges.rngtypid, ranges.rngtyparray  FROM pg_type LEFT OUTER JOIN ranges ON pg_type.oid = ranges.rngsubtype WHERE (pg_type.typtype IN('b', 'e'));

SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_name = 'Users';

SELECT i.relname AS name, ix.indisprimary AS primary, ix.indisunique AS unique, ix.indkey AS indkey, array_agg(a.attnum) as column_indexes, array_agg(a.attname) AS column_names, pg_get_indexdef(ix.indexrelid) AS definition FROM pg_class t, pg_class i, pg_index ix, pg_attribute a WHERE t.oid = ix.indrelid AND i.oid = ix.indexrelid AND a.attrelid = t.oid AND t.relkind = 'r' and t.relname = 'Users' GROUP BY i.relname, ix.indexrelid, ix.indisprimary, ix.indisunique, ix.indkey ORDER BY i.relname;

SELECT t.typname enum_name, array_agg(e.enumlabel ORDER BY enumsortorder) enum_value FROM pg_type t JOIN pg_enum e ON t.oid = e.enumtypid JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace WHERE n.nspname = 'public' AND t.typname='enum_Posts_kind' GROUP BY 1;

SELECT pk.constraint_type as "Constraint",c.column_name as "Field", c.column_default as "Default",c.is_nullable as "Null", (CASE WHEN c.udt_name = 'hstore' THEN c.udt_name ELSE c.data_type END) || (CASE WHEN c.character_maximum_length IS NOT NULL THEN '(' || c.character_maximum_length || ')' ELSE '' END) as "Type", (SELECT array_agg(e.enumlabel) FROM pg_catalog.pg_type t JOIN pg_catalog.pg_enum e ON t.oid=e.enumtypid WHERE t.typname=c.udt_name) AS "special", (SELECT pgd.description FROM pg_catalog.pg_statio_all_tables AS st INNER JOIN pg_catalog.pg_description pgd on (pgd.objoid=st.relid) WHERE c.ordinal_position=pgd.objsubid AND c.table_name=st.relname) AS "Comment" FROM information_schema.columns c LEFT JOIN (SELECT tc.table_schema, tc.table_name, cu.column_name, tc.constraint_type FROM information_schema.TABLE_CONSTRAINTS tc JOIN information_schema.KEY_COLUMN_USAGE  cu ON tc.table_schema=cu.table_schema and tc.table_name=cu.table_name and tc.constraint_name=cu.constraint_name and tc.constraint_type='PRIMARY KEY') pk ON pk.table_schema=c.table_schema AND pk.table_name=c.table_name AND pk.column_name=c.column_name WHERE c.table_name = 'Users' AND c.table_schema = 'public';

SELECT DISTINCT tc.constraint_name as constraint_name, tc.constraint_schema as constraint_schema, tc.constraint_catalog as constraint_catalog, tc.table_name as table_name,tc.table_schema as table_schema,tc.table_catalog as table_catalog,tc.initially_deferred as initially_deferred,tc.is_deferrable as is_deferrable,kcu.column_name as column_name,ccu.table_schema  AS referenced_table_schema,ccu.table_catalog  AS referenced_table_catalog,ccu.table_name  AS referenced_table_name,ccu.column_name AS referenced_column_name FROM information_schema.table_constraints AS tc JOIN information_schema.key_column_usage AS kcu ON tc.constraint_name = kcu.constraint_name JOIN information_schema.constraint_column_usage AS ccu ON ccu.constraint_name = tc.constraint_name WHERE constraint_type = 'FOREIGN KEY' AND tc.table_name = 'Users' AND tc.table_catalog = 'sequelize';

INSERT INTO "Users" ("id","name","meta","tags","createdAt","updatedAt") VALUES (DEFAULT,$1,$2,$3,$4,$5) RETURNING "id","name","meta","tags","createdAt","updatedAt";

INSERT INTO "Posts" ("id","title","score","kind","createdAt","updatedAt","UserId") VALUES (DEFAULT,'t1',1,'a','2026-11-22 15:28:17.231 +00:00','2026-11-22 15:28:17.231 +00:00',1),(DEFAULT,'t2',2,'a','2026-11-22 15:28:17.231 +00:00','2026-11-22 15:28:17.231 +00:00',1),(DEFAULT,'t3',3,'a','2026-11-22 15:28:17.231 +00:00','2026-11-22 15:28:17.231 +00:00',1) ON CONFLICT ("title") DO UPDATE SET "score"=EXCLUDED."score" RETURNING "id","title","score","kind","createdAt","updatedAt","UserId";

SELECT "User".*, "Posts"."id" AS "Posts.id", "Posts"."title" AS "Posts.title", "Posts"."score" AS "Posts.score", "Posts"."kind" AS "Posts.kind", "Posts"."createdAt" AS "Posts.createdAt", "Posts"."updatedAt" AS "Posts.updatedAt", "Posts"."UserId" AS "Posts.UserId" FROM (SELECT "User"."id", "User"."name", "User"."meta", "User"."tags", "User"."createdAt", "User"."updatedAt" FROM "Users" AS "User" WHERE "User"."name" ILIKE 'a%' ORDER BY "User"."name" DESC LIMIT 2) AS "User" LEFT OUTER JOIN "Posts" AS "Posts" ON "User"."id" = "Posts"."UserId" ORDER BY "User"."name" DESC;

SELECT count(DISTINCT("User"."id")) AS "count" FROM "Users" AS "User" INNER JOIN "Posts" AS "Posts" ON "User"."id" = "Posts"."UserId" AND "Posts"."score" BETWEEN 1 AND 2;

SELECT "User".*, "Posts"."id" AS "Posts.id", "Posts"."title" AS "Posts.title", "Posts"."score" AS "Posts.score", "Posts"."kind" AS "Posts.kind", "Posts"."createdAt" AS "Posts.createdAt", "Posts"."updatedAt" AS "Posts.updatedAt", "Posts"."UserId" AS "Posts.UserId" FROM (SELECT "User"."id", "User"."name", "User"."meta", "User"."tags", "User"."createdAt", "User"."updatedAt" FROM "Users" AS "User" WHERE ( SELECT "UserId" FROM "Posts" AS "Posts" WHERE ("Posts"."score" BETWEEN 1 AND 2 AND "Posts"."UserId" = "User"."id") LIMIT 1 ) IS NOT NULL LIMIT 1 OFFSET 0) AS "User" INNER JOIN "Posts" AS "Posts" ON "User"."id" = "Posts"."UserId" AND "Posts"."score" BETWEEN 1 AND 2;

SELECT "id", "name", "meta", "tags", "createdAt", "updatedAt" FROM "Users" AS "User" WHERE (CAST(("User"."meta"#>>'{a}') AS DOUBLE PRECISION) = 1 OR "User"."tags" @> ARRAY['x']::TEXT[] OR "User"."id" IN (1, 2));

SELECT "UserId", SUM("score") AS "sum" FROM "Posts" AS "Post" GROUP BY "UserId" HAVING SUM(score) > 1;

SELECT "id", "title", "score", "kind", "createdAt", "updatedAt", "UserId" FROM "Posts" AS "Post" WHERE "Post"."title" = 't9';

INSERT INTO "Posts" ("title","score","createdAt","updatedAt") VALUES ($1,$2,$3,$4) ON CONFLICT ("title") DO UPDATE SET "title"=EXCLUDED."title","score"=EXCLUDED."score","updatedAt"=EXCLUDED."updatedAt" RETURNING "id","title","score","kind","createdAt","updatedAt","UserId";

UPDATE "Posts" SET "score"="score"+ 2,"updatedAt"='2026-11-22 15:28:17.509 +00:00' WHERE "title" = 't1' RETURNING *;

UPDATE "Posts" SET "kind"=$1,"updatedAt"=$2 WHERE "UserId" = $3 RETURNING "id","title","score","kind","createdAt","updatedAt","UserId";

SELECT "id", "name", "meta", "tags", "createdAt", "updatedAt" FROM "Users" AS "User" WHERE "User"."id" = 1 FOR UPDATE SKIP LOCKED;

SELECT max("score") AS "max" FROM "Posts" AS "Post";

SELECT count(*) AS "count" FROM "Posts" AS "Post" WHERE "Post"."kind" = 'b';

DELETE FROM "Posts" WHERE "title" IN ('t2', 't3');

SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_type LIKE '%TABLE' AND table_name != 'spatial_ref_sys';
