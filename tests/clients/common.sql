CREATE TABLE items (id bigint NOT NULL, owner integer NOT NULL, label text, price numeric(10,2), made timestamptz, data jsonb, tags text[], PRIMARY KEY (owner, id));
CREATE TABLE names (name text PRIMARY KEY, n integer);
CREATE TABLE kinds (id integer PRIMARY KEY, kind text);
CREATE TABLE notes (id integer PRIMARY KEY, body bytea);
