-- GORM over pgx: gorm.go.txt
-- By tests/corpus/senders/record.sh; one statement of each shape, parameters as the server got them.

SELECT count(*) FROM information_schema.tables WHERE table_schema = CURRENT_SCHEMA() AND table_name = $1 AND table_type = $2;

SELECT CURRENT_DATABASE();

SELECT c.column_name, c.is_nullable = 'YES', c.udt_name, c.character_maximum_length, c.numeric_precision, c.numeric_precision_radix, c.numeric_scale, c.datetime_precision, 8 * typlen, c.column_default, pd.description, c.identity_increment FROM information_schema.columns AS c JOIN pg_type AS pgt ON c.udt_name = pgt.typname LEFT JOIN pg_catalog.pg_description as pd ON pd.objsubid = c.ordinal_position AND pd.objoid = (SELECT oid FROM pg_catalog.pg_class WHERE relname = c.table_name AND relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = c.table_schema)) where table_catalog = $1 AND table_schema = CURRENT_SCHEMA() AND table_name = $2;

SELECT * FROM "users" LIMIT  '1';

SELECT constraint_name FROM information_schema.table_constraints tc JOIN information_schema.constraint_column_usage AS ccu USING (constraint_schema, constraint_catalog, table_name, constraint_name) JOIN information_schema.columns AS c ON c.table_schema = tc.constraint_schema AND tc.table_name = c.table_name AND ccu.column_name = c.column_name WHERE constraint_type IN ('PRIMARY KEY', 'UNIQUE') AND c.table_catalog = $1 AND c.table_schema = CURRENT_SCHEMA() AND c.table_name = $2 AND constraint_type = $3;

SELECT c.column_name, constraint_name, constraint_type FROM information_schema.table_constraints tc JOIN information_schema.constraint_column_usage AS ccu USING (constraint_schema, constraint_catalog, table_name, constraint_name) JOIN information_schema.columns AS c ON c.table_schema = tc.constraint_schema AND tc.table_name = c.table_name AND ccu.column_name = c.column_name WHERE constraint_type IN ('PRIMARY KEY', 'UNIQUE') AND c.table_catalog = $1 AND c.table_schema = CURRENT_SCHEMA() AND c.table_name = $2;

SELECT a.attname as column_name, format_type(a.atttypid, a.atttypmod) AS data_type	FROM pg_attribute a JOIN pg_class b ON a.attrelid = b.oid AND relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = CURRENT_SCHEMA())	WHERE a.attnum > 0	AND NOT a.attisdropped	AND b.relname = $1;

SELECT description FROM pg_catalog.pg_description WHERE objsubid = (SELECT ordinal_position FROM information_schema.columns WHERE table_schema = CURRENT_SCHEMA() AND table_name = $1 AND column_name = $2) AND objoid = (SELECT oid FROM pg_catalog.pg_class WHERE relname = $3 AND relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = CURRENT_SCHEMA()));

SELECT count(*) FROM pg_indexes WHERE tablename = $1 AND indexname = $2 AND schemaname = CURRENT_SCHEMA();

SELECT * FROM "orders" LIMIT  '1';

SELECT count(*) FROM INFORMATION_SCHEMA.table_constraints WHERE table_schema = CURRENT_SCHEMA() AND table_name = $1 AND constraint_name = $2;

INSERT INTO "users" ("created_at","updated_at","deleted_at","name","age") VALUES ($1,$2,$3,$4,$5) RETURNING "id";

INSERT INTO "orders" ("user_id","total") VALUES ($1,$2),($3,$4) ON CONFLICT ("id") DO UPDATE SET "user_id"="excluded"."user_id" RETURNING "id";

INSERT INTO "users" ("created_at","updated_at","deleted_at","name","age") VALUES ($1,$2,$3,$4,$5),($6,$7,$8,$9,$10) RETURNING "id";

INSERT INTO "users" ("created_at","updated_at","deleted_at","name","age") VALUES ($1,$2,$3,$4,$5) ON CONFLICT ("name") DO UPDATE SET "age"="excluded"."age" RETURNING "id";

INSERT INTO "users" ("created_at","updated_at","deleted_at","name","age") VALUES ($1,$2,$3,$4,$5) ON CONFLICT DO NOTHING RETURNING "id";

SELECT * FROM "users" WHERE (age > $1 AND name LIKE $2) AND "users"."deleted_at" IS NULL ORDER BY age desc LIMIT $3 OFFSET $4;

SELECT "users"."id","users"."created_at","users"."updated_at","users"."deleted_at","users"."name","users"."age" FROM "users" LEFT JOIN orders ON orders.user_id = users.id WHERE "users"."deleted_at" IS NULL GROUP BY "users"."id" HAVING count(orders.id) > $1;

SELECT * FROM "users" WHERE ("users"."name" IN ($1,$2) OR age IS NULL AND NOT age = $3) AND "users"."deleted_at" IS NULL;

SELECT * FROM "users" WHERE "users"."id" = $1 AND "users"."deleted_at" IS NULL ORDER BY "users"."id" LIMIT $2;

SELECT * FROM "users" WHERE "users"."deleted_at" IS NULL AND "users"."id" = $1 ORDER BY "users"."id" DESC LIMIT $2;

SELECT * FROM "users" WHERE name = $1 AND "users"."deleted_at" IS NULL AND "users"."id" = $2 LIMIT $3;

SELECT count(*) FROM "users" WHERE age > 0 AND "users"."deleted_at" IS NULL;

SELECT DISTINCT "age" FROM "users" WHERE "users"."deleted_at" IS NULL;

SELECT * FROM (SELECT "name","age" FROM "users" WHERE "users"."deleted_at" IS NULL) as u WHERE age = $1;

SELECT * FROM "users" WHERE age > (SELECT AVG(age) FROM "users") AND "users"."deleted_at" IS NULL;

SELECT * FROM "users" WHERE "users"."deleted_at" IS NULL FOR UPDATE SKIP LOCKED;

UPDATE "users" SET "age"=age + $1,"updated_at"=$2 WHERE "users"."deleted_at" IS NULL AND "id" = $3;

UPDATE "users" SET "age"=$1,"updated_at"=$2 WHERE age = $3 AND "users"."deleted_at" IS NULL AND "id" IN ($4,$5,$6,$7) RETURNING *;

SELECT * FROM "users" WHERE "users"."name" = $1 AND "users"."deleted_at" IS NULL ORDER BY "users"."id" LIMIT $2;

UPDATE "users" SET "created_at"=$1,"updated_at"=$2,"deleted_at"=$3,"name"=$4,"age"=$5 WHERE "users"."deleted_at" IS NULL AND "id" = $6;

UPDATE "users" SET "deleted_at"=$1 WHERE "users"."id" = $2 AND "users"."deleted_at" IS NULL;

DELETE FROM "users" WHERE name = $1;

SELECT
	ct.relname AS table_name,
	ci.relname AS index_name,
	i.indisunique AS non_unique,
	i.indisprimary AS primary,
	a.attname AS column_name
FROM
	pg_index i
	LEFT JOIN pg_class ct ON ct.oid = i.indrelid
	LEFT JOIN pg_class ci ON ci.oid = i.indexrelid
	LEFT JOIN pg_attribute a ON a.attrelid = ct.oid
	LEFT JOIN pg_constraint con ON con.conindid = i.indexrelid
WHERE
	a.attnum = ANY(i.indkey)
	AND con.oid IS NULL
	AND ct.relkind = 'r'
	AND ct.relname = $1
 AND ct.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = CURRENT_SCHEMA());
