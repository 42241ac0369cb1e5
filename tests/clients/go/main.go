// pgx against Margay: the same work in each of its query modes, then a pool, batches, COPY, transactions and errors.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

var passed int

func check(what string, got, expected any) {
	if !reflect.DeepEqual(got, expected) {
		fmt.Fprintf(os.Stderr, "pgx: %s: %v, not %v\n", what, got, expected)
		os.Exit(1)
	}
	passed++
}

func must(what string, err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "pgx: %s: %v\n", what, err)
		os.Exit(1)
	}
	passed++
}

func count(ctx context.Context, c *pgx.Conn, from int) int64 {
	var n int64
	must("a count", c.QueryRow(ctx, "SELECT count(*) FROM items WHERE owner BETWEEN $1 AND $2", from, from+99).Scan(&n))
	return n
}

func inMode(ctx context.Context, url string, mode pgx.QueryExecMode, from int) {
	config, err := pgx.ParseConfig(url)
	must("the URL", err)
	config.DefaultQueryExecMode = mode
	c, err := pgx.ConnectConfig(ctx, config)
	must("connect", err)
	defer c.Close(ctx)
	// In simple mode no type of a parameter is known: values that aren't plain go as text.
	for i := 0; i < 20; i++ {
		tag, err := c.Exec(ctx, "INSERT INTO items (id, owner, label, price) VALUES ($1, $2, $3, $4)", i, from+i, fmt.Sprintf("it's %d", i), fmt.Sprintf("%d.50", i))
		must(mode.String()+": insert", err)
		check("affected rows", tag.RowsAffected(), int64(1))
	}
	for i := 0; i < 20; i++ {
		var label string
		var price float64
		must(mode.String()+": a row", c.QueryRow(ctx, "SELECT label, price::float8 FROM items WHERE owner = $1", from+i).Scan(&label, &price))
		check("a row by its key", label, fmt.Sprintf("it's %d", i))
		check("a price", price, float64(i)+0.5)
	}
	check("rows over nodes", count(ctx, c, from), int64(20))
	rows, err := c.Query(ctx, "SELECT owner FROM items WHERE owner >= $1 AND owner < $2 ORDER BY owner DESC LIMIT 3", from, from+100)
	must("query", err)
	owners, err := pgx.CollectRows(rows, pgx.RowTo[int32])
	must("rows", err)
	check("sorted over nodes", owners, []int32{int32(from + 19), int32(from + 18), int32(from + 17)})

	tx, err := c.Begin(ctx)
	must("begin", err)
	tag, err := tx.Exec(ctx, "UPDATE items SET label = $1 WHERE owner BETWEEN $2 AND $3", "x", from, from+99)
	must("update", err)
	check("updated", tag.RowsAffected(), int64(20))
	nested, err := tx.Begin(ctx)
	must("savepoint", err)
	_, err = nested.Exec(ctx, "INSERT INTO items (id, owner) VALUES ($1, $2)", 3, from+3)
	var of *pgconn.PgError
	check("a duplicate key", errors.As(err, &of) && of.Code == "23505" && of.TableName == "items", true)
	must("rollback to", nested.Rollback(ctx))
	must("commit", tx.Commit(ctx))
	var n int64
	must("after", c.QueryRow(ctx, "SELECT count(*) FROM items WHERE label = $1 AND owner BETWEEN $2 AND $3", "x", from, from+99).Scan(&n))
	check("committed", n, int64(20))

	batch := &pgx.Batch{}
	for i := 20; i < 60; i++ {
		batch.Queue("INSERT INTO items (id, owner, label) VALUES ($1, $2, $3)", i, from+i, "batched")
	}
	batch.Queue("SELECT count(*) FROM items WHERE owner BETWEEN $1 AND $2", from, from+99)
	results := c.SendBatch(ctx, batch)
	for i := 20; i < 60; i++ {
		_, err := results.Exec()
		must(mode.String()+": of a batch", err)
	}
	must("the last of a batch", results.QueryRow().Scan(&n))
	check("own writes of a batch", n, int64(60))
	must("the batch", results.Close())
	_, err = c.Exec(ctx, "SELECT nope FROM items WHERE owner = $1", from)
	check("an unknown column", errors.As(err, &of) && of.Code == "42703", true)
	_, err = c.Exec(ctx, "DELETE FROM items WHERE owner BETWEEN $1 AND $2", from, from+99)
	must("delete", err)
	check("deleted", count(ctx, c, from), int64(0))
}

func main() {
	ctx := context.Background()
	url := os.Getenv("MARGAY_POSTGRES_URL")
	modes := []pgx.QueryExecMode{
		pgx.QueryExecModeCacheStatement,
		pgx.QueryExecModeCacheDescribe,
		pgx.QueryExecModeDescribeExec,
		pgx.QueryExecModeExec,
		pgx.QueryExecModeSimpleProtocol,
	}
	for i, mode := range modes {
		inMode(ctx, url, mode, 20000+i*1000)
	}

	pool, err := pgxpool.New(ctx, url)
	must("a pool", err)
	defer pool.Close()
	var source [][]any
	for i := 0; i < 500; i++ {
		source = append(source, []any{int64(i), int32(30000 + i), fmt.Sprint("copied ", i), []string{"a", fmt.Sprint(i)}})
	}
	copied, err := pool.CopyFrom(ctx, pgx.Identifier{"items"}, []string{"id", "owner", "label", "tags"}, pgx.CopyFromRows(source))
	must("COPY", err)
	check("rows copied in, in binary", copied, int64(500))
	done := make(chan error)
	for worker := 0; worker < 8; worker++ {
		go func() {
			for i := worker; i < 500; i += 8 {
				var tags []string
				err := pool.QueryRow(ctx, "SELECT tags FROM items WHERE owner = $1", 30000+i).Scan(&tags)
				if err == nil && tags[1] != fmt.Sprint(i) {
					err = fmt.Errorf("row %d has tags %v", i, tags)
				}
				if err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for worker := 0; worker < 8; worker++ {
		must("rows through a pool", <-done)
	}
	_, err = pool.Exec(ctx, "DELETE FROM items WHERE owner BETWEEN 30000 AND 30499")
	must("delete", err)
	fmt.Printf("pgx: %d checks\n", passed)
}
