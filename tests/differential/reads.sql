SELECT 1

SELECT 1 AS a, 'x' AS b, NULL AS c, 1.5, true

SELECT version() = version()

SELECT current_database() IS NOT NULL

SELECT * FROM users ORDER BY id

SELECT name, count(*) OVER () FROM users ORDER BY id

SELECT status, array_agg(id ORDER BY id) FROM orders WHERE user_id = 1 GROUP BY status HAVING count(*) > 0

SELECT o.id, o.total, i.sku FROM orders o JOIN items i ON i.user_id = o.user_id AND i.order_id = o.id WHERE o.user_id IN (1, 2, 7) ORDER BY o.id, i.line

SELECT u.name, n.body FROM users u LEFT JOIN notes n ON n.user_id = u.id ORDER BY u.id, n.id

WITH x AS (SELECT user_id, count(*) AS n FROM orders GROUP BY user_id) SELECT * FROM x WHERE n > 1

WITH x AS (SELECT * FROM orders WHERE user_id = 1) SELECT count(*) FROM x

WITH x AS (SELECT * FROM orders) SELECT count(*) FROM x

WITH x AS (SELECT * FROM orders) SELECT a.id FROM x a JOIN x b ON a.user_id = b.user_id

WITH x AS (SELECT * FROM orders) SELECT a.id FROM x a JOIN x b ON a.qty = b.qty

WITH x AS MATERIALIZED (SELECT * FROM orders) SELECT id FROM x WHERE user_id = 1

WITH orders AS (SELECT 1 AS id) SELECT * FROM orders

WITH orders AS (SELECT * FROM orders WHERE user_id = 1) SELECT id FROM orders

WITH users AS (SELECT * FROM orders) SELECT count(*) FROM users

WITH a AS (SELECT id FROM orders), b AS (SELECT id FROM a WHERE id > 5) SELECT count(*) FROM b

WITH a AS (WITH users AS (SELECT 1 AS one) SELECT * FROM users) SELECT * FROM a, users WHERE users.id = 1

WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT * FROM n

WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT o.id, n.i FROM orders o JOIN n ON n.i = o.id

WITH RECURSIVE t AS (SELECT id FROM orders WHERE user_id = 1 UNION SELECT id FROM orders WHERE user_id = 1) SELECT * FROM t

WITH RECURSIVE a AS (SELECT * FROM regions), regions AS (SELECT 1 AS id) SELECT count(*) FROM a

WITH RECURSIVE a AS (SELECT * FROM orders), orders AS (SELECT 1 AS id) SELECT count(*) FROM a

WITH a AS (SELECT count(*) AS n FROM orders), orders AS (SELECT 1 AS id) SELECT n FROM a

WITH x (k, v) AS (SELECT user_id, id FROM orders) SELECT k FROM x WHERE k = 1

WITH x (k, v) AS (SELECT user_id, id FROM orders) SELECT k, count(*) FROM x GROUP BY k

WITH unused AS (SELECT count(*) FROM items) SELECT id FROM orders WHERE user_id = 1

SELECT s.k FROM (SELECT user_id, id FROM orders) s (k, v) WHERE k = 1

SELECT * FROM orders o (a, b) WHERE b = 1

SELECT * FROM orders AS o (a, b, c, d) ORDER BY a

SELECT count(*) FROM orders o (id, user_id) WHERE user_id = 2

SELECT id, user_id FROM (SELECT id AS user_id, user_id AS id FROM orders) x WHERE user_id = 1

SELECT id FROM (SELECT id AS user_id, user_id AS id FROM orders) x WHERE id = 1

SELECT o.id FROM orders o JOIN (SELECT user_id, max(id) AS m FROM orders GROUP BY user_id) s ON s.user_id = o.user_id AND s.m = o.id

SELECT o.id FROM orders o JOIN (SELECT max(id) AS m FROM orders) s ON s.m = o.id

SELECT o.id, x.* FROM orders o LEFT JOIN (items i JOIN regions r ON r.id = i.qty) ON i.user_id = o.user_id, (VALUES (1)) x (one)

SELECT o.id, i.line, j.line FROM orders o JOIN items i ON i.user_id = o.user_id LEFT JOIN items j ON j.user_id = i.user_id AND j.line = 2

SELECT o.id, i.line, j.line FROM orders o LEFT JOIN items i ON i.user_id = o.user_id LEFT JOIN items j ON j.user_id = i.user_id

SELECT o.id, i.line, j.line FROM orders o LEFT JOIN items i ON i.user_id = o.user_id RIGHT JOIN items j ON j.user_id = i.user_id

SELECT o.id FROM orders o LEFT JOIN (SELECT user_id, count(*) AS n FROM items GROUP BY user_id) s ON s.user_id = o.user_id WHERE s.n IS NULL

SELECT id, extract(year FROM placed) FROM orders ORDER BY id

SELECT id, placed AT TIME ZONE 'Asia/Shanghai' FROM orders ORDER BY id

SELECT id, to_char(total, '999.99') FROM orders WHERE user_id < 5 ORDER BY id

SELECT id, total::text, qty::numeric FROM orders ORDER BY id

SELECT id, coalesce(code, 'none') AS code FROM orders ORDER BY id

SELECT id, coalesce(code, 'none') AS code FROM orders ORDER BY code COLLATE "C", id

SELECT id, code IS NULL AS missing FROM orders ORDER BY missing, id

SELECT ARRAY(SELECT line FROM items i WHERE i.user_id = o.user_id ORDER BY order_id, line) FROM orders o ORDER BY o.id

SELECT id, ARRAY[id, user_id] FROM orders ORDER BY id

SELECT ROW(id, user_id) FROM orders ORDER BY id

SELECT o FROM orders o WHERE user_id = 1

SELECT o.* FROM orders o ORDER BY o.user_id, o.id

SELECT jsonb_build_object('id', id) FROM orders ORDER BY id

SELECT jsonb_build_object('id', id) AS j FROM orders ORDER BY j

SELECT id, qty > 1 AND paid FROM orders ORDER BY id

SELECT id FROM orders WHERE paid ORDER BY id

SELECT id FROM orders WHERE NOT paid OR paid IS NULL ORDER BY id DESC

SELECT count(*) FROM orders WHERE status ILIKE 'paid%'

SELECT count(*) FROM orders WHERE status SIMILAR TO 'p%'

SELECT count(*), count(DISTINCT id) FROM orders WHERE user_id = 7

SELECT length(status) AS l, count(*) FROM orders GROUP BY length(status) ORDER BY l NULLS FIRST

SELECT placed::date AS d, count(*) FROM orders GROUP BY placed::date ORDER BY d

SELECT date_trunc('month', placed) AS m, sum(total), avg(total) FROM orders GROUP BY m ORDER BY m DESC LIMIT 3

SELECT user_id % 3 AS g, max(id), min(total) FROM orders GROUP BY user_id % 3 ORDER BY g

SELECT paid, qty, count(*) FROM orders GROUP BY paid, qty ORDER BY paid, qty

SELECT paid AS p, count(*) AS c FROM orders GROUP BY p ORDER BY c DESC, p LIMIT 2 OFFSET 1

SELECT sum(price * qty) FROM items

SELECT sum(price * qty) AS revenue, sku FROM items GROUP BY sku ORDER BY revenue DESC NULLS LAST, sku

SELECT sku, avg(price) FROM items GROUP BY sku ORDER BY sku

SELECT avg(price), avg(line), sum(line) FROM items

SELECT max(sku COLLATE "C") FROM items

SELECT count(*) FROM orders o JOIN items i ON i.user_id = o.user_id AND i.order_id = o.id

SELECT o.status, sum(i.qty) FROM orders o JOIN items i ON i.user_id = o.user_id AND i.order_id = o.id GROUP BY o.status

SELECT r.name, count(*) FROM orders o JOIN regions r ON r.id = o.qty GROUP BY r.name ORDER BY r.name

SELECT r.name, count(*) FROM orders o LEFT JOIN regions r ON r.id = o.qty GROUP BY r.name ORDER BY r.name NULLS FIRST

SELECT * FROM regions ORDER BY id

SELECT count(*) FROM regions

SELECT "Order" FROM regions ORDER BY "Order"

SELECT r."Order" AS "Group", count(*) FROM regions r JOIN orders o ON o.qty = r.id GROUP BY "Group" ORDER BY "Group"

SELECT generate_series(1, 3)

SELECT id, generate_series(1, 2) AS g FROM orders ORDER BY id, g

SELECT EXISTS (SELECT 1 FROM orders WHERE user_id = 1)

SELECT EXISTS (SELECT 1 FROM orders)

SELECT NULLIF(id, 1), GREATEST(id, 5), LEAST(qty, 1) FROM orders ORDER BY id

SELECT id FROM orders WHERE id = ANY (SELECT 1)

SELECT id FROM orders WHERE user_id = ANY (SELECT user_id FROM items)

SELECT id FROM orders WHERE (user_id, id) IN (SELECT user_id, order_id FROM items)

SELECT id FROM orders WHERE (user_id, id) NOT IN (SELECT user_id, order_id FROM items)

SELECT max(id) FROM orders WHERE user_id = 1 GROUP BY ()

SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY qty) FROM orders

SELECT grouping(qty), qty, count(*) FROM orders WHERE user_id = 1 GROUP BY ROLLUP (qty) ORDER BY 1, 2

SELECT id, (SELECT name FROM regions r WHERE r.id = o.qty) FROM orders o ORDER BY id

SELECT (SELECT name FROM users WHERE id = 1)

SELECT id, (SELECT name FROM users u WHERE u.id = o.user_id) FROM orders o

SELECT n.body, (SELECT count(*) FROM users) FROM notes n ORDER BY n.id

SELECT count(*) FROM pg_class WHERE relname = 'users'

SELECT id, random() >= 0 FROM orders ORDER BY id

SELECT now() > '2020-01-01', id FROM orders ORDER BY id

SELECT now() = now() FROM orders WHERE id = 1

SELECT count(now()) FROM orders

SELECT id FROM orders WHERE placed < now() ORDER BY id

SELECT id FROM orders WHERE placed < CURRENT_TIMESTAMP AND day < CURRENT_DATE ORDER BY id

SELECT day > CURRENT_DATE AS later FROM orders ORDER BY later, id

SELECT c FROM (SELECT CURRENT_DATE IS NOT NULL AS c FROM orders) s

SELECT "now" IS NOT NULL FROM (SELECT now() FROM orders) s

SELECT count(*) FROM (SELECT now() FROM orders) s

SELECT 1 WHERE EXISTS (SELECT 1 FROM orders WHERE user_id = 99)

SELECT id FROM orders WHERE user_id = 1 UNION SELECT id FROM orders WHERE user_id = 1 ORDER BY 1

SELECT id FROM orders WHERE nosuch = 1

SELECT nosuch FROM orders WHERE user_id = 1

SELECT * FROM nosuch

SELECT 1 / 0 FROM orders

SELECT 1 / qty FROM orders

SELEC 1

SELECT id FROM orders WHERE

SELECT user_id FROM orders o, items i WHERE o.user_id = i.user_id

SELECT count(*) FROM orders GROUP BY nosuch
