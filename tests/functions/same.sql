SELECT user_name(1), greeting(2), greeting(9)
SELECT id, greeting(id) FROM users ORDER BY id
SELECT name FROM users WHERE user_name(id) = 'ann'
SELECT code, region_of(region) FROM coupons ORDER BY code COLLATE "C"
SELECT code, region_name(region) FROM coupons WHERE code = 'b'
SELECT code, region_name(region) FROM coupons ORDER BY code COLLATE "C"
SELECT user_id, id, order_count(user_id) FROM orders ORDER BY id
SELECT DISTINCT user_id, order_count(user_id) FROM orders ORDER BY user_id
SELECT order_count(user_id) FROM order_items WHERE user_id = 1
/* margay: key=1 */ SELECT order_count(1)
SELECT tag(note), id FROM orders ORDER BY id
SELECT add_user(5, 'eve')
SELECT rename(5, 'eva')
SELECT * FROM users WHERE id = 5
SELECT u.name FROM users u WHERE greeting(u.id) = 'hello eva'
CALL drop_users()
SELECT count(*) FROM users
UPDATE users SET name = greeting(id) WHERE id = 1 RETURNING name
INSERT INTO users VALUES (7, greeting(1))
INSERT INTO coupons VALUES ('z', region_of('n'))
SELECT * FROM coupons ORDER BY code COLLATE "C"
SELECT user_id, note FROM orders ORDER BY user_id, id
UPDATE orders SET note = 'x' WHERE user_id = 2 RETURNING note
SELECT user_id, what FROM orders_log ORDER BY user_id, what COLLATE "C"
BEGIN; INSERT INTO orders VALUES (8, 8, 8, 'eight'); SELECT note, order_count(user_id) FROM orders WHERE user_id = 8; ROLLBACK
