-- peewee 4.5.3: drivers.py
-- By tests/corpus/senders/record.sh; one statement of each shape, parameters as the server got them.

INSERT INTO "person" ("name") VALUES ($1) RETURNING "person"."id";

INSERT INTO "pet" ("owner_id", "name") VALUES ($1, $2), ($3, $4), ($5, $6) RETURNING "pet"."id";

SELECT "t1"."id", "t1"."owner_id", "t1"."name", "t2"."id", "t2"."name", "t2"."born" FROM "pet" AS "t1" INNER JOIN "person" AS "t2" ON ("t1"."owner_id" = "t2"."id") WHERE (("t2"."name" ILIKE $1) AND ("t1"."name" IN ($2, $3))) ORDER BY "t1"."name" DESC LIMIT $4 OFFSET $5;

SELECT "t1"."id", "t1"."name", "t1"."born", COUNT("t2"."id") AS "n" FROM "person" AS "t1" LEFT OUTER JOIN "pet" AS "t2" ON ("t2"."owner_id" = "t1"."id") GROUP BY "t1"."id", "t1"."name", "t1"."born" HAVING (COUNT("t2"."id") > $1);

SELECT "t1"."id", "t1"."owner_id", "t1"."name" FROM "pet" AS "t1" WHERE ("t1"."owner_id" IN (SELECT "t2"."id" FROM "person" AS "t2"));

SELECT "t1"."id", "t1"."name", "t1"."born" FROM "person" AS "t1";

UPDATE "pet" SET "name" = ("pet"."name" || $1) WHERE ("pet"."owner_id" = $2);

INSERT INTO "person" ("id", "name") VALUES ($1, $2) ON CONFLICT ("id") DO UPDATE SET "name" = EXCLUDED."name" RETURNING "person"."id";

SELECT c.column_name, c.is_nullable, c.data_type,
                c.column_default,
                pg_catalog.format_type(a.atttypid, a.atttypmod),
                c.is_identity
            FROM information_schema.columns AS c
            INNER JOIN pg_catalog.pg_namespace AS n
                ON (n.nspname = c.table_schema)
            INNER JOIN pg_catalog.pg_class AS t
                ON (t.relname = c.table_name AND t.relnamespace = n.oid)
            INNER JOIN pg_catalog.pg_attribute AS a
                ON (a.attrelid = t.oid AND a.attname = c.column_name)
            WHERE c.table_name = $1
                AND c.table_schema = COALESCE($2, current_schema())
                AND NOT a.attisdropped
            ORDER BY c.ordinal_position;

SELECT kc.column_name
            FROM information_schema.table_constraints AS tc
            INNER JOIN information_schema.key_column_usage AS kc ON (
                tc.table_name = kc.table_name AND
                tc.table_schema = kc.table_schema AND
                tc.constraint_name = kc.constraint_name)
            WHERE
                tc.constraint_type = $1 AND
                tc.table_name = $2 AND
                tc.table_schema = COALESCE($3, current_schema())
            ORDER BY kc.ordinal_position;

SELECT
                i.relname, idxs.indexdef, idx.indisunique,
                ARRAY(
                    SELECT pg_get_indexdef(idx.indexrelid, k + 1, TRUE)
                    FROM generate_subscripts(idx.indkey, 1) AS k
                    ORDER BY k)
            FROM pg_catalog.pg_class AS t
            INNER JOIN pg_catalog.pg_namespace AS n ON t.relnamespace = n.oid
            INNER JOIN pg_catalog.pg_index AS idx ON t.oid = idx.indrelid
            INNER JOIN pg_catalog.pg_class AS i ON idx.indexrelid = i.oid
            INNER JOIN pg_catalog.pg_indexes AS idxs ON (
                idxs.tablename = t.relname
                AND idxs.indexname = i.relname
                AND idxs.schemaname = n.nspname)
            WHERE t.relname = $1 AND t.relkind = $2
                AND n.nspname = COALESCE($3, current_schema())
            ORDER BY idx.indisunique DESC, i.relname;

SELECT DISTINCT
                kcu.column_name, ccu.table_name, ccu.column_name,
                tc.constraint_name, rc.delete_rule, rc.update_rule
            FROM information_schema.table_constraints AS tc
            JOIN information_schema.key_column_usage AS kcu
                ON (tc.constraint_name = kcu.constraint_name AND
                    tc.constraint_schema = kcu.constraint_schema AND
                    tc.table_name = kcu.table_name AND
                    tc.table_schema = kcu.table_schema)
            JOIN information_schema.constraint_column_usage AS ccu
                ON (ccu.constraint_name = tc.constraint_name AND
                    ccu.constraint_schema = tc.constraint_schema)
            JOIN information_schema.referential_constraints AS rc
                ON (rc.constraint_name = tc.constraint_name AND
                    rc.constraint_schema = tc.constraint_schema)
            WHERE
                tc.constraint_type = 'FOREIGN KEY' AND
                tc.table_name = $1 AND
                tc.table_schema = COALESCE($2, current_schema());

SELECT viewname, definition FROM pg_catalog.pg_views WHERE schemaname = COALESCE($1, current_schema()) ORDER BY viewname;

DELETE FROM "person" WHERE ("person"."id" = $1);

SELECT "t1"."id", "t1"."name", "t1"."born" FROM "person" AS "t1" WHERE ("t1"."id" = $1) LIMIT $2 OFFSET $3;

SELECT EXISTS(SELECT 1 FROM "pet" AS "t1" WHERE ("t1"."id" BETWEEN $1 AND $2)) LIMIT $3;
