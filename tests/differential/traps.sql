# LIMIT and OFFSET
--! count-only
SELECT id FROM orders LIMIT 5

--! count-only
SELECT id FROM orders LIMIT 5 OFFSET 14

SELECT id FROM orders ORDER BY id LIMIT 3 OFFSET 2

SELECT id FROM orders ORDER BY id OFFSET 12

SELECT id FROM orders ORDER BY id LIMIT 5::int

SELECT id FROM orders ORDER BY id LIMIT ALL

SELECT id FROM orders ORDER BY id LIMIT NULL OFFSET NULL

SELECT id FROM orders ORDER BY id LIMIT 0

SELECT id FROM orders ORDER BY id LIMIT 2.5

SELECT id FROM orders ORDER BY id LIMIT '3'

SELECT id FROM orders ORDER BY id LIMIT -1

SELECT id FROM orders ORDER BY id OFFSET -1

SELECT id FROM orders ORDER BY id LIMIT 1 + 1

SELECT id FROM orders ORDER BY id LIMIT (SELECT 2)

SELECT id FROM orders ORDER BY id FETCH FIRST 3 ROWS ONLY

SELECT id FROM orders ORDER BY id FETCH FIRST ROW ONLY

SELECT id FROM orders ORDER BY id OFFSET 2 ROWS FETCH NEXT 2 ROWS ONLY

SELECT total FROM orders ORDER BY total FETCH FIRST 4 ROWS WITH TIES

SELECT id FROM orders ORDER BY id LIMIT 9223372036854775807 OFFSET 5

SELECT id FROM orders ORDER BY id LIMIT 99999999999999999999

--! once
SELECT id FROM orders ORDER BY id FOR UPDATE LIMIT 2

--! once
SELECT id FROM orders ORDER BY id LIMIT 2 FOR UPDATE

--! once
SELECT id FROM orders WHERE user_id = 1 ORDER BY id FOR UPDATE LIMIT 1

--! once
SELECT id FROM orders WHERE user_id = 1 FOR NO KEY UPDATE SKIP LOCKED

# ORDER BY
SELECT code FROM orders ORDER BY code, id

SELECT id, code FROM orders ORDER BY code DESC, id DESC

SELECT id, code FROM orders ORDER BY code NULLS FIRST, id

SELECT id, total FROM orders ORDER BY total DESC NULLS LAST, id

SELECT id FROM orders ORDER BY status, id

SELECT id, status FROM orders ORDER BY status COLLATE "C", id

SELECT id FROM orders ORDER BY total * 2, id

SELECT id FROM orders ORDER BY -id

SELECT id FROM orders ORDER BY lower(code), id

SELECT id AS total FROM orders ORDER BY total

SELECT id AS x FROM orders ORDER BY x + 1

SELECT total AS id, id AS total FROM orders ORDER BY id, total

SELECT id::text FROM orders ORDER BY id

SELECT -id AS id FROM orders ORDER BY id

SELECT CASE WHEN paid THEN id ELSE id END FROM orders ORDER BY id

SELECT CASE WHEN paid THEN -id ELSE user_id END FROM orders ORDER BY user_id, id

SELECT *, -id AS id2 FROM orders ORDER BY id2

SELECT r.*, -o.id AS id3 FROM orders o JOIN regions r ON r.id = o.qty ORDER BY id3

SELECT r.name, -o.id AS user_id FROM orders o JOIN regions r ON r.id = o.qty ORDER BY user_id

SELECT i.*, -o.id AS id FROM orders o JOIN items i ON i.user_id = o.user_id ORDER BY id, i.order_id, i.line

SELECT i.* FROM orders o JOIN items i ON i.user_id = o.user_id AND i.order_id = o.id ORDER BY order_id, line

SELECT o.*, i.line FROM orders o JOIN items i ON i.user_id = o.user_id AND i.order_id = o.id ORDER BY o.id, i.line

SELECT * FROM orders ORDER BY 1, 2

SELECT * FROM orders ORDER BY id

SELECT id, qty FROM orders ORDER BY 2, 1

SELECT id, qty FROM orders ORDER BY 1 DESC

SELECT id, qty FROM orders ORDER BY 3

SELECT id FROM orders ORDER BY 'a'

SELECT id FROM orders ORDER BY -1

SELECT id FROM orders ORDER BY (1)

SELECT id FROM orders ORDER BY ratio, id

SELECT id FROM orders ORDER BY paid, id DESC

SELECT id FROM orders ORDER BY placed, id

SELECT id FROM orders ORDER BY o.id LIMIT 1

SELECT id FROM orders ORDER BY row_number() OVER (ORDER BY total DESC NULLS LAST, id)

SELECT id + 2 FROM orders ORDER BY id + 2

SELECT id + 2, -id + 1 FROM orders ORDER BY id + 1

SELECT id + 1, -id + 1 FROM orders ORDER BY id + 1

SELECT -id + 2 AS "id + 1" FROM orders ORDER BY id + 1

SELECT qty % 3, id FROM orders ORDER BY qty % 3, id

SELECT qty % 2, id FROM orders ORDER BY qty % 3, id

# GROUP BY
SELECT status, count(*) FROM orders GROUP BY status

SELECT status AS s, count(*) FROM orders GROUP BY s

SELECT status, count(*) FROM orders GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 2

SELECT qty, count(*) FROM orders GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 2

SELECT qty, count(*) AS n FROM orders GROUP BY qty ORDER BY n DESC, qty LIMIT 3

SELECT lower(status), count(*) FROM orders GROUP BY lower(status)

SELECT lower(status) AS status, count(*) FROM orders GROUP BY status

SELECT qty % 2 AS qty, count(*) FROM orders GROUP BY qty

SELECT qty % 2 AS q, count(*) FROM orders GROUP BY q

SELECT qty % 2, count(*) FROM orders GROUP BY qty % 2

SELECT qty % 2, count(*) FROM orders GROUP BY qty % 3

SELECT total, count(*) FROM orders GROUP BY total ORDER BY total

SELECT code, count(*) FROM orders GROUP BY code ORDER BY code

SELECT user_id, count(*) FROM orders GROUP BY user_id HAVING count(*) > 1 ORDER BY user_id

SELECT status, count(*) FROM orders GROUP BY status HAVING count(*) > 1

SELECT user_id, status FROM orders GROUP BY user_id, status

SELECT user_id, id, total FROM orders GROUP BY user_id, id

SELECT i.user_id, count(*) FROM orders o LEFT JOIN items i ON i.user_id = o.user_id GROUP BY i.user_id

SELECT o.user_id, count(i.line) FROM orders o LEFT JOIN items i ON i.user_id = o.user_id GROUP BY o.user_id

SELECT DISTINCT i.user_id FROM orders o LEFT JOIN items i ON i.user_id = o.user_id

SELECT i.user_id, o.id, rank() OVER (PARTITION BY i.user_id ORDER BY o.id) FROM orders o LEFT JOIN items i ON i.user_id = o.user_id AND i.line = 1

SELECT count(DISTINCT i.user_id) FROM orders o LEFT JOIN items i ON i.user_id = o.user_id

SELECT s.user_id, count(*) FROM orders o LEFT JOIN (SELECT user_id, order_id FROM items) s ON s.user_id = o.user_id GROUP BY s.user_id

SELECT ratio, count(*) FROM orders WHERE ratio <> 0 GROUP BY ratio

SELECT count(*) FROM orders GROUP BY ratio

SELECT day, count(*), sum(total) FROM orders GROUP BY day ORDER BY day

SELECT user_id, qty, count(*) FROM orders GROUP BY ROLLUP (user_id, qty)

SELECT qty, count(*) FROM orders GROUP BY CUBE (qty)

SELECT 'x', count(*) FROM orders GROUP BY 1

SELECT count(*) FROM orders GROUP BY ()

SELECT o, count(*) FROM orders o GROUP BY o

SELECT paid, bool_and(qty > 0), bool_or(qty > 5), every(id > 0) FROM orders GROUP BY paid

# aggregates that hide
SELECT coalesce(sum(total), 0) FROM orders

SELECT count(*) + 1 FROM orders

SELECT round(avg(total), 2) FROM orders

SELECT avg(total), sum(total), min(total), max(total), count(total), count(*) FROM orders

SELECT avg(qty), sum(qty), min(qty), max(qty) FROM orders

SELECT avg(user_id), sum(user_id) FROM orders

SELECT sum(balance) FROM accounts

SELECT sum(balance)::bigint FROM accounts

SELECT avg(ratio) FROM orders

SELECT min(status), max(status) FROM orders

SELECT min(code), max(code) FROM orders

SELECT min(placed), max(day) FROM orders

SELECT count(DISTINCT status) FROM orders

SELECT count(DISTINCT user_id) FROM orders

SELECT count(DISTINCT user_id), count(*) FROM items

SELECT count(*) FILTER (WHERE qty > 1), sum(qty) FILTER (WHERE paid) FROM orders

SELECT avg(qty) FILTER (WHERE qty > 1000) FROM orders

SELECT sum(DISTINCT qty) FROM orders

SELECT max(DISTINCT qty) FROM orders

SELECT string_agg(code, ',' ORDER BY id) FROM orders

SELECT array_agg(id ORDER BY id) FROM orders

SELECT sum(qty) FROM orders WHERE false

SELECT count(*), sum(qty), avg(qty), max(qty) FROM orders WHERE id < 0

SELECT count(*) FROM orders WHERE user_id = 1 AND user_id = 2

SELECT 'total' FROM orders ORDER BY count(*)

SELECT 1 FROM orders HAVING count(*) > 3

SELECT (SELECT count(o.id)) FROM orders o

SELECT (SELECT max(o.qty) FROM regions LIMIT 1) FROM orders o

SELECT CASE WHEN count(*) > 5 THEN 'many' ELSE 'few' END FROM orders

SELECT count(*)::int, max(qty)::text FROM orders

SELECT max(qty) - min(qty) FROM orders

SELECT count(*), 5, 'x'::text FROM orders

SELECT user_id, avg(total) FROM orders GROUP BY user_id ORDER BY avg(total), user_id

SELECT status FROM orders GROUP BY status ORDER BY count(*) DESC, min(id) LIMIT 3

SELECT qty FROM orders GROUP BY qty ORDER BY sum(id) DESC, qty LIMIT 3

SELECT stddev(qty) FROM orders WHERE user_id < 100

SELECT count(o) FROM orders o

# windows
SELECT id, row_number() OVER (ORDER BY id) FROM orders

SELECT id, row_number() OVER (PARTITION BY user_id ORDER BY id) FROM orders

SELECT id, sum(qty) OVER w FROM orders WINDOW w AS (PARTITION BY user_id)

SELECT count(*) OVER () FROM orders

SELECT id, count(*) OVER (PARTITION BY status) FROM orders

SELECT id, rank() OVER (PARTITION BY user_id, status ORDER BY total) FROM orders ORDER BY id LIMIT 4

SELECT user_id, sum(count(*)) OVER () FROM orders GROUP BY user_id

SELECT id, lag(id) OVER (PARTITION BY user_id ORDER BY id) FROM orders WHERE user_id = 7

# set operations
SELECT id FROM orders UNION SELECT order_id FROM items

SELECT id FROM orders UNION ALL SELECT order_id FROM items

SELECT id FROM orders WHERE user_id = 1 UNION SELECT id FROM orders WHERE user_id = 2

SELECT status FROM orders WHERE user_id = 1 UNION ALL SELECT status FROM orders WHERE user_id = 2 ORDER BY 1

SELECT qty FROM orders WHERE user_id = 1 UNION ALL SELECT qty FROM orders WHERE user_id = 2 ORDER BY 1

SELECT id FROM orders UNION ALL SELECT id::bigint FROM regions

SELECT id FROM orders UNION ALL SELECT id FROM orders ORDER BY id LIMIT 5

(SELECT id FROM orders ORDER BY id LIMIT 2) UNION ALL (SELECT id FROM orders ORDER BY id DESC LIMIT 2)

(SELECT o.id FROM orders o JOIN items i ON i.order_id = o.id) UNION ALL SELECT id FROM orders

(SELECT o.id FROM orders o JOIN items i ON i.qty = o.qty) UNION ALL (SELECT id FROM orders)

(SELECT id FROM orders)

(SELECT id FROM orders) ORDER BY id LIMIT 3

SELECT id FROM orders EXCEPT SELECT order_id FROM items

SELECT id FROM orders INTERSECT SELECT order_id FROM items

SELECT count(*) FROM orders UNION ALL SELECT count(*) FROM items

SELECT id FROM legacy UNION ALL SELECT id FROM legacy2

SELECT id FROM legacy UNION ALL SELECT n FROM ctags

SELECT id FROM legacy UNION ALL SELECT qty FROM orders

SELECT id FROM legacy WHERE id = 1 UNION ALL SELECT id FROM legacy WHERE id = 2

SELECT id FROM legacy WHERE id = 0 UNION ALL SELECT id FROM legacy WHERE id = 3

SELECT 1 UNION ALL SELECT 2 ORDER BY 1

VALUES (1), (2)

SELECT DISTINCT status FROM orders

SELECT DISTINCT qty FROM orders ORDER BY qty DESC LIMIT 3

SELECT DISTINCT user_id, status FROM orders

SELECT DISTINCT * FROM orders

SELECT DISTINCT * FROM (SELECT qty FROM orders) s

SELECT DISTINCT s.* FROM (SELECT qty FROM orders) s

SELECT DISTINCT i.* FROM orders o JOIN items i ON i.user_id = o.user_id

SELECT DISTINCT r.* FROM orders o JOIN regions r ON r.id = o.qty

SELECT DISTINCT ON (user_id) user_id, id FROM orders ORDER BY user_id, id DESC

SELECT DISTINCT ON (status) status, id FROM orders ORDER BY status, id

SELECT DISTINCT ON (user_id) qty AS user_id, id FROM orders ORDER BY user_id, id

SELECT DISTINCT ON (1) qty, id FROM orders ORDER BY 1, id

SELECT DISTINCT total FROM orders ORDER BY 1

# the key in the wrong place
SELECT user_id = 1 FROM orders

SELECT id FROM orders WHERE user_id = 1 OR qty = 2

SELECT id FROM orders WHERE NOT (user_id = 1)

SELECT id FROM orders WHERE NOT (user_id <> 1)

SELECT id FROM orders WHERE user_id NOT IN (1, 2)

SELECT id FROM orders WHERE (user_id = 1) IS NOT TRUE

SELECT id FROM orders WHERE (user_id = 1) = false

SELECT id FROM orders WHERE user_id = 1 IS NULL

SELECT id FROM orders WHERE CASE WHEN user_id = 1 THEN false ELSE true END

SELECT id FROM orders WHERE user_id IN (1, NULL)

SELECT id FROM orders WHERE user_id = NULL

SELECT id FROM orders WHERE user_id IS NOT DISTINCT FROM 1

SELECT id FROM orders WHERE user_id IS DISTINCT FROM 1

SELECT id FROM orders WHERE user_id BETWEEN 1 AND 3

SELECT id FROM orders WHERE user_id NOT BETWEEN 1 AND 3

SELECT id FROM orders WHERE user_id BETWEEN SYMMETRIC 3 AND 1

SELECT id FROM orders WHERE user_id = 1 AND user_id IN (1, 2)

SELECT id FROM orders WHERE (user_id, id) = (1, 2)

SELECT id FROM orders WHERE (user_id, id) IN ((1, 2), (2, 3))

SELECT id FROM orders WHERE (user_id, id) > (3, 0)

SELECT id FROM orders WHERE user_id = ANY ('{1,2,NULL}')

SELECT id FROM orders WHERE user_id = ANY (ARRAY[1, 7])

SELECT id FROM orders WHERE user_id = ALL ('{1}')

SELECT id FROM orders WHERE user_id <> ALL ('{1,2}')

SELECT id FROM orders WHERE user_id = SOME ('{1,7}'::int[])

SELECT id FROM orders WHERE EXISTS (SELECT 1 FROM items WHERE items.user_id = 1)

SELECT id FROM orders o WHERE EXISTS (SELECT 1 FROM items i WHERE i.user_id = o.user_id)

SELECT id FROM orders o WHERE NOT EXISTS (SELECT 1 FROM items i WHERE i.user_id = o.user_id AND i.order_id = o.id)

SELECT id FROM orders o WHERE user_id = 1 AND EXISTS (SELECT 1 FROM items i WHERE i.user_id = 2)

SELECT id FROM orders WHERE user_id IN (SELECT user_id FROM items)

SELECT id FROM orders WHERE user_id NOT IN (SELECT user_id FROM items)

SELECT id FROM orders WHERE id IN (SELECT order_id FROM items)

SELECT id FROM orders WHERE user_id IN (SELECT user_id FROM items LIMIT 2)

SELECT id FROM orders WHERE user_id IN (SELECT max(user_id) FROM items)

SELECT id FROM orders WHERE user_id = (SELECT max(user_id) FROM items)

SELECT id, (SELECT count(*) FROM items i WHERE i.user_id = o.user_id) FROM orders o

SELECT id, (SELECT sku FROM items i WHERE i.user_id = o.user_id ORDER BY order_id, line LIMIT 1) FROM orders o

SELECT id, (SELECT count(*) FROM items) FROM orders

SELECT id, (SELECT max(id) FROM regions) FROM orders

SELECT (SELECT count(*) FROM orders)

SELECT (SELECT count(*) FROM orders WHERE user_id = 1), (SELECT count(*) FROM items WHERE user_id = 1)

SELECT o.id FROM orders o LEFT JOIN items i ON o.user_id = i.user_id AND o.user_id = 1

SELECT o.id FROM orders o LEFT JOIN items i ON o.user_id = i.user_id AND i.user_id = 1

SELECT o.id, i.line FROM orders o LEFT JOIN items i ON o.user_id = i.user_id WHERE i.user_id = 1

SELECT o.id, i.line FROM orders o RIGHT JOIN items i ON o.user_id = i.user_id WHERE i.user_id = 20

SELECT o.id, i.line FROM orders o FULL JOIN items i ON o.user_id = i.user_id

SELECT o.id, i.line FROM orders o FULL JOIN items i ON o.user_id = i.user_id WHERE o.user_id = 1 AND i.user_id = 1

SELECT o.id, i.line FROM orders o FULL JOIN items i ON o.user_id = i.user_id WHERE o.user_id = 1

SELECT o.id, i.line FROM orders o JOIN items i ON o.user_id = i.user_id

SELECT o.id, i.line FROM orders o, items i WHERE o.user_id = i.user_id AND o.id = i.order_id

SELECT o.id, i.line FROM orders o JOIN items i ON o.id = i.order_id

SELECT o.id, i.line FROM orders o JOIN items i USING (user_id)

SELECT user_id, id, line FROM orders JOIN items USING (user_id) WHERE user_id = 1

SELECT user_id, count(*) FROM orders LEFT JOIN items USING (user_id) GROUP BY user_id

SELECT user_id, count(*) FROM orders RIGHT JOIN items USING (user_id) GROUP BY user_id

SELECT * FROM orders NATURAL JOIN items

SELECT id FROM orders NATURAL JOIN items WHERE orders.user_id = 1 AND items.user_id = 1

SELECT o.id, r.name FROM orders o JOIN regions r ON r.id = o.qty

SELECT o.id, r.name FROM orders o LEFT JOIN regions r ON r.id = o.qty

SELECT o.id, r.name FROM regions r LEFT JOIN orders o ON r.id = o.qty

SELECT o.id, r.name FROM orders o RIGHT JOIN regions r ON r.id = o.qty

SELECT o.id, r.name FROM orders o FULL JOIN regions r ON r.id = o.qty

SELECT r.name FROM regions r WHERE EXISTS (SELECT 1 FROM orders o WHERE o.qty = r.id)

SELECT r.name FROM regions r WHERE NOT EXISTS (SELECT 1 FROM orders o WHERE o.qty = r.id)

SELECT r.name, o.id FROM regions r CROSS JOIN orders o

SELECT a.id, b.id FROM orders a JOIN orders b ON a.user_id = b.user_id AND a.id < b.id

SELECT a.id, b.id FROM orders a JOIN orders b ON a.qty = b.qty AND a.id < b.id

SELECT u.name, o.id FROM users u JOIN orders o ON o.user_id = u.id

SELECT u.name FROM users u JOIN orders o ON o.user_id = u.id WHERE o.user_id = NULL

SELECT u.name FROM users u WHERE u.id IN (SELECT user_id FROM orders WHERE user_id = 1 AND user_id = 2)

SELECT u.name, p.name FROM users u, products p

SELECT p.name, o.id FROM products p JOIN orders o ON o.qty = p.id

SELECT p.name, r.name FROM products p JOIN regions r ON r.id = p.id

SELECT * FROM (SELECT user_id, count(*) AS c FROM orders GROUP BY user_id) s WHERE user_id = 1

SELECT * FROM (SELECT user_id, count(*) AS c FROM orders GROUP BY user_id) s ORDER BY user_id

SELECT * FROM (SELECT status, count(*) AS c FROM orders GROUP BY status) s

SELECT sum(c) FROM (SELECT user_id, count(*) AS c FROM orders GROUP BY user_id) s

SELECT * FROM (SELECT id FROM orders ORDER BY id LIMIT 3) s

SELECT * FROM (SELECT user_id, id FROM orders ORDER BY id LIMIT 3) s WHERE user_id = 1

SELECT * FROM (SELECT user_id, rank() OVER (ORDER BY id) r FROM orders) s WHERE user_id = 2

SELECT * FROM (SELECT DISTINCT user_id FROM orders) s WHERE user_id IN (1, 2)

SELECT * FROM (SELECT user_id AS k FROM orders UNION ALL SELECT user_id FROM items) s WHERE k = 1

SELECT id FROM orders o WHERE EXISTS (SELECT 1 FROM (SELECT user_id::bigint FROM items) s WHERE s.user_id = o.user_id)

SELECT o.id FROM orders o, LATERAL (SELECT line FROM items i WHERE i.user_id = o.user_id ORDER BY order_id, line LIMIT 1) s

SELECT o.id, s.line FROM orders o LEFT JOIN LATERAL (SELECT line FROM items i WHERE i.user_id = o.user_id) s ON true

SELECT o.id, g FROM orders o, generate_series(1, o.qty) g WHERE o.qty BETWEEN 1 AND 3

SELECT o.id, u FROM orders o, unnest(ARRAY[1, 2]) AS u

# values that are equal but not the same bytes
SELECT id FROM orders WHERE user_id = '1'

SELECT id FROM orders WHERE user_id = 1.0

SELECT id FROM orders WHERE user_id = 1.5

SELECT id FROM orders WHERE user_id = 1e0

SELECT id FROM orders WHERE user_id = 1::numeric

SELECT id FROM orders WHERE user_id = 1::smallint

SELECT id FROM orders WHERE user_id = ' 1 '

SELECT id FROM orders WHERE user_id = -5

SELECT id FROM orders WHERE user_id = - 5

SELECT id FROM orders WHERE user_id = -(-1)

SELECT id FROM orders WHERE user_id = +1

SELECT id FROM orders WHERE user_id = 9223372036854775807

SELECT id FROM orders WHERE user_id = -9223372036854775808

SELECT id FROM orders WHERE user_id = 9223372036854775808

SELECT id FROM orders WHERE user_id = 99999999999999999999999

SELECT id FROM orders WHERE user_id = 'x'

SELECT id FROM orders WHERE user_id = '99999999999999999999999'

SELECT line FROM items WHERE user_id = 3000000000

SELECT line FROM items WHERE user_id = 1::bigint

SELECT line FROM items WHERE user_id = true

SELECT n FROM tags WHERE tag = 'a'

SELECT n FROM tags WHERE tag = 'A'

SELECT n FROM tags WHERE tag = 'a '

SELECT n FROM tags WHERE tag = 'a'::varchar

SELECT n FROM tags WHERE tag = 'abc'::varchar(1)

SELECT n FROM tags WHERE tag = 'a '::char(3)

SELECT n FROM tags WHERE tag = 'a'::bpchar

SELECT n FROM tags WHERE tag = 'abc'::char

SELECT n FROM tags WHERE tag = E'a'

SELECT n FROM tags WHERE tag = E'\x61'

SELECT n FROM tags WHERE tag = U&'\0061'

SELECT n FROM tags WHERE tag = $$a$$

SELECT n FROM tags WHERE tag = 'ä'

SELECT n FROM tags WHERE tag = ''

SELECT n FROM tags WHERE tag = 5

SELECT n FROM tags WHERE tag = '5'

SELECT n FROM tags WHERE tag = 'a' COLLATE "C"

SELECT n FROM tags WHERE tag LIKE 'a%'

SELECT n FROM tags WHERE tag < 'b'

SELECT n FROM tags WHERE lower(tag) = 'a'

SELECT n FROM tags WHERE tag || '' = 'a'

SELECT n FROM tags WHERE tag IN ('a', 'B')

SELECT n FROM tags WHERE tag = 'a' 'b'

SELECT n FROM ctags WHERE tag = 'a '

SELECT tag FROM ctags WHERE tag >= 'A' AND tag < 'b' ORDER BY tag, n

SELECT n FROM chars WHERE c = 'a'

SELECT n FROM chars WHERE c = 'a   '

SELECT n FROM chars WHERE c = 'a'::text

SELECT n FROM chars WHERE c = 'a '::text

SELECT n FROM chars WHERE c = 'a '::varchar

SELECT n FROM chars WHERE c = 'abcdef'::char

SELECT n FROM chars WHERE c = 'abc'::char

SELECT n FROM chars WHERE c = 'a'::character

SELECT n FROM chars WHERE c = 'ab'::char(1)

SELECT n FROM chars WHERE c = 'ab'::bpchar

SELECT n FROM chars WHERE c = ' a'

SELECT c, n FROM chars ORDER BY n

SELECT c, count(*) FROM chars GROUP BY c

SELECT n FROM sessions WHERE sid = 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'

SELECT n FROM sessions WHERE sid = '{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}'

SELECT n FROM sessions WHERE sid = 'a0eebc999c0b4ef8bb6d6bb9bd380a11'

SELECT n FROM sessions WHERE sid = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid

SELECT sid FROM sessions ORDER BY sid

SELECT x FROM pairs WHERE a = 1 AND b = 'x'

SELECT x FROM pairs WHERE (a, b) = (1, 'x')

SELECT x FROM pairs WHERE a = 1

SELECT x FROM pairs WHERE a IN (1, 2) AND b IN ('x', 'y')

SELECT x FROM pairs WHERE a = 1 AND b = 'x' OR a = 2 AND b = 'y'

SELECT x FROM pairs WHERE (a, b) IN ((1, 'x'), (2, 'y'))

SELECT a, b, count(*) FROM pairs GROUP BY a, b

SELECT a, count(*) FROM pairs GROUP BY a

SELECT p.x, q.x FROM pairs p JOIN pairs q ON p.a = q.a

SELECT p.x, q.x FROM pairs p JOIN pairs q ON p.a = q.a AND p.b = q.b

# time
SELECT id FROM visits WHERE at = '2026-02-01 00:00+08'

SELECT id FROM visits WHERE at >= '2026-01-01 00:00+08' AND at < '2026-02-01 00:00+08'

SELECT id FROM visits WHERE at BETWEEN '2026-01-31 15:59:59.9Z' AND '2026-01-31 16:00Z'

SELECT id FROM visits WHERE at > '2026-02-01'

SELECT id FROM visits WHERE at < '2026-02-01'::date

SELECT id FROM visits WHERE at < '2026-02-01'::timestamp

SELECT id FROM visits WHERE at < timestamptz '2026-02-01 00:00+08'

SELECT id FROM visits WHERE at::date = '2026-02-01'

SELECT id FROM visits WHERE date_trunc('month', at) = '2026-01-01'

SELECT id FROM visits WHERE at < 'infinity'

SELECT id FROM visits WHERE at > 'epoch'

SELECT id FROM visits WHERE at < now()

SELECT id FROM visits WHERE at = '01/02/2026'

SELECT id FROM visits WHERE at < '2026-02-30'

SELECT id FROM visits WHERE at >= '2026-01-31 24:00:00+08'

SELECT id FROM visits WHERE at >= '2026-06-01 00:00:60Z'

SELECT id FROM visits ORDER BY at, id LIMIT 4

SELECT url, count(*) FROM visits WHERE at >= '2026-01-31 16:00Z' GROUP BY url

SELECT date_trunc('day', at) AS d, count(*) FROM visits GROUP BY 1 ORDER BY 1

SELECT n FROM days WHERE d = '2026-01-31'

SELECT n FROM days WHERE d = '2026-01-31'::date

SELECT n FROM days WHERE d = '2026-01-31 12:00'::timestamp

SELECT n FROM days WHERE d < '2026-02-01 00:00'::timestamp

SELECT n FROM days WHERE d > date '2026-01-31'

SELECT n FROM days WHERE d BETWEEN '2026-01-31' AND '2026-02-28' ORDER BY d, n

SELECT n FROM days WHERE d + 1 = '2026-02-01'

SELECT n FROM stamps WHERE ts < '2026-01-01'

SELECT n FROM stamps WHERE ts >= '2026-01-01 00:00:00'

SELECT n FROM stamps WHERE ts >= '2026-01-01 00:00:00+05'

SELECT n FROM stamps WHERE ts = '2026-01-01'::date

SELECT n FROM stamps WHERE ts < '2026-01-01'::timestamptz

SELECT n FROM stamps WHERE ts = '2025-12-31 23:59:59.9999994'

# range, list, modulo
SELECT id FROM accounts WHERE id < 0

SELECT id FROM accounts WHERE id >= -100 AND id < 1000

SELECT id FROM accounts WHERE id > 999.5

SELECT id FROM accounts WHERE id = -101

SELECT id FROM accounts WHERE id < '0'

SELECT id FROM accounts WHERE 0 > id

SELECT id FROM accounts WHERE id <= 9223372036854775807

SELECT id FROM accounts WHERE id > 9223372036854775807

SELECT id FROM accounts WHERE id > 9223372036854775808

SELECT id FROM accounts WHERE id BETWEEN 1000 AND -100

SELECT id FROM accounts ORDER BY id

SELECT owner, count(*) FROM accounts GROUP BY owner

SELECT id FROM branches WHERE region = 'north'

SELECT id FROM branches WHERE region = 'east'

SELECT id FROM branches WHERE region IN ('south', '')

SELECT id FROM branches WHERE region = 'nowhere'

SELECT id FROM branches WHERE region > 'a'

SELECT body FROM legacy WHERE id = -7

SELECT body FROM legacy WHERE id IN (0, 7, 13)

SELECT legacy.body FROM legacy WHERE legacy.id = 1

SELECT public.legacy.body FROM legacy WHERE legacy.id = 1

SELECT public.legacy.body FROM public.legacy

SELECT l.id, l2.line FROM legacy l JOIN legacy2 l2 ON l.id = l2.id

SELECT l.id, l2.line FROM legacy l JOIN legacy2 l2 ON l.id = l2.line

SELECT l.id, l2.line FROM legacy l LEFT JOIN legacy2 l2 USING (id) ORDER BY id, line

# (by the extended protocol a driver asks the shell for the row type, which has another OID there)
--! once
SELECT legacy FROM legacy WHERE id = 1

SELECT k, count(*), sum(id), avg(id) FROM legacy GROUP BY k ORDER BY k

SELECT id FROM legacy WHERE id = 1 OR id = 3

SELECT id FROM legacy WHERE id = (SELECT 1)

SELECT a.id, b.id FROM legacy a, legacy b WHERE a.id = 0 AND b.id = 3

SELECT a.id, b.id FROM legacy a, legacy b WHERE a.id = 0 AND b.id = 7

SELECT l.body, r.name FROM legacy l JOIN regions r ON r.id = l.k ORDER BY l.id

SELECT l.body FROM legacy l WHERE id = 1 AND EXISTS (SELECT 1 FROM legacy2 x WHERE x.id = l.id)

WITH x AS (SELECT * FROM legacy) SELECT a.id, b.id FROM x a, x b WHERE a.id = 0 AND b.id = 3

WITH x AS (SELECT * FROM legacy) SELECT id FROM x WHERE id = 3

# system columns
SELECT tableoid::regclass FROM orders WHERE user_id = 1

SELECT ctid FROM orders WHERE user_id = 1 AND id = 1

SELECT count(*) FROM ONLY orders

SELECT id FROM ONLY orders WHERE user_id = 1

SELECT count(*) FROM ONLY users

TABLE orders

TABLE users

SELECT count(*) FROM orders TABLESAMPLE SYSTEM (100)

SELECT query_to_xml('SELECT count(*) FROM orders', true, true, '')

SELECT id FROM orders WHERE id = 1 -- comment' AND 1 = 2

SELECT id /* comment ' */ FROM /* FROM users */ orders WHERE user_id = 1 /* nested /* OR true */ */ AND id = 1

SELECT id FROM orders WHERE user_id = 1 -- AND id = 1
 AND id = 2

SELECT 1; SELECT 2

SELECT id FROM orders WHERE user_id = 1; SELECT id FROM orders WHERE user_id = 2

SELECT 1;; SELECT count(*) FROM orders;

SELECT t1.body FROM legacy t1 WHERE t1.id = 4 AND t1.k IN (SELECT t2.id FROM legacy2 t2 WHERE t2.id = t1.id AND t2.id = 3) ORDER BY t1.id, t1.k

WITH x AS (SELECT * FROM legacy) SELECT a.id, b.id FROM x a LEFT JOIN x b ON b.id = 1 AND b.id = 2 WHERE a.id = 0
