-- knex 3.3.0: node_orms.js
-- By tests/corpus/senders/record.sh; one statement of each shape, parameters as the server got them.

select version();

select * from information_schema.tables where table_name = $1 and table_schema = current_schema();

select * from information_schema.columns where table_name = $1 and column_name = $2 and table_schema = current_schema();

select * from information_schema.columns where table_name = $1 and table_catalog = current_database() and table_schema = current_schema();

insert into "kt" ("g", "name") values ($1, $2), ($3, $4) returning "id";

insert into "kt" ("g", "name") values ($1, $2) on conflict ("name") do update set "g" = excluded."g", "name" = excluded."name";

insert into "kt" ("name") values ($1) on conflict do nothing;

select * from "kt" where "g" = $1 or "id" in ($2, $3) and not "name" = $4 order by "id" desc limit $5 offset $6;

select "x".*, "y"."name" as "other" from "kt" as "x" inner join "kt" as "y" on "x"."id" = "y"."id" left join "kt" as "z" on "z"."id" = "x"."id" and "z"."g" = $1;

select count(*) as "n", sum("id") from "kt" group by "g" having count(*) > $1;

with "c" as (select * from "kt" where "g" = $1) select * from "c" union all select * from "kt";

select * from "kt" where exists (select 1 from "kt" as "i" where i.id = kt.id) and "id" between $1 and $2 limit $3;

select * from "kt" where "j" = $1;

select distinct on ("g") * from "kt" order by "g" asc;

select * from "kt" where "id" = $1 for update skip locked;

update "kt" set "g" = "g" + 1;

delete from "kt" where "id" > $1;
