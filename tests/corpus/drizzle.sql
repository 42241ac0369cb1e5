-- drizzle-orm 0.45.4: node_orms.js
-- By tests/corpus/senders/record.sh; one statement of each shape, parameters as the server got them.

insert into "du" ("id", "name", "at") values (default, $1, default), (default, $2, default) returning "id";

insert into "du" ("id", "name", "at") values (default, $1, default) on conflict ("name") do update set "at" = now();

insert into "dp" ("id", "user_id", "body") values (default, $1, $2);

select "du"."id", "du"."name", "du"."at", "dp"."id", "dp"."user_id", "dp"."body" from "du" left join "dp" on "dp"."user_id" = "du"."id" where ("du"."id" > $1 and ("du"."name" like $2 or "du"."id" in ($3, $4))) order by "du"."id" desc limit $5;

select "user_id", count(*) from "dp" group by "dp"."user_id" having count(*) > 0;

select "users"."id", "users"."name", "users"."at", "users_posts"."data" as "posts" from "du" "users" left join lateral (select coalesce(json_agg(json_build_array("users_posts"."body")), '[]'::json) as "data" from (select * from "dp" "users_posts" where "users_posts"."user_id" = "users"."id" limit $1) "users_posts") "users_posts" on true where "users"."id" = $2;

select "posts"."id", "posts"."user_id", "posts"."body", "posts_user"."data" as "user" from "dp" "posts" left join lateral (select json_build_array("posts_user"."id", "posts_user"."name", "posts_user"."at") as "data" from (select * from "du" "posts_user" where "posts_user"."id" = "posts"."user_id" limit $1) "posts_user") "posts_user" on true limit $2;

with "c" as (select "id", "name", "at" from "du") select "id", "name", "at" from "c";

select "id", "name", "at" from "du" where "du"."id" = $1 for update skip locked;

update "du" set "name" = "du"."name" || '!' where "du"."id" = $1 returning "id", "name", "at";

delete from "dp" where "dp"."id" = $1;
