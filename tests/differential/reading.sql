SELECT id, sum(qty) OVER (PARTITION BY user_id ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW EXCLUDE CURRENT ROW) FROM orders ORDER BY id

SELECT id, sum(qty) OVER (PARTITION BY user_id ORDER BY id GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING EXCLUDE TIES) AS s FROM orders ORDER BY id LIMIT 5

SELECT id, count(*) OVER (PARTITION BY user_id ORDER BY placed RANGE BETWEEN '40 days'::interval PRECEDING AND CURRENT ROW EXCLUDE GROUP) FROM orders ORDER BY id

SELECT id, sum(qty) OVER (ORDER BY id ROWS 1 PRECEDING EXCLUDE NO OTHERS) FROM orders

SELECT (o).* FROM orders o WHERE user_id = 1 ORDER BY id

SELECT (o).*, 1 AS one FROM orders o WHERE user_id = 1 ORDER BY 1

SELECT (o).* FROM orders o

SELECT (r).* FROM regions r ORDER BY id

SELECT id FROM orders WHERE user_id BETWEEN SYMMETRIC 7 AND 1 ORDER BY id

SELECT id FROM orders WHERE user_id NOT BETWEEN SYMMETRIC 7 AND 1 ORDER BY id

SELECT id FROM accounts WHERE id BETWEEN SYMMETRIC 5 AND -200 ORDER BY id

SELECT id FROM orders WHERE user_id OPERATOR(pg_catalog.=) 1 ORDER BY id

SELECT id FROM orders WHERE user_id =-5

SELECT id FROM orders WHERE user_id =+1 ORDER BY id

SELECT id FROM orders WHERE status ISNULL ORDER BY id

SELECT id FROM orders WHERE user_id = 1 AND status NOTNULL ORDER BY id

SELECT id FROM orders WHERE user_id = 1 IS TRUE ORDER BY id

SELECT id FROM orders WHERE NOT user_id = 1 IS TRUE ORDER BY id

SELECT id FROM orders WHERE status COLLATE "C" = 'new' ORDER BY id

SELECT tag, n FROM ctags WHERE tag = E'a' AND n = 1

SELECT tag, n FROM ctags WHERE tag = 'a' COLLATE "C"

SELECT tag, n FROM ctags WHERE tag = U&'\0061' ORDER BY n

SELECT tag, n FROM ctags WHERE tag = U&'!0061' UESCAPE '!' ORDER BY n

SELECT tag, n FROM ctags WHERE tag = $$a$$

SELECT 'first'
  ' second' AS two

SELECT tag, n FROM ctags WHERE tag = 'a'
  '' ORDER BY n

SELECT id FROM ONLY orders WHERE user_id = 1

SELECT id FROM ONLY users ORDER BY id

SELECT id FROM orders * WHERE user_id = 1 ORDER BY id

TABLE users ORDER BY id

TABLE regions ORDER BY id

TABLE orders

SELECT id FROM regions UNION ALL TABLE regions

SELECT x.id FROM (orders o JOIN regions r ON r.id = o.qty) AS x (id, user_id) WHERE x.user_id = 1

SELECT o.id, f.a FROM orders o, ROWS FROM (generate_series(1, 2), generate_series(5, 6)) WITH ORDINALITY AS f (a, b, c) WHERE o.user_id = 1 ORDER BY 1, 2

SELECT o.id, g FROM orders o, LATERAL generate_series(1, o.qty) g WHERE o.user_id = 1 ORDER BY 1, 2

SELECT id FROM orders ORDER BY id USING > LIMIT 3

SELECT id FROM orders WHERE user_id IN (1, 2) ORDER BY id USING <

SELECT id AS div, user_id AS xor FROM orders WHERE user_id = 1 ORDER BY div

SELECT regexp.id FROM orders regexp WHERE regexp.user_id = 1 ORDER BY 1

SELECT count(*) FROM orders WHERE user_id IN (SELECT user_id FROM items WHERE items.user_id = orders.user_id FOR SHARE)

WITH RECURSIVE x (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM x WHERE n < 3) SEARCH DEPTH FIRST BY n SET path SELECT n FROM x ORDER BY n

WITH RECURSIVE x (n) AS (SELECT 1 UNION ALL SELECT n % 3 + 1 FROM x) CYCLE n SET is_cycle USING path SELECT n, is_cycle FROM x ORDER BY 1, 2

WITH RECURSIVE x AS (SELECT id, user_id FROM orders WHERE user_id = 1 UNION ALL SELECT id + 100, user_id FROM x WHERE id < 100) SEARCH BREADTH FIRST BY id SET o SELECT id FROM x ORDER BY id

SELECT trim(both from '  x '), substring('abcdef' similar 'a#"%#"f' escape '#'), collation for ('x'::text)

SELECT count(*), min(VARIADIC ARRAY[1]) FROM orders

SELECT concat_ws(VARIADIC ARRAY['-', status, code]) FROM orders WHERE user_id = 1 ORDER BY id

SELECT qty, count(*) FROM orders WHERE user_id = 1 GROUP BY DISTINCT ROLLUP (qty), qty ORDER BY 1, 2
