-- Django 5.2.19, its ORM and migrations: django_orm.py
-- By tests/corpus/senders/record.sh; one statement of each shape, parameters as the server got them.

SELECT set_config('TimeZone', 'UTC', false);

SELECT
                c.relname,
                CASE
                    WHEN c.relispartition THEN 'p'
                    WHEN c.relkind IN ('m', 'v') THEN 'v'
                    ELSE 't'
                END,
                obj_description(c.oid, 'pg_class')
            FROM pg_catalog.pg_class c
            LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind IN ('f', 'm', 'p', 'r', 'v')
                AND n.nspname NOT IN ('pg_catalog', 'pg_toast')
                AND pg_catalog.pg_table_is_visible(c.oid);

INSERT INTO "django_migrations" ("app", "name", "applied") VALUES ('contenttypes', '0001_initial', '2026-11-22 15:28:05.316094+00:00'::timestamptz) RETURNING "django_migrations"."id";

SELECT "django_migrations"."id", "django_migrations"."app", "django_migrations"."name", "django_migrations"."applied" FROM "django_migrations";

SELECT "django_content_type"."id", "django_content_type"."app_label", "django_content_type"."model" FROM "django_content_type" WHERE "django_content_type"."app_label" = 'contenttypes';

INSERT INTO "django_content_type" ("app_label", "model") VALUES ('contenttypes', 'contenttype') RETURNING "django_content_type"."id";

SELECT "django_content_type"."id", "django_content_type"."app_label", "django_content_type"."model" FROM "django_content_type" WHERE ("django_content_type"."app_label" = 'contenttypes' AND "django_content_type"."model" IN ('contenttype'));

SELECT "auth_permission"."content_type_id" AS "content_type", "auth_permission"."codename" AS "codename" FROM "auth_permission" INNER JOIN "django_content_type" ON ("auth_permission"."content_type_id" = "django_content_type"."id") WHERE "auth_permission"."content_type_id" IN (1) ORDER BY "django_content_type"."app_label" ASC, "django_content_type"."model" ASC, 2 ASC;

INSERT INTO "auth_permission" ("name", "content_type_id", "codename") SELECT * FROM UNNEST(('{"Can add content type","Can change content type","Can delete content type","Can view content type"}')::varchar[], ('{1,1,1,1}'::int2[])::integer[], ('{add_contenttype,change_contenttype,delete_contenttype,view_contenttype}')::varchar[]) RETURNING "auth_permission"."id";

INSERT INTO "django_content_type" ("app_label", "model") SELECT * FROM UNNEST(('{auth,auth,auth}')::varchar[], ('{permission,group,user}')::varchar[]) RETURNING "django_content_type"."id";

SELECT
                a.attname AS column_name,
                NOT (a.attnotnull OR (t.typtype = 'd' AND t.typnotnull)) AS is_nullable,
                pg_get_expr(ad.adbin, ad.adrelid) AS column_default,
                CASE WHEN collname = 'default' THEN NULL ELSE collname END AS collation,
                a.attidentity != '' AS is_autofield,
                col_description(a.attrelid, a.attnum) AS column_comment
            FROM pg_attribute a
            LEFT JOIN pg_attrdef ad ON a.attrelid = ad.adrelid AND a.attnum = ad.adnum
            LEFT JOIN pg_collation co ON a.attcollation = co.oid
            JOIN pg_type t ON a.atttypid = t.oid
            JOIN pg_class c ON a.attrelid = c.oid
            JOIN pg_namespace n ON c.relnamespace = n.oid
            WHERE c.relkind IN ('f', 'm', 'p', 'r', 'v')
                AND c.relname = 'shop_order'
                AND n.nspname NOT IN ('pg_catalog', 'pg_toast')
                AND pg_catalog.pg_table_is_visible(c.oid);

SELECT * FROM "shop_order" LIMIT 1;

SELECT
                c.conname,
                array(
                    SELECT attname
                    FROM unnest(c.conkey) WITH ORDINALITY cols(colid, arridx)
                    JOIN pg_attribute AS ca ON cols.colid = ca.attnum
                    WHERE ca.attrelid = c.conrelid
                    ORDER BY cols.arridx
                ),
                c.contype,
                (SELECT fkc.relname || '.' || fka.attname
                FROM pg_attribute AS fka
                JOIN pg_class AS fkc ON fka.attrelid = fkc.oid
                WHERE fka.attrelid = c.confrelid AND fka.attnum = c.confkey[1]),
                cl.reloptions
            FROM pg_constraint AS c
            JOIN pg_class AS cl ON c.conrelid = cl.oid
            WHERE cl.relname = 'shop_order' AND pg_catalog.pg_table_is_visible(cl.oid);

SELECT
                indexname,
                array_agg(attname ORDER BY arridx),
                indisunique,
                indisprimary,
                array_agg(ordering ORDER BY arridx),
                amname,
                exprdef,
                s2.attoptions
            FROM (
                SELECT
                    c2.relname as indexname, idx.*, attr.attname, am.amname,
                    CASE
                        WHEN idx.indexprs IS NOT NULL THEN
                            pg_get_indexdef(idx.indexrelid)
                    END AS exprdef,
                    CASE am.amname
                        WHEN 'btree' THEN
                            CASE (option & 1)
                                WHEN 1 THEN 'DESC' ELSE 'ASC'
                            END
                    END as ordering,
                    c2.reloptions as attoptions
                FROM (
                    SELECT *
                    FROM
                        pg_index i,
                        unnest(i.indkey, i.indoption)
                            WITH ORDINALITY koi(key, option, arridx)
                ) idx
                LEFT JOIN pg_class c ON idx.indrelid = c.oid
                LEFT JOIN pg_class c2 ON idx.indexrelid = c2.oid
                LEFT JOIN pg_am am ON c2.relam = am.oid
                LEFT JOIN
                    pg_attribute attr ON attr.attrelid = c.oid AND attr.attnum = idx.key
                WHERE c.relname = 'shop_order' AND pg_catalog.pg_table_is_visible(c.oid)
            ) s2
            GROUP BY indexname, indisunique, indisprimary, amname, exprdef, attoptions;

SELECT
                s.relname AS sequence_name,
                a.attname AS colname
            FROM
                pg_class s
                JOIN pg_depend d ON d.objid = s.oid
                    AND d.classid = 'pg_class'::regclass
                    AND d.refclassid = 'pg_class'::regclass
                JOIN pg_attribute a ON d.refobjid = a.attrelid
                    AND d.refobjsubid = a.attnum
                JOIN pg_class tbl ON tbl.oid = d.refobjid
                    AND tbl.relname = 'shop_order'
                    AND pg_catalog.pg_table_is_visible(tbl.oid)
            WHERE
                s.relkind = 'S';

SELECT * FROM "shop_customer" LIMIT 1;

INSERT INTO "shop_customer" ("name", "email", "joined") VALUES ('ann', 'ann@x', '2026-11-22 15:28:05.698014+00:00'::timestamptz) RETURNING "shop_customer"."id";

INSERT INTO "shop_customer" ("name", "email", "joined") SELECT * FROM UNNEST(('{c0,c1,c2,c3,c4}')::varchar[], ('{c0@x,c1@x,c2@x,c3@x,c4@x}')::varchar[], ('{"2026-11-22 15:28:05.699061+00:00","2026-11-22 15:28:05.699077+00:00","2026-11-22 15:28:05.699082+00:00","2026-11-22 15:28:05.699086+00:00","2026-11-22 15:28:05.699090+00:00"}'::timestamptz[])::timestamp with time zone[]) RETURNING "shop_customer"."id";

INSERT INTO "shop_customer" ("name", "email", "joined") VALUES ('ann', 'ann@x', '2026-11-22 15:28:05.714710+00:00'::timestamptz) ON CONFLICT("email") DO UPDATE SET "name" = EXCLUDED."name" RETURNING "shop_customer"."id";

INSERT INTO "shop_customer" ("name", "email", "joined") VALUES ('ann', 'ann@x', '2026-11-22 15:28:05.715681+00:00'::timestamptz) ON CONFLICT DO NOTHING;

SELECT "shop_customer"."id", "shop_customer"."name", "shop_customer"."email", "shop_customer"."joined" FROM "shop_customer" WHERE "shop_customer"."email" = 'bob@x' LIMIT 21;

SELECT "shop_customer"."id", "shop_customer"."name", "shop_customer"."email", "shop_customer"."joined" FROM "shop_customer" WHERE "shop_customer"."email" = 'bob@x' LIMIT 21 FOR UPDATE;

UPDATE "shop_customer" SET "name" = 'Bob', "joined" = '2026-11-22 15:28:05.717006+00:00'::timestamptz WHERE "shop_customer"."id" = 9;

INSERT INTO "shop_order" ("customer_id", "total", "status", "tags", "placed") SELECT * FROM UNNEST(('{1,1,1,1,1,1,1,1,1}'::int2[])::bigint[], ('{0,1,2,3,4,5,6,7,8}'::numeric[])::numeric[], ('{new,new,new,new,new,new,new,new,new}')::varchar[], ( E'{"{\\"n\\": 0}","{\\"n\\": 1}","{\\"n\\": 2}","{\\"n\\": 3}","{\\"n\\": 4}","{\\"n\\": 5}","{\\"n\\": 6}","{\\"n\\": 7}","{\\"n\\": 8}"}'::jsonb[])::jsonb[], ('{"2026-11-22 15:28:05.724844+00:00","2026-11-22 15:28:05.724880+00:00","2026-11-22 15:28:05.724889+00:00","2026-11-22 15:28:05.724898+00:00","2026-11-22 15:28:05.724906+00:00","2026-11-22 15:28:05.724913+00:00","2026-11-22 15:28:05.724922+00:00","2026-11-22 15:28:05.724934+00:00","2026-11-22 15:28:05.724942+00:00"}'::timestamptz[])::timestamp with time zone[]) RETURNING "shop_order"."id";

SELECT "shop_order"."id", "shop_order"."customer_id", "shop_order"."total", "shop_order"."status", "shop_order"."tags", "shop_order"."placed" FROM "shop_order" WHERE ("shop_order"."customer_id" = 1 AND "shop_order"."status" IN ('new', 'paid')) ORDER BY "shop_order"."placed" DESC, "shop_order"."id" ASC LIMIT 5;

SELECT "shop_order"."id", "shop_order"."customer_id", "shop_order"."total", "shop_order"."status", "shop_order"."tags", "shop_order"."placed", "shop_customer"."id", "shop_customer"."name", "shop_customer"."email", "shop_customer"."joined" FROM "shop_order" INNER JOIN "shop_customer" ON ("shop_order"."customer_id" = "shop_customer"."id") WHERE "shop_order"."customer_id" = 1 ORDER BY "shop_order"."placed" DESC, "shop_order"."id" ASC LIMIT 2 OFFSET 2;

SELECT "shop_customer"."id", "shop_customer"."name", "shop_customer"."email", "shop_customer"."joined" FROM "shop_customer";

SELECT "shop_order"."id", "shop_order"."customer_id", "shop_order"."total", "shop_order"."status", "shop_order"."tags", "shop_order"."placed" FROM "shop_order" WHERE "shop_order"."customer_id" IN (2, 3, 4, 5, 6, 1, 9) ORDER BY "shop_order"."placed" DESC, "shop_order"."id" ASC;

SELECT DISTINCT "shop_order"."id", "shop_order"."customer_id", "shop_order"."total", "shop_order"."status", "shop_order"."tags", "shop_order"."placed" FROM "shop_order" INNER JOIN "shop_customer" ON ("shop_order"."customer_id" = "shop_customer"."id") WHERE (("shop_order"."status" = 'new' OR "shop_order"."total" > 5) AND NOT (UPPER("shop_customer"."name"::text) LIKE UPPER('%z%'))) ORDER BY "shop_order"."placed" DESC, "shop_order"."id" ASC;

SELECT "shop_order"."id", "shop_order"."customer_id", "shop_order"."total", "shop_order"."status", "shop_order"."tags", "shop_order"."placed" FROM "shop_order" WHERE ("shop_order"."tags" -> 'n') = '3'::jsonb ORDER BY "shop_order"."placed" DESC, "shop_order"."id" ASC;

SELECT "shop_order"."id", "shop_order"."customer_id", "shop_order"."total", "shop_order"."status", "shop_order"."tags", "shop_order"."placed" FROM "shop_order" WHERE "shop_order"."tags" @> '{"n": 1}'::jsonb ORDER BY "shop_order"."placed" DESC, "shop_order"."id" ASC;

SELECT "shop_order"."id" AS "id" FROM "shop_order" WHERE (EXTRACT(MONTH FROM "shop_order"."placed" AT TIME ZONE 'America/Chicago') >= 2 AND "shop_order"."placed" BETWEEN '2026-01-01 00:00:00-06:00'::timestamptz AND '2026-12-31 23:59:59.999999-06:00'::timestamptz) ORDER BY "shop_order"."placed" DESC, 1 ASC;

SELECT "shop_customer"."id", "shop_customer"."name", "shop_customer"."email", "shop_customer"."joined", COUNT("shop_order"."id") AS "n", COALESCE(SUM("shop_order"."total"), 0) AS "s" FROM "shop_customer" LEFT OUTER JOIN "shop_order" ON ("shop_customer"."id" = "shop_order"."customer_id") GROUP BY "shop_customer"."id" HAVING COUNT("shop_order"."id") > 1 ORDER BY 6 DESC;

SELECT DATE_TRUNC('month', "shop_order"."placed" AT TIME ZONE 'America/Chicago') AS "month", SUM("shop_order"."total") AS "total__sum", AVG("shop_order"."total") AS "total__avg" FROM "shop_order" GROUP BY 1 ORDER BY 1 ASC;

SELECT * FROM ( SELECT "shop_order"."id" AS "col1", "shop_order"."customer_id" AS "col2", "shop_order"."total" AS "col3", "shop_order"."status" AS "col4", "shop_order"."tags" AS "col5", "shop_order"."placed" AS "col6", ROW_NUMBER() OVER (PARTITION BY "shop_order"."customer_id" ORDER BY "shop_order"."total" DESC) AS "r" FROM "shop_order" ORDER BY "shop_order"."placed" DESC, "shop_order"."id" ASC ) "qualify" WHERE "r" <= 2 ORDER BY "col6" DESC, "col1" ASC;

SELECT "shop_customer"."id", "shop_customer"."name", "shop_customer"."email", "shop_customer"."joined" FROM "shop_customer" WHERE EXISTS(SELECT 1 AS "a" FROM "shop_order" U0 WHERE (U0."customer_id" = ("shop_customer"."id") AND U0."status" = 'new') LIMIT 1);

SELECT "shop_customer"."id", "shop_customer"."name", "shop_customer"."email", "shop_customer"."joined", (SELECT U0."total" AS "total" FROM "shop_order" U0 WHERE U0."customer_id" = ("shop_customer"."id") ORDER BY U0."placed" DESC, U0."id" ASC LIMIT 1) AS "last" FROM "shop_customer";

SELECT "shop_customer"."id", "shop_customer"."name", "shop_customer"."email", "shop_customer"."joined", LOWER("shop_customer"."name") AS "l" FROM "shop_customer" ORDER BY 5 ASC NULLS LAST;

(SELECT "shop_order"."status" AS "status" FROM "shop_order" ORDER BY "shop_order"."placed" DESC, "shop_order"."id" ASC) UNION ALL (SELECT "shop_order"."status" AS "status" FROM "shop_order" ORDER BY "shop_order"."placed" DESC, "shop_order"."id" ASC);

(SELECT "shop_order"."id" AS "id" FROM "shop_order" ORDER BY "shop_order"."placed" DESC, 1 ASC) EXCEPT (SELECT "shop_order"."id" AS "id" FROM "shop_order" WHERE "shop_order"."total" < 3 ORDER BY "shop_order"."placed" DESC, 1 ASC);

SELECT * FROM shop_order WHERE customer_id = 1;

SELECT COUNT("shop_order"."id") FILTER (WHERE "shop_order"."total" > 4) AS "big", SUM("shop_order"."total") AS "total__sum", COUNT(DISTINCT "shop_order"."id") AS "id__count" FROM "shop_order";

SELECT 1 AS "a" FROM "shop_order" WHERE "shop_order"."id" = 1 LIMIT 1;

SELECT COUNT(*) AS "__count" FROM "shop_order";

SELECT "shop_order"."id", "shop_order"."customer_id", "shop_order"."total", "shop_order"."status", "shop_order"."tags", "shop_order"."placed" FROM "shop_order" ORDER BY "shop_order"."placed" DESC, "shop_order"."id" ASC LIMIT 1;

SELECT "shop_order"."id", "shop_order"."customer_id", "shop_order"."total", "shop_order"."status", "shop_order"."tags", "shop_order"."placed" FROM "shop_order" ORDER BY "shop_order"."placed" ASC, "shop_order"."id" DESC LIMIT 1;

UPDATE "shop_order" SET "status" = CASE WHEN ("shop_order"."total" = 1) THEN 'one' ELSE "shop_order"."status" END, "total" = ("shop_order"."total" + 1) WHERE "shop_order"."total" < 3;

UPDATE "shop_order" SET "status" = (CASE WHEN ("shop_order"."id" = 1) THEN 'new' WHEN ("shop_order"."id" = 2) THEN 'new' WHEN ("shop_order"."id" = 3) THEN 'new' ELSE NULL END)::varchar(20), "total" = (CASE WHEN ("shop_order"."id" = 1) THEN 0 WHEN ("shop_order"."id" = 2) THEN 1 WHEN ("shop_order"."id" = 3) THEN 2 ELSE NULL END)::numeric(12, 2) WHERE "shop_order"."id" IN (1, 2, 3);

SELECT "shop_order"."id", "shop_order"."customer_id", "shop_order"."total", "shop_order"."status", "shop_order"."tags", "shop_order"."placed" FROM "shop_order" WHERE "shop_order"."id" = 1 LIMIT 21 FOR UPDATE OF "shop_order" SKIP LOCKED;

UPDATE "shop_order" SET "status" = 'paid' WHERE "shop_order"."id" = 1;

SELECT "shop_order"."id", "shop_order"."customer_id", "shop_order"."total", "shop_order"."status", "shop_order"."tags", "shop_order"."placed" FROM "shop_order" WHERE "shop_order"."id" IN (1, 2, 3, 4, 5, 6, 7, 8, 9) ORDER BY "shop_order"."placed" DESC, "shop_order"."id" ASC;

DELETE FROM "shop_order" WHERE "shop_order"."total" = 8;

DELETE FROM "shop_order" WHERE "shop_order"."customer_id" IN (1);

DELETE FROM "shop_customer" WHERE "shop_customer"."id" IN (1);
