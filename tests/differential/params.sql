--! params int8=1
SELECT id FROM orders WHERE user_id = $1 ORDER BY id

--! params ?=1
SELECT id FROM orders WHERE user_id = $1 ORDER BY id

--! params int4=1
SELECT id FROM orders WHERE user_id = $1 ORDER BY id

--! params int2=2
SELECT id FROM orders WHERE user_id = $1 ORDER BY id

--! params numeric=1.0
SELECT id FROM orders WHERE user_id = $1 ORDER BY id

--! params float8=1
SELECT id FROM orders WHERE user_id = $1 ORDER BY id

--! params text=1
SELECT id FROM orders WHERE user_id = $1 ORDER BY id

--! params ?=NULL
SELECT id FROM orders WHERE user_id = $1 ORDER BY id

--! params ?=1 | ?=2
SELECT id FROM orders WHERE user_id IN ($1, $2) ORDER BY id

--! params ?={1,2,7}
SELECT id FROM orders WHERE user_id = ANY ($1) ORDER BY id

--! params int4[]={1,2,7}
SELECT id FROM orders WHERE user_id = ANY ($1) ORDER BY id

--! params ?=2 | ?=3
SELECT id FROM orders ORDER BY id LIMIT $1 OFFSET $2

--! params int4=2
SELECT id FROM orders ORDER BY id LIMIT $1

--! params ?=NULL
SELECT id FROM orders ORDER BY id LIMIT $1

--! params ?=NULL | ?=NULL
SELECT id FROM orders ORDER BY id LIMIT $1 OFFSET $2

--! params ?=3
SELECT id FROM orders ORDER BY id OFFSET $1

--! params ?=3
SELECT id FROM orders ORDER BY id OFFSET $1 ROWS

--! params ?=0
SELECT id FROM orders ORDER BY id LIMIT $1

--! params ?=-1
SELECT id FROM orders ORDER BY id LIMIT $1

--! params ?=9223372036854775807 | ?=3
SELECT id FROM orders ORDER BY id LIMIT $1 OFFSET $2

--! params ?=2
SELECT qty, count(*) FROM orders GROUP BY qty ORDER BY qty LIMIT $1

--! params ?=2 | ?=1
SELECT qty, count(*) FROM orders GROUP BY qty ORDER BY qty LIMIT $1 OFFSET $2

--! params ?=1 | ?=2
SELECT id FROM orders WHERE qty = $1 ORDER BY id LIMIT $2

--! params ?=1
SELECT id FROM orders WHERE ratio > $1 AND user_id = $1 ORDER BY id

--! params ?=1
SELECT id FROM orders WHERE user_id = $1 AND ratio > $1 ORDER BY id

--! params ?=1
SELECT o.id FROM orders o JOIN items i ON i.user_id = $1 AND o.user_id = $1 ORDER BY o.id

--! params ?=1
SELECT id FROM orders WHERE $1 IS NULL OR user_id = $1 ORDER BY id

--! params ?=1
SELECT id FROM orders WHERE user_id = $1 UNION ALL SELECT order_id FROM items WHERE user_id = $1

--! params ?=1
SELECT id FROM orders WHERE user_id = $1::int8 AND qty < $1::int8 + 5 ORDER BY id

--! params ?=1
SELECT id FROM orders WHERE user_id = $1::text::int8 ORDER BY id

--! params ?=a
SELECT n FROM tags WHERE tag = $1

--! params text=a
SELECT n FROM tags WHERE tag = $1

--! params varchar=a
SELECT n FROM tags WHERE tag = $1

--! params bpchar=a
SELECT n FROM tags WHERE tag = $1

--! params text='a '
SELECT n FROM tags WHERE tag = $1

--! params bpchar='a '
SELECT n FROM tags WHERE tag = $1

--! params text='a '
SELECT n FROM chars WHERE c = $1

--! params bpchar='a '
SELECT n FROM chars WHERE c = $1

--! params ?='a '
SELECT n FROM chars WHERE c = $1

--! params ?='a '
SELECT t.n FROM chars c, tags t WHERE c.c = $1 AND t.tag = $1

--! params ?=a
SELECT n FROM ctags WHERE tag = $1 OR tag = $1 || ' '

--! params uuid=A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11
SELECT n FROM sessions WHERE sid = $1

--! params ?=a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11
SELECT n FROM sessions WHERE sid = $1

--! params timestamptz='2026-02-01 00:00+08'
SELECT id FROM visits WHERE at = $1

--! params timestamp='2026-02-01 00:00'
SELECT id FROM visits WHERE at < $1 ORDER BY id

--! params date=2026-02-01
SELECT id FROM visits WHERE at < $1 ORDER BY id

--! params ?='2026-02-01 00:00+08'
SELECT id FROM visits WHERE at < $1 ORDER BY id

--! params date[]={2026-01-31}
SELECT id FROM visits WHERE at = ANY ($1) ORDER BY id

--! params timestamptz[]={"2026-01-31 16:00Z"}
SELECT id FROM visits WHERE at = ANY ($1) ORDER BY id

--! params ?=2026-01-31
SELECT n FROM days WHERE d = $1 ORDER BY n

--! params timestamp='2026-01-31 12:00'
SELECT n FROM days WHERE d < $1 ORDER BY n

--! params ?='2026-01-31 12:00'
SELECT s.n FROM days d, stamps s WHERE d.d = $1 AND s.ts < $1

--! params ?='2026-01-01 12:00'
SELECT s.n FROM stamps s WHERE s.ts::date = $1 AND s.ts < $1

--! params ?=1 | ?=x
SELECT x FROM pairs WHERE a = $1 AND b = $2

--! params int8=1 | varchar=x
SELECT x FROM pairs WHERE (a, b) = ($1, $2)

--! params ?=3
SELECT body FROM legacy WHERE id = $1

--! params ?=1 | ?=2
SELECT count(*), sum(qty) FILTER (WHERE id > $1) FROM orders WHERE qty = $2

--! params ?=1 | ?=2
SELECT user_id, count(*) FROM orders WHERE qty IN ($1, $2) GROUP BY user_id ORDER BY user_id

--! params int4=2
SELECT id + $1 FROM orders ORDER BY id + $1

--! params int4=1
SELECT $1 FROM orders

--! params ?=7 | ?=A
INSERT INTO notes (id, body) VALUES ($1, $2)

--! params ?=7
DELETE FROM notes WHERE id = $1

--! params ?=100 | ?=55 | ?=new
INSERT INTO orders (id, user_id, status) VALUES ($1, $2, $3)

--! params ?=100 | ?=55 | ?=new
--! binary
INSERT INTO orders (id, user_id, status) VALUES ($1, $2, $3)

--! params ?=101 | ?=55 | ?=102 | ?=56
INSERT INTO orders (id, user_id) VALUES ($1, $2), ($3, $4) RETURNING id, user_id

--! params ?=103 | ?=55 | ?=57
--! binary
INSERT INTO orders (id, user_id) VALUES ($1, $2), ($1, $3) RETURNING id, user_id

--! params numeric=55
INSERT INTO orders (id, user_id) VALUES (104, $1)

--! params numeric=55.6
INSERT INTO orders (id, user_id) VALUES (105, $1)

--! params ?=55
INSERT INTO orders (id, user_id, ratio) VALUES (106, $1, $1)

--! params ?=55
INSERT INTO orders (ratio, id, user_id) VALUES ($1, 107, $1)

--! params ?=55 | ?=x
UPDATE orders SET status = $2 WHERE user_id = $1

--! params ?=x
UPDATE orders SET note = $1

--! params ?=x
UPDATE orders SET code = $1 WHERE qty = 2 RETURNING id, code

--! params ?=55
DELETE FROM orders WHERE user_id = $1

--! params ?=55
DELETE FROM orders WHERE user_id > $1 AND user_id < 58

--! params ?=a | ?=77
INSERT INTO tags (tag, n) VALUES ($1, $2)

--! params varchar='a ' | ?=78
INSERT INTO tags (tag, n) VALUES ($1, $2)

--! params bpchar='a ' | ?=79
INSERT INTO tags (tag, n) VALUES ($1, $2)
