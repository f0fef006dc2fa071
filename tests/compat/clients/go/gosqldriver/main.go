// The driver github.com/go-sql-driver/mysql behind database/sql.
package main

import (
	"context"
	"database/sql"

	"github.com/go-sql-driver/mysql"

	"compat/compat"
)

type client struct{ db *sql.DB }

func (c client) DB() *sql.DB { return c.db }

func (c client) Rows(ctx context.Context, statement string, values ...any) (*sql.Rows, error) {
	return c.db.QueryContext(ctx, statement, values...)
}

func (c client) Exec(ctx context.Context, statement string, values ...any) (int64, error) {
	result, err := c.db.ExecContext(ctx, statement, values...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func open(config *mysql.Config) (compat.Client, error) {
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(1)
	if err := db.Ping(); err != nil {
		_ = db.Close()
		return nil, err
	}
	return client{db}, nil
}

func main() {
	compat.Run(open, nil)
}
