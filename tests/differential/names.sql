SELECT items.id FROM orders items WHERE items.user_id = 1

SELECT orders.sku FROM items orders WHERE orders.user_id = 1

SELECT o.id FROM orders AS o WHERE orders.user_id = 1

SELECT users.id FROM orders AS users ORDER BY users.id

SELECT id FROM public.orders WHERE user_id = 1

SELECT public.orders.id FROM public.orders WHERE public.orders.user_id = 1

SELECT public.orders.id FROM orders ORDER BY public.orders.id

SELECT "id" FROM "orders" WHERE "user_id" = 1

SELECT ID FROM ORDERS WHERE USER_ID = 1 ORDER BY ID

SELECT "ID" FROM orders

SELECT id FROM "Orders"

SELECT o."id" "from" FROM orders o ORDER BY "from"

SELECT o.id AS "limit", o.qty AS "order" FROM orders o ORDER BY "order" NULLS FIRST, "limit" LIMIT 3

SELECT o.id limit_ FROM orders o ORDER BY limit_ LIMIT 2

SELECT id AS user_id FROM orders WHERE user_id = 1

SELECT id AS user_id, user_id AS id FROM orders ORDER BY user_id

SELECT user_id FROM orders WHERE user_id = 1 GROUP BY user_id

SELECT user_id::text AS user_id, count(*) FROM orders GROUP BY user_id

SELECT qty AS user_id, count(*) FROM orders GROUP BY user_id

SELECT status AS user_id, count(*) FROM orders GROUP BY 1

SELECT 1 AS user_id, count(*) FROM orders GROUP BY orders.user_id

SELECT o.id FROM orders o WHERE o.id = (SELECT max(o.id) FROM orders o WHERE o.user_id = 7)

SELECT o.id FROM orders o WHERE EXISTS (SELECT 1 FROM items o WHERE o.user_id = 1)

SELECT o.id FROM orders o WHERE EXISTS (SELECT 1 FROM items i WHERE user_id = 1 AND o.user_id = i.user_id)

SELECT o.id FROM orders o WHERE EXISTS (SELECT 1 FROM regions WHERE user_id = 1)

SELECT o.id FROM orders o WHERE EXISTS (SELECT 1 FROM items i WHERE i.user_id = user_id)

SELECT o.id FROM orders o WHERE EXISTS (SELECT 1 FROM regions r WHERE r.id = user_id)

SELECT o.id FROM orders o WHERE o.user_id IN (SELECT user_id FROM regions)

SELECT x.id FROM (orders o JOIN regions r ON r.id = o.qty) AS x

SELECT id FROM orders o CROSS JOIN (SELECT 1 AS one) one ORDER BY id

SELECT o.id, o.user_id FROM orders o JOIN orders p USING (user_id, id) ORDER BY id

SELECT a.id FROM orders a, LATERAL (SELECT a.user_id AS user_id) b WHERE b.user_id = 1

SELECT orders FROM (SELECT 1 AS orders) s

SELECT orders.orders FROM (SELECT 2 AS orders) orders

SELECT id FROM shop.public.orders WHERE user_id = 1

SELECT id FROM nosuch.orders WHERE user_id = 1

SELECT * FROM (SELECT * FROM orders) AS o WHERE o.user_id = 2

SELECT * FROM (SELECT o.*, 1 AS one FROM orders o) AS q WHERE q.user_id = 2

SELECT * FROM (SELECT o.user_id, i.user_id FROM orders o JOIN items i ON i.user_id = o.user_id) s (a, b) WHERE a = 1

SELECT t.user_id FROM (SELECT o.user_id, i.qty FROM orders o JOIN items i USING (user_id)) t WHERE t.user_id = 7
