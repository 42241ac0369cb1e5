-- The same on Margay and on one plain server.
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE TYPE pair AS (a integer, m mood);
CREATE TYPE deep AS (p pair, ms mood[], ns positive[]);
CREATE TYPE pairs AS RANGE (subtype = pair);
CREATE TABLE users (id bigint PRIMARY KEY, m mood, ms mood[], p pair, ps pair[], d deep, n positive, ns positive[]);
CREATE TABLE orders (user_id bigint, id bigint, m mood, ms mood[], p pair, ps pair[], d deep, r pairs, PRIMARY KEY (user_id, id));
CREATE TABLE coupons (code text PRIMARY KEY, m mood, ps pair[]);
