INSERT INTO users (name, m) VALUES ('ann', 'happy'), ('ben', 'sad'), ('cem', 'happy')
INSERT INTO orders (id, user_id, total) VALUES (1, 1, 10), (2, 2, 20), (3, 1, 500), (4, 3, 7), (5, 4, 200)
SELECT * FROM happy ORDER BY id
SELECT h.name FROM happy h JOIN users u USING (id) WHERE u.id < 3
SELECT * FROM order_sums ORDER BY of_user
SELECT count(*), sum(n) FROM order_sums
SELECT s.sum FROM order_sums AS s WHERE s.of_user = 1
SELECT of_user FROM large_sums ORDER BY of_user
SELECT o.id FROM orders o WHERE o.user_id IN (SELECT of_user FROM large_sums) ORDER BY o.id
WITH happy AS (SELECT 1 AS one) SELECT * FROM happy
SELECT twice(21)
SELECT id, twice(id::integer) FROM orders ORDER BY id
SELECT nextval('counter'), nextval('counter')
SELECT setval('users_id_seq', 50)
INSERT INTO users (name) VALUES ('dan') RETURNING id
TRUNCATE users, order_items
SELECT count(*) FROM users
DROP VIEW large_sums, order_sums
SELECT * FROM order_sums
DROP TABLE orders, order_items, coupons
SELECT to_regclass('orders') IS NULL, to_regclass('orders_pkey') IS NULL
