INSERT INTO orders (id, user_id, status, total) VALUES (200, 1, 'w', 1), (201, 2, 'w', 2), (202, 3, 'w', 3), (203, -1000, 'w', 4) RETURNING id, user_id, total

INSERT INTO orders (id, user_id) VALUES (200, 1)

INSERT INTO orders (id, user_id) VALUES (210, 77), (200, 1)

INSERT INTO orders (id, user_id, status) VALUES (200, 1, 'c') ON CONFLICT DO NOTHING

INSERT INTO orders (id, user_id, status) VALUES (200, 1, 'c'), (204, 5, 'c') ON CONFLICT (user_id, id) DO UPDATE SET status = excluded.status || '!' RETURNING id, status

INSERT INTO orders (id, user_id) VALUES (205, NULL)

INSERT INTO orders (id) VALUES (206)

INSERT INTO orders (id, user_id) VALUES (207, DEFAULT)

INSERT INTO orders (id, user_id) VALUES (208, 5.4)

INSERT INTO orders (id, user_id) VALUES (208, 5.0)

INSERT INTO orders (id, user_id) VALUES (209, '6')

INSERT INTO orders (id, user_id) VALUES (211, 2 + 3)

INSERT INTO orders (id, user_id) VALUES (212, (SELECT 5))

INSERT INTO orders VALUES (213, 8, 'all')

INSERT INTO orders (id, user_id, placed) VALUES (214, 8, '2026-09-09Z') RETURNING placed, *

INSERT INTO orders (user_id, id, nosuch) VALUES (1, 2, 3)

INSERT INTO orders (id, user_id) VALUES (215, 1, 2)

INSERT INTO orders DEFAULT VALUES

INSERT INTO orders (id, user_id) SELECT id + 300, user_id FROM orders WHERE user_id = 1

INSERT INTO orders (id, user_id) SELECT id + 300, user_id FROM orders

INSERT INTO orders AS o (id, user_id) VALUES (216, 9) ON CONFLICT (user_id, id) DO UPDATE SET user_id = 10

INSERT INTO items (user_id, order_id, line) VALUES (1, 200, 1), (2, 201, 1), (-1000, 203, 1)

UPDATE orders SET status = 'u' WHERE user_id = 1

UPDATE orders SET qty = coalesce(qty, 0) + 1 RETURNING user_id, id, qty

UPDATE orders SET total = total * 2 WHERE total > 10

UPDATE orders SET user_id = 2 WHERE user_id = 1

UPDATE orders SET (status, user_id) = ('x', 9) WHERE user_id = 1

UPDATE orders o SET status = 'joined' FROM items i WHERE i.user_id = o.user_id AND i.order_id = o.id

UPDATE orders o SET status = 'joined2' FROM items i WHERE i.order_id = o.id

UPDATE orders SET status = (SELECT max(sku) FROM items i WHERE i.user_id = orders.user_id) WHERE user_id IN (1, 2, 3)

UPDATE orders o SET code = r.name FROM regions r WHERE r.id = o.qty AND o.user_id IN (2, 3)

UPDATE orders SET placed = now() WHERE false RETURNING now()

UPDATE orders SET paid = false WHERE user_id IN (7, 8) AND id IN (SELECT order_id FROM items i WHERE i.user_id = orders.user_id) RETURNING id

UPDATE orders SET status = 'none' WHERE user_id = 424242

UPDATE orders SET nosuch = 1

UPDATE orders SET qty = qty / 0

DELETE FROM orders WHERE id = 200

DELETE FROM orders WHERE user_id = 2 AND id = 201 RETURNING *

DELETE FROM orders USING items i WHERE i.user_id = orders.user_id AND i.order_id = orders.id AND orders.user_id = -1000

DELETE FROM items WHERE order_id IN (SELECT id FROM orders WHERE orders.user_id = items.user_id AND status = 'w')

DELETE FROM orders o WHERE NOT EXISTS (SELECT 1 FROM items i WHERE i.user_id = o.user_id) AND o.id > 207

DELETE FROM orders WHERE ctid IN (SELECT ctid FROM orders WHERE user_id = 7 LIMIT 1)

INSERT INTO regions VALUES (10, 'ten', 1, 2), (11, 'eleven')

INSERT INTO regions (id, name) VALUES (10, 'again') ON CONFLICT (id) DO UPDATE SET name = excluded.name RETURNING id, name, size

UPDATE regions SET size = size + 1 WHERE id > 2

UPDATE regions SET size = (SELECT max(size) FROM regions) WHERE id = 1 RETURNING *

UPDATE regions SET name = (SELECT name FROM users WHERE id = 1)

UPDATE regions SET size = random() * 10

UPDATE regions SET size = o.qty FROM orders o WHERE o.id = regions.id

DELETE FROM regions WHERE id = 11

DELETE FROM regions WHERE id IN (SELECT id FROM rates WHERE rate > 2)

INSERT INTO regions SELECT id + 100, name FROM regions WHERE id < 3

INSERT INTO regions SELECT id + 200, name FROM regions ORDER BY id LIMIT 1

WITH w AS (INSERT INTO regions (id, name) VALUES (50, 'cte') RETURNING id) SELECT id FROM w

WITH w AS (DELETE FROM regions WHERE id = 10 RETURNING id) SELECT id FROM w

WITH w AS (UPDATE regions SET name = 'cte2' WHERE id = 1 RETURNING id) SELECT o.id FROM orders o, w WHERE o.user_id = 1

WITH w AS (UPDATE orders SET user_id = 3 WHERE user_id = 7 RETURNING id) SELECT id FROM w

WITH w AS (UPDATE orders SET status = 'cte' WHERE user_id = 7 RETURNING id) SELECT id FROM w ORDER BY id

WITH w AS (DELETE FROM orders WHERE user_id = 10 RETURNING *) SELECT count(*) FROM w

WITH w AS (DELETE FROM orders WHERE id = 11 RETURNING *) SELECT count(*) FROM w

WITH w AS (INSERT INTO orders (id, user_id) VALUES (220, 1) RETURNING id) SELECT id FROM w

WITH w AS (UPDATE legacy SET id = 100 WHERE id = 3 RETURNING id) SELECT id FROM w

WITH v AS (SELECT 1 AS one) UPDATE orders SET qty = v.one FROM v WHERE user_id = 4

INSERT INTO rates (id, rate) VALUES (4, 4)

INSERT INTO rates (id, rate, at, token) VALUES (4, DEFAULT, '2026-01-01Z', NULL), (5, 5, NULL, NULL)

INSERT INTO rates VALUES (6)

INSERT INTO rates (id, at) VALUES (7, NULL)

UPDATE rates SET rate = DEFAULT WHERE id = 5

INSERT INTO legacy (id, body) VALUES (20, 'w'), (21, 'w'), (-22, 'w') RETURNING id

INSERT INTO legacy VALUES (23, 'w', 1)

INSERT INTO legacy (id) VALUES (23)

INSERT INTO legacy (id, body) VALUES (23, 'again') ON CONFLICT (id) DO UPDATE SET body = excluded.body RETURNING *

INSERT INTO legacy (id, body) VALUES (24, 'x') ON CONFLICT DO NOTHING

UPDATE legacy SET body = body || legacy.id WHERE legacy.id IN (20, 21, 23)

UPDATE legacy SET k = k + 1 RETURNING legacy.id, k

UPDATE legacy l SET body = 'j' FROM legacy2 l2 WHERE l2.id = l.id AND l2.line = 2

DELETE FROM legacy WHERE id = 21

DELETE FROM legacy USING legacy2 WHERE legacy2.id = legacy.id AND legacy2.w = 9

DELETE FROM legacy WHERE k IS NULL

INSERT INTO tags (tag, n) VALUES ('q', 1), ('Q', 1), ('q ', 2), ('ü', 3) RETURNING tag

INSERT INTO ctags (tag, n) VALUES ('q', 1), ('Q', 1), ('q ', 2), ('ü', 3)

INSERT INTO ctags (tag, n) VALUES ('q', 1) ON CONFLICT DO NOTHING

INSERT INTO chars (c, n) VALUES ('q', 1), ('q   ', 2), ('toolongtext', 3)

INSERT INTO chars (c, n) VALUES ('q', 1), ('q   ', 2)

SELECT n FROM chars WHERE c = 'q'

INSERT INTO visits (id, at, url) VALUES (20, '2026-02-28 23:00+08', 'x'), (21, '2026-03-01 00:00+08', 'y'), (22, '2027-06-01 00:00Z', 'later') RETURNING id

INSERT INTO visits (id, at) VALUES (23, '2020-01-01')

SELECT id FROM visits WHERE at < '2025-01-01' OR at > '2027-01-01' ORDER BY id

INSERT INTO visits (id, at) VALUES (24, '2026-05-05'::date)

UPDATE visits SET url = 'late' WHERE at >= '2026-03-01 00:00+08'

DELETE FROM visits WHERE at = '2026-02-28 15:00Z' RETURNING id

INSERT INTO days VALUES ('2026-02-01', 30), ('2026-04-01', 31)

INSERT INTO days VALUES ('2026-04-01'::timestamp, 32)

INSERT INTO accounts (id, balance) VALUES (-5, 1), (5000, 2), (-500, 3)

UPDATE accounts SET balance = balance + 1 WHERE id BETWEEN -100 AND 500

UPDATE accounts SET id = 5 WHERE id = 4

INSERT INTO branches VALUES ('north', 10), ('west', 11)

INSERT INTO pairs (a, b, x) VALUES (9, 'x', 1), (9, 'y', 2), (10, 'x', 3)

INSERT INTO pairs (b, a) VALUES ('z', 9)

UPDATE pairs SET x = 0 WHERE a = 9

UPDATE pairs SET b = 'n' WHERE a = 9

INSERT INTO sessions VALUES ('22222222-2222-2222-2222-222222222222', 5), ('{33333333-3333-3333-3333-333333333333}', 6)

INSERT INTO gen (n) VALUES (7), (8) RETURNING n

INSERT INTO gen (id, n) VALUES (DEFAULT, 9) RETURNING n, id IS NOT NULL, other IS NOT NULL

INSERT INTO gen (other, n) VALUES (DEFAULT, 10) RETURNING n, id <> other

INSERT INTO gen (id, other, n) VALUES (50, DEFAULT, 11) RETURNING id, n

INSERT INTO users VALUES (10, 'x'), (11, 'y') RETURNING id

UPDATE users SET vip = NOT vip RETURNING id, vip

DELETE FROM users WHERE id = 10

INSERT INTO users SELECT id + 100, name FROM users WHERE id > 0

BEGIN

INSERT INTO orders (id, user_id) VALUES (400, 1), (401, 2), (402, 3)

UPDATE users SET email = 'txn' WHERE id = 1

SELECT count(*) FROM orders

COMMIT

BEGIN

DELETE FROM orders

UPDATE regions SET name = 'gone'

SELECT count(*) FROM orders

ROLLBACK

BEGIN

INSERT INTO orders (id, user_id) VALUES (410, 1)

SAVEPOINT s

INSERT INTO orders (id, user_id) VALUES (411, 2), (411, 3)

ROLLBACK TO s

COMMIT

INSERT INTO orders (id, user_id) VALUES (420, 1); INSERT INTO orders (id, user_id) VALUES (421, 2); SELECT 1 / 0

INSERT INTO orders (id, user_id) VALUES (422, 1); INSERT INTO orders (id, user_id) VALUES (423, 2)

INSERT INTO orders (id, user_id, day, placed) VALUES (600, 1, '2026-01-01', now() - now() + '2026-01-01Z'), (601, 2, CURRENT_DATE - CURRENT_DATE + date '2026-01-02', now() - now() + '2026-01-01Z') RETURNING id, day, placed

SELECT n FROM gen WHERE id = 50

SELECT count(*) FROM gen g WHERE id = (SELECT h.id FROM gen h WHERE h.id = g.id)

CREATE INDEX orders_qty ON orders (qty)

CREATE INDEX IF NOT EXISTS legacy_k ON legacy (k)

ALTER TABLE orders ADD COLUMN note text DEFAULT 'five'

SELECT id, note FROM orders WHERE user_id = 1 ORDER BY id

ALTER TABLE legacy ADD COLUMN extra integer DEFAULT 7

SELECT id, extra FROM legacy ORDER BY id

ALTER INDEX orders_qty RENAME TO orders_qty2

DROP INDEX orders_qty2

DROP INDEX legacy_k

CREATE INDEX legacy_k ON legacy (k)

DROP INDEX IF EXISTS legacy_k

CREATE UNIQUE INDEX ctags_n ON ctags (n)

CREATE UNIQUE INDEX ctags_n ON ctags (n, tag)

ALTER TABLE legacy ADD UNIQUE (body)

ALTER TABLE legacy ADD CONSTRAINT lk UNIQUE (k, id)

ALTER TABLE legacy DROP CONSTRAINT lk

ALTER TABLE legacy ADD CONSTRAINT small CHECK (id IS NOT NULL)

ALTER TABLE legacy DROP CONSTRAINT small

ALTER TABLE legacy DROP CONSTRAINT nosuch

DROP INDEX nosuch_index

DROP INDEX IF EXISTS nosuch_index

CREATE VIEW paid AS SELECT * FROM orders WHERE paid

SELECT count(*) FROM paid

CREATE VIEW named AS SELECT id, name FROM users

SELECT count(*) FROM named

CREATE TEMP TABLE tt (id int)

CREATE UNIQUE INDEX legacy_body ON legacy (body)

SELECT * INTO copied FROM products

SELECT count(*) FROM copied

MERGE INTO orders o USING items i ON i.user_id = o.user_id WHEN MATCHED THEN DELETE

TRUNCATE legacy2

SELECT count(*) FROM legacy2

TRUNCATE orders, items

SELECT count(*) FROM orders

INSERT INTO short (code, n) VALUES ('abc', 1), ('ab ', 2), ('ab   ', 3), ('a', 4), ('äöü  ', 5), ('xyz    ', 6)

INSERT INTO short (code, n) VALUES ('abcd', 7)

SELECT code, n FROM short WHERE code = 'ab '

SELECT n FROM short WHERE code = 'ab   '

SELECT n FROM short WHERE code = 'äöü'

SELECT n FROM short WHERE code = 'xyz'

SELECT n FROM short WHERE code IN ('a', 'abc', 'abcd')

--! params ?='abc   ' | ?=8
INSERT INTO short (code, n) VALUES ($1, $2)

SELECT n FROM short WHERE code = 'abc'

DELETE FROM short WHERE code = 'xyz'

INSERT INTO shorts (code, n) VALUES ('abc', 1), ('ab ', 2), ('ab   ', 3), ('a', 4), ('äöü  ', 5), ('xyz    ', 6)

INSERT INTO shorts (code, n) VALUES ('abcd', 7)

SELECT code, n FROM shorts WHERE code = 'ab '

SELECT n FROM shorts WHERE code = 'ab   '

SELECT n FROM shorts WHERE code = 'äöü'

SELECT n FROM shorts WHERE code = 'xyz'

SELECT n FROM shorts WHERE code IN ('a', 'abc', 'abcd')

--! params ?='abc   ' | ?=8
INSERT INTO shorts (code, n) VALUES ($1, $2)

SELECT n FROM shorts WHERE code = 'abc'

DELETE FROM shorts WHERE code = 'xyz'

INSERT INTO instants (at, n) VALUES ('2026-01-31 23:59:59.5', 1), ('2026-01-31 23:59:59.4', 2), ('1999-12-31 23:59:58.5', 3), ('2026-02-01 00:00:00.499999', 4)

SELECT at, n FROM instants ORDER BY n

SELECT n FROM instants WHERE at = '2026-02-01 00:00:00'

SELECT n FROM instants WHERE at = '2026-01-31 23:59:59.5'

SELECT n FROM instants WHERE at = '1999-12-31 23:59:58' OR at = '1999-12-31 23:59:59'

SELECT n FROM instants WHERE at >= '2026-01-31 23:59:59.9' ORDER BY n

DELETE FROM instants WHERE at = '2026-02-01'

INSERT INTO ticks (at, n) VALUES ('2026-01-31 23:59:59.5Z', 1), ('2026-01-31 23:59:59.4Z', 2), ('1999-12-31 23:59:58.5Z', 3), ('2026-02-01 00:00:00.499999Z', 4)

SELECT at, n FROM ticks ORDER BY n

SELECT n FROM ticks WHERE at = '2026-02-01 00:00:00Z'

SELECT n FROM ticks WHERE at = '2026-01-31 23:59:59.5Z'

SELECT n FROM ticks WHERE at = '1999-12-31 23:59:58Z' OR at = '1999-12-31 23:59:59Z'

SELECT n FROM ticks WHERE at >= '2026-01-31 23:59:59.9Z' ORDER BY n

DELETE FROM ticks WHERE at = '2026-02-01Z'

INSERT INTO legacy (id, body) VALUES (901, 'a'), (902, 'b') ON CONFLICT ON CONSTRAINT legacy_pkey DO NOTHING

INSERT INTO legacy (id, body) VALUES (901, 'c'), (903, 'b') ON CONFLICT ON CONSTRAINT legacy_pkey DO UPDATE SET body = excluded.body

INSERT INTO legacy (id, body) VALUES (904, 'c') ON CONFLICT ON CONSTRAINT nosuch DO NOTHING

SELECT * FROM legacy WHERE id > 900 ORDER BY id

ALTER TABLE legacy2 DROP CONSTRAINT legacy2_pkey

INSERT INTO legacy2 (id, line, w) VALUES (1, 1, 1), (1, 1, 2)

SELECT count(*) FROM legacy2

DROP TABLE IF EXISTS nonesuch, regions_old, days

SELECT count(*) FROM days

CREATE TABLE days (d date NOT NULL, n integer NOT NULL, PRIMARY KEY (d, n))

LOCK TABLE orders

UPDATE regions SET name = upper(name) || substring('xyz' from 2 for 1) || coalesce(size, 0)

UPDATE regions SET size = (SELECT max(r.size) FROM regions r)

UPDATE regions SET name = (SELECT string_agg(name, ',') FROM rates r)

UPDATE rates SET rate = round(abs(rate) * 2, 1), at = date_trunc('day', '2026-01-01 10:00+00'::timestamptz)

UPDATE rates SET rate = pg_backend_pid()

INSERT INTO rates (id, at, token) VALUES (77, to_timestamp(0), md5('x')::uuid)

INSERT INTO users VALUES (50, 'merge', NULL, NULL, NULL)

MERGE INTO users u USING (VALUES (50, 'merged'), (51, 'new')) v (id, name) ON u.id = v.id WHEN MATCHED THEN UPDATE SET name = v.name WHEN NOT MATCHED THEN INSERT (id, name) VALUES (v.id, v.name)

MERGE INTO users u USING notes n ON u.id = n.user_id WHEN MATCHED AND n.body IS NULL THEN DELETE WHEN MATCHED THEN DO NOTHING

INSERT INTO orders (id, user_id, status) VALUES (70, 1, 'a'), (71, 1, 'b'), (72, 2, 'c')

INSERT INTO items (user_id, order_id, line, qty) VALUES (1, 70, 1, 5), (2, 72, 1, 6)

MERGE INTO orders o USING items i ON i.user_id = o.user_id AND i.order_id = o.id AND o.user_id = 1 WHEN MATCHED THEN UPDATE SET qty = i.qty

MERGE INTO orders o USING items i ON i.user_id = o.user_id AND o.user_id = 1 WHEN NOT MATCHED THEN INSERT (id, user_id) VALUES (i.order_id + 500, i.user_id)

MERGE INTO orders o USING items i ON i.user_id = o.user_id AND i.order_id = o.id AND o.user_id = 2 WHEN MATCHED AND i.qty = 6 THEN DELETE

SELECT * FROM orders ORDER BY id

INSERT INTO orders (id, user_id, status) VALUES (70, 1, 'twice') ON CONFLICT (user_id, id) WHERE true DO UPDATE SET status = 'twice'

UPDATE ONLY users SET email = 'only' WHERE id = 51

DELETE FROM ONLY orders WHERE user_id = 1

SELECT * FROM orders ORDER BY id
