SET TimeZone = 'Asia/Shanghai'

SELECT id FROM visits WHERE at >= '2026-02-01 00:00' AND at < '2026-03-01'

SELECT id, at FROM visits ORDER BY at, id

SELECT id FROM visits WHERE at < '2026-02-01'::date

SELECT placed::date, count(*) FROM orders GROUP BY 1 ORDER BY 1

SET TimeZone = 'America/New_York'

SELECT id FROM visits WHERE at >= '2026-01-31 11:00' AND at < '2026-02-01'

SELECT id FROM visits WHERE at > '2026-03-08 02:30'

SELECT id, at FROM visits WHERE at < '2026-01-31 11:00' ORDER BY id

SET TimeZone = '+05:30'

SELECT id FROM visits WHERE at < '2026-01-31 21:30'

SELECT id, at FROM visits ORDER BY at, id

SET TimeZone = 'FOO-7BAR'

SELECT id FROM visits WHERE at < '2026-02-01'

SET TimeZone = 'Nowhere/Nowhere'

SET TimeZone = 'UTC'

SET DateStyle = 'German, DMY'

SELECT id, at FROM visits WHERE at < '02.01.2026' ORDER BY id

SELECT n FROM days WHERE d = '31/01/2026'

SELECT n FROM days WHERE d = '2026-01-31'

SELECT id, at FROM visits ORDER BY at, id

SELECT d, n FROM days ORDER BY d, n

SET DateStyle = 'ISO, MDY'

SELECT n FROM days WHERE d = '01/31/2026'

SET standard_conforming_strings = off

SET escape_string_warning = off

SELECT id FROM orders WHERE user_id = 1 AND status <> 'it\'s' AND id = 1

SELECT n FROM tags WHERE tag = '\141'

SELECT name FROM users WHERE name <> '\' OR id = 1 --'

SET standard_conforming_strings = on

SELECT name FROM users WHERE name <> '\' AND id = 1

SET search_path = nowhere, public

SELECT id FROM orders WHERE user_id = 1 ORDER BY id

SET search_path = nowhere

SELECT id FROM orders WHERE user_id = 1

SELECT id FROM public.orders WHERE user_id = 1 ORDER BY id

RESET search_path

SET extra_float_digits = 0

SELECT id, ratio FROM orders ORDER BY ratio, id

RESET extra_float_digits

SET IntervalStyle = 'iso_8601'

SELECT id, placed - '2026-01-01Z' FROM orders ORDER BY id

RESET IntervalStyle

SET bytea_output = 'escape'

SELECT convert_to(code, 'UTF8') FROM orders ORDER BY id

RESET bytea_output

SHOW TimeZone

BEGIN

SELECT count(*) FROM orders

SELECT now() = now()

COMMIT

BEGIN READ ONLY

SELECT count(*) FROM orders

SELECT sum(id) OVER w FROM users WINDOW w AS (ORDER BY id)

COMMIT

BEGIN

SELECT 1 / 0

SELECT 1

ROLLBACK

SET LOCAL search_path = nowhere

SELECT id FROM orders WHERE user_id = 1 ORDER BY id

BEGIN

SET LOCAL search_path = nowhere

SELECT id FROM orders WHERE user_id = 1

ROLLBACK

SELECT id FROM orders WHERE user_id = 1 ORDER BY id

BEGIN

SAVEPOINT a

SET LOCAL search_path = nowhere

SELECT id FROM public.orders WHERE user_id = 1 ORDER BY id

ROLLBACK TO a

SELECT id FROM orders WHERE user_id = 1 ORDER BY id

SELECT set_config('search_path', 'nowhere', true)

SELECT id FROM orders WHERE user_id = 1

ROLLBACK

SELECT id FROM orders WHERE user_id = 1 ORDER BY id
